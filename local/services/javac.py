"""Java classes of this repository, compiled for the server that loads them."""

import shutil
import subprocess
from pathlib import Path

from local.services.servers import NotReady

SOURCES = Path(__file__).resolve().parent / "java"
# Java that the servers run on.
RELEASE = "17"
# Seconds; javac takes two, on a busy machine ten.
PATIENCE_S = 300.0
TOOLS = {"javac": "openjdk-17-jdk-headless"}


class CompilationError(NotReady):
    """javac refused a source; the text is its first message."""


def compile_class(name: str, *, jars: Path, into: Path) -> Path:
    """Return the folder `into` with the class `name` of `SOURCES`, compiled again at each call.

    `jars` is the folder of what it extends; raises `CompilationError`.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o700)
    source = SOURCES / f"{name.replace('.', '/')}.java"
    options = ("--release", RELEASE, "-proc:none", "-Xlint:-options", "-cp", f"{jars}/*")
    done = subprocess.run(
        ["javac", "-J-XX:+UseSerialGC", *options, "-d", str(into), str(source)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        raise CompilationError(f"{source.name}: {done.stderr.strip()[:500]}")
    return into
