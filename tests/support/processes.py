"""Processes that a test starts: each has a log file and ends by its pid, however the test ends."""

import ctypes
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
    condition: Callable[[], object],
    what: str,
    *,
    patience_s: float = PATIENCE_S,
    look_s: float = LOOK_S,
) -> None:
    """Return once the condition holds; fails, naming `what`, when it does not come to that."""
    limit_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < limit_s, f"not within {patience_s:.0f} s: {what}"
        time.sleep(look_s)


class Processes:
    """Running processes by name; `<folder>/<name>.out` and `.log` keep their stdout and stderr."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, command: Sequence[str], folder: Path = ROOT, **environ: object
    ) -> subprocess.Popen[bytes]:
        """Start a process under a name that is free; what an earlier one wrote stays."""
        assert name not in self._running, f"{name} runs already"
        with self._path(name, "out").open("ab") as out, self._path(name, "log").open("ab") as err:
            self._running[name] = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(**environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
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

    def output(self, name: str) -> str:
        """All that processes of this name have written on stdout."""
        path = self._path(name, "out")
        return path.read_text("utf-8") if path.exists() else ""

    def log_tail(self, name: str) -> str:
        """The end of what they have written on stderr."""
        path = self._path(name, "log")
        return path.read_text("utf-8", "replace")[-LOG_TAIL:] if path.exists() else ""

    def close(self) -> None:
        """Kill what still runs."""
        for name in list(self._running):
            process = self._running.pop(name)
            process.kill()
            process.wait()

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}.{suffix}"


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """`Processes` that are gone afterwards."""
    started = Processes(folder)
    try:
        yield started
    finally:
        started.close()


def is_alive(pid: int) -> bool:
    """True while a process of this number runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _die_with_parent() -> None:
    # Runs between fork and exec: also a test killed with -9 leaves nothing behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
