"""`guard.py [--once] COMMAND…`: keeps a command running and ends with it all that it ever started.

For Storm's Supervisor: its workers outlive it, wherever it is killed, and are taken up again by
the next one. Asked to end, or left by its parent, the guard ends the command and every descendant.
With --once it does so too when the command ends, and exits as that did.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

BACKOFF_S = 1.0
ASKED_S = 8.0
ENDING_S = 10.0
LOOK_S = 0.05
STOPS = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    is_once = command[:1] == ["--once"]
    command = command[1:] if is_once else command
    # What our command leaves behind becomes our child, whose end we can bring about and see.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    waited_for = {*STOPS, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    while True:
        # Kept in a name: an object that goes away reaps its process, and we would never hear of it.
        process = subprocess.Popen(command, preexec_fn=_as_child)
        status = _wait(process.pid, waited_for)
        if status is None:
            _ask(process.pid)
        if status is None or is_once:
            _end_descendants()
            return 0 if status is None else os.waitstatus_to_exitcode(status)
        time.sleep(BACKOFF_S)


def descendants(pid: int) -> list[int]:
    """Every process below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _wait(pid: int, waited_for: set[signal.Signals]) -> int | None:
    """The exit status of a process, None when asked to end before."""
    while True:
        if signal.sigwait(waited_for) in STOPS:
            return None
        ended = _reaped()
        if pid in ended:
            return None if signal.sigpending() & set(STOPS) else ended[pid]


def _ask(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    _reap(until=lambda: pid not in descendants(os.getpid()), within_s=ASKED_S)


def _end_descendants() -> None:
    deadline = time.monotonic() + ENDING_S
    while (found := descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(until=lambda: not descendants(os.getpid()), within_s=LOOK_S)


def _reaped() -> dict[int, int]:
    """Children that have ended since the last call, with their exit status."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0] != 0:
            ended[found[0]] = found[1]
    return ended


def _reap(*, until: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    _reaped()
    while not until() and time.monotonic() < deadline:
        time.sleep(LOOK_S)
        _reaped()


def _as_child() -> None:
    # Signals that the guard waits for must reach its command, and its own death must end it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOPS, signal.SIGCHLD})
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
