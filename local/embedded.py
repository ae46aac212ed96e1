"""The embedded profile: one runner process per topology, started again when it dies.

The supervisor holds a lock on the state folder; its processes end when it does, however it ends.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from local.programs import ROOT, Program
from local.topologies import topology_names
from qold import wiring
from qold.clock import SystemClock
from qold.keyring import ensure_keys
from qold.private_files import make_folder, open_private, write_private
from qold.settings import Settings

ASKING_S = 1.0


class AlreadyRunning(RuntimeError):
    """Another supervisor holds the state folder; `pid` is its process, 0 if not known."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"already running, process {pid}" if pid else "already running")
        self.pid = pid


def prepare(settings: Settings) -> None:
    """Make secrets, topics and schemas; harmless when they are there."""
    ensure_keys(settings.secrets_dir)
    clock = SystemClock()
    message_log = wiring.message_log(settings, clock)
    message_log.create_topics(settings.topics())
    message_log.close()
    for connect in (
        wiring.registry,
        wiring.raw_store,
        wiring.reading_store,
        wiring.state_store,
        wiring.alert_log,
    ):
        store = connect(settings, clock)
        store.ping()
        store.close()


def lock_path(settings: Settings) -> Path:
    return Path(settings.state_dir) / "up.lock"


@contextlib.contextmanager
def state_lock(settings: Settings) -> Iterator[None]:
    """Hold the state folder; raises `AlreadyRunning`. Freed by the kernel when we die."""
    path = lock_path(settings)
    make_folder(path.parent)
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with open(descriptor, "a+", encoding="ascii") as file:
        _lock(file, settings)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def supervisor_pid(settings: Settings) -> int:
    """The process that holds the state folder, 0 when nobody does."""
    path = lock_path(settings)
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    with open(descriptor, encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text.isdigit() else 0
    return 0


def topology_programs(settings: Settings, topologies: Sequence[str] = ()) -> list[Program]:
    """A runner process per topology."""
    environ = {"PYTHONPATH": f"{ROOT}/src:{ROOT}", "NO_COLOR": "1"}
    return [
        Program(
            name,
            (sys.executable, "-m", "cli", "run", name, "--state", settings.state_dir),
            environ,
        )
        for name in topologies or topology_names()
    ]


def write_status(settings: Settings, name: str, status: dict[str, object]) -> None:
    """Replace `<state>/run/<name>.json` at once."""
    path = Path(settings.state_dir) / "run" / f"{name}.json"
    make_folder(path.parent)
    write_private(path, json.dumps(status))


def _lock(file: IO[str], settings: Settings) -> None:
    deadline = time.monotonic() + ASKING_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Whoever asks which process it is also holds the lock, for a moment.
            pid = supervisor_pid(settings)
            if pid or time.monotonic() >= deadline:
                raise AlreadyRunning(pid) from None
        time.sleep(0.01)
