"""Processes that are kept running: started again when they die, ended with whoever keeps them."""

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from qold.private_files import make_folder, open_private, write_private

ROOT = Path(__file__).resolve().parent.parent
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.5, 30.0
STEADY_S = 60.0
MAX_LOG_BYTES = 5 * 2**20
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """A command under a name; SIGTERM must end it within `stop_s`. `environ` is laid over ours."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    stop_s: float = 4.0


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S


class Keeper:
    """Keeps programs running; `watch` often, `stop` once. Each writes to `<logs>/<name>.log`."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._groups: list[list[_Child]] = []

    def add(self, *programs: Program) -> None:
        """Keep these as well, from now on; what is added together is also stopped together."""
        self._groups.append([_Child(program) for program in programs])
        self.watch()

    def watch(self) -> None:
        """Start what is not running; what dies again soon waits longer each time."""
        now = time.monotonic()
        for child in self._children():
            _cap(self._logs / f"{child.program.name}.log")
            if child.process is not None and child.process.poll() is not None:
                self._note_death(child, child.process.returncode, now)
            if child.process is None and now >= child.start_again_at:
                self._start(child, now)

    def pids(self) -> dict[str, int]:
        """The process of each program that runs."""
        running = ((child.program.name, child.process) for child in self._children())
        return {name: process.pid for name, process in running if process is not None}

    def stop(self) -> None:
        """End every process, what was added last first: asked, and killed when its time is over."""
        while self._groups:
            group = self._groups.pop()
            for child in group:
                if child.process is not None:
                    child.process.terminate()
            started = time.monotonic()
            for child in group:
                if child.process is not None:
                    left_s = child.program.stop_s - (time.monotonic() - started)
                    _end(child.process, max(0.0, left_s))

    def _children(self) -> Iterable[_Child]:
        return (child for group in self._groups for child in group)

    def _start(self, child: _Child, now: float) -> None:
        make_folder(self._logs)
        program = child.program
        with open_log(self._logs / f"{program.name}.log") as output:
            child.process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=program.folder,
                env={**os.environ, **program.environ},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child.started_at = now

    def _note_death(self, child: _Child, exit_code: int, now: float) -> None:
        log.warning("program=%s died with %s", child.program.name, exit_code)
        if now - child.started_at > STEADY_S:
            child.backoff_s = BACKOFF_FIRST_S
        child.process = None
        child.start_again_at = now + child.backoff_s
        child.backoff_s = min(BACKOFF_LAST_S, 2 * child.backoff_s)


def open_log(path: Path) -> BinaryIO:
    """A log file to append to, in a folder of ours; raises `NotPrivate`."""
    return open(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")


def _end(process: subprocess.Popen[bytes], within_s: float) -> None:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cap(path: Path) -> None:
    # The process writes on: it appends to the same file, which is copied and emptied.
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        with open(open_private(path, os.O_RDWR), "r+b") as file:
            write_private(path.with_suffix(".log.1"), file.read())
            file.truncate(0)


def _die_with_parent() -> None:
    # Runs between fork and exec: the kernel sends SIGTERM when the keeper is gone.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
