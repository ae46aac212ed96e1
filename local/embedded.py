"""The embedded profile: one runner process per topology, started again when it dies.

The supervisor holds a lock on the state folder; its processes end when it does, however it ends.
"""

import contextlib
import ctypes
import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.topologies import topology_names
from qold import wiring
from qold.clock import SystemClock
from qold.keyring import ensure_keys
from qold.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 4.0
ASKING_S = 1.0
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.5, 30.0
STEADY_S = 60.0
MAX_LOG_BYTES = 5 * 2**20
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


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
    for connect in (wiring.registry, wiring.raw_store, wiring.reading_store):
        store = connect(settings, clock)
        store.ping()
        store.close()


def lock_path(settings: Settings) -> Path:
    return Path(settings.state_dir) / "up.lock"


@contextlib.contextmanager
def state_lock(settings: Settings) -> Iterator[None]:
    """Hold the state folder; raises `AlreadyRunning`. Freed by the kernel when we die."""
    path = lock_path(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        _lock(file, settings)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def supervisor_pid(settings: Settings) -> int:
    """The process that holds the state folder, 0 when nobody does."""
    path = lock_path(settings)
    if not path.exists():
        return 0
    with path.open("r", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read().strip()
            return int(text) if text.isdigit() else 0
    return 0


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S


class Supervisor:
    """Keeps the topologies' processes running; `watch` often, `stop` once."""

    def __init__(self, settings: Settings, topologies: Sequence[str] = ()) -> None:
        self._settings = settings
        self._children = [_Child(name) for name in topologies or topology_names()]
        self._logs = Path(settings.state_dir) / "logs"

    def watch(self) -> None:
        """Start what is not running; what dies again soon waits longer each time."""
        now = time.monotonic()
        for child in self._children:
            _cap(self._logs / f"{child.name}.log")
            if child.process is not None and child.process.poll() is not None:
                self._note_death(child, child.process.returncode, now)
            if child.process is None and now >= child.start_again_at:
                self._start(child, now)

    def stop(self) -> None:
        """End every process: asked first, killed after four seconds."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, child: _Child, now: float) -> None:
        self._logs.mkdir(mode=0o700, exist_ok=True)
        path = self._logs / f"{child.name}.log"
        command = [sys.executable, "-m", "cli", "run", child.name]
        with path.open("ab") as output:
            child.process = subprocess.Popen(
                [*command, "--state", self._settings.state_dir],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}", "NO_COLOR": "1"},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child.started_at = now

    def _note_death(self, child: _Child, exit_code: int, now: float) -> None:
        log.warning("topology=%s died with %s", child.name, exit_code)
        if now - child.started_at > STEADY_S:
            child.backoff_s = BACKOFF_FIRST_S
        child.process = None
        child.start_again_at = now + child.backoff_s
        child.backoff_s = min(BACKOFF_LAST_S, 2 * child.backoff_s)


def _cap(path: Path) -> None:
    # The process writes on: it appends to the same file, which is copied and emptied.
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def write_status(settings: Settings, name: str, status: dict[str, object]) -> None:
    """Replace `<state>/run/<name>.json` at once."""
    path = Path(settings.state_dir) / "run" / f"{name}.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(status), "utf-8")
    draft.replace(path)


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


def _die_with_parent() -> None:
    # Runs between fork and exec: the kernel sends SIGTERM when the supervisor is gone.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
