"""Processes that a test starts: each has a log file and ends by its pid, however the test ends."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.commands import PATIENCE_S, ROOT, environment

LOOK_S = 0.01
LOG_TAIL = 3000
_PR_SET_PDEATHSIG = 1


def wait_until(
    condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S
) -> None:
    """Return once the condition holds; fails, naming `what`, when it does not come to that."""
    limit_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < limit_s, f"not within {patience_s:.0f} s: {what}"
        time.sleep(LOOK_S)


class Processes:
    """Running processes by name; `<folder>/<name>.log` keeps what each wrote on stderr."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, command: Sequence[str], *, stdout: int | None = None, **environ: object
    ) -> subprocess.Popen[bytes]:
        """Start a process under a name that is free; stdout goes to its log, too, if not given."""
        assert name not in self._running, f"{name} runs already"
        with self.log_path(name).open("ab") as output:
            self._running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(**environ),
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=output,
                preexec_fn=_die_with_parent,
            )
        return self._running[name]

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        process = self._running.pop(name)
        process.send_signal(number)
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def is_running(self, name: str) -> bool:
        return self._running[name].poll() is None

    def log_path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of what a process wrote, for the message of a failure."""
        path = self.log_path(name)
        return path.read_text("utf-8", "replace")[-LOG_TAIL:] if path.exists() else ""

    def close(self) -> None:
        """Kill what still runs."""
        for name in list(self._running):
            process = self._running.pop(name)
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """`Processes` that are gone afterwards."""
    started = Processes(folder)
    try:
        yield started
    finally:
        started.close()


def is_alive(pid: int) -> bool:
    """True while a process of this number runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _die_with_parent() -> None:
    # Runs between fork and exec: also a test killed with -9 leaves nothing behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
