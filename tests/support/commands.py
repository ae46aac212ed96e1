"""Runs the commands of ./qold, each in a process of its own, as ./qold starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180


def command_line(*words: object) -> list[str]:
    """What ./qold runs once it has found its Python."""
    return [sys.executable, "-m", "cli", *map(str, words)]


def environment(**more: object) -> dict[str, str]:
    """This process's environment without settings of Qold; `more` is laid over it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QOLD_")}
    added = {name: str(value) for name, value in more.items()}
    return {**kept, "NO_COLOR": "1", **added}


def qold(*words: object, code: int = 0, **environ: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must be `code`."""
    done = subprocess.run(
        command_line(*words),
        cwd=ROOT,
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stderr}\n{done.stdout}"
    return done


def json_lines(text: str) -> list[Any]:
    """The objects on stdout; raises ValueError where anything else is among them."""
    return [json.loads(line) for line in text.splitlines()]
