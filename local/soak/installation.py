"""`./qold up` in a state folder of the soak's own, and the processes below it."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from local.embedded import supervisor_pid
from local.programs import ROOT, Keeper, Program
from local.services.guard import descendants
from local.services.servers import NotReady, Tell
from local.status import statuses
from local.supervision import noted_processes, stack_of
from qold.private_files import make_folder
from qold.settings import Settings

START_S = 1800.0
LOOK_S = 0.2
STOP_S = 600.0


class Installation:
    """A full stack; `settings` are those that the stack has written once it has started."""

    def __init__(self, state: Path, *, brokers: int) -> None:
        make_folder(state)
        self.settings = replace(Settings.load(state), profile="full", brokers=brokers)
        self.state = Path(self.settings.state_dir)
        self._brokers = brokers
        self._keeper = Keeper(self.state / "logs")

    def start(self, tell: Tell) -> None:
        """Returns when everything is ready; raises `NotReady`."""
        words = ("up", "--profile", "full", "--brokers", str(self._brokers))
        command = (sys.executable, "-m", "cli", *words, "--state", str(self.state))
        environ = {"PYTHONPATH": f"{ROOT}/src:{ROOT}", "NO_COLOR": "1"}
        self._keeper.add(Program("up", command, environ, stop_s=STOP_S))
        give_up_at = time.monotonic() + START_S
        told = ""
        while not (self.pids() and self.is_ready()):
            if time.monotonic() > give_up_at or "up" not in self._keeper.pids():
                raise NotReady(f"the stack did not start\nfix: see {self.state}/logs/up.log")
            last = self._last_word()
            if last != told:
                tell(last)
                told = last
            self.wait(1.0)
        self.settings = Settings.load(self.state)

    def stop(self) -> None:
        self._keeper.stop()

    def is_ready(self) -> bool:
        """Whether every server, store and topology answers."""
        settings = Settings.load(self.state)
        return settings.profile == "full" and all(found.is_ready for found in statuses(settings))

    def servers_are_ready(self) -> bool:
        return all(server.is_ready() for server in stack_of(self.settings).servers)

    def wait(
        self, seconds: float, until: Callable[[], bool] = lambda: False, look_s: float = LOOK_S
    ) -> bool:
        """Let time go by, or until a condition holds: whether it does."""
        deadline = time.monotonic() + seconds
        while not (is_so := until()) and time.monotonic() < deadline:
            self._keeper.watch()
            time.sleep(min(look_s, max(0.0, deadline - time.monotonic())))
        return is_so

    def pids(self) -> dict[str, int]:
        """The programs that `up` keeps running, those that run now."""
        up = supervisor_pid(self.settings)
        below = set(descendants(up)) if up else set()
        noted = noted_processes(self.settings)
        return {name: pid for name, pid in noted.items() if pid in below and name != "up"}

    def daemon(self) -> int:
        """The Supervisor itself, below the guard that keeps it; 0 while there is none."""
        found = [pid for pid, words in self._under_storm() if "-Ddaemon.name=supervisor" in words]
        return min(found, default=0)

    def workers(self) -> list[tuple[str, int]]:
        """(topology and number, process) of each of Storm's workers, in order of name."""
        found = []
        for pid, words in self._under_storm():
            if words[:2] == ["java", "-server"] and "-Dlogfile.name=worker.log" in words:
                name = next(word for word in words if word.startswith("-Dstorm.id="))
                found.append((name.removeprefix("-Dstorm.id="), pid))
        return sorted(found)

    def components(self, kind: str) -> list[tuple[str, int]]:
        """(module and class, process) of each Python process of `bolts` or `spouts`, by name."""
        found = []
        for pid, words in self._under_storm():
            name = words[-1].rpartition(" ")[2]
            if "streamparse_run" in " ".join(words[:2]) and name.startswith(f"{kind}."):
                found.append((name, pid))
        return sorted(found)

    def _under_storm(self) -> list[tuple[int, list[str]]]:
        guard = self.pids().get("supervisor", 0)
        return [(pid, _command(pid)) for pid in (descendants(guard) if guard else [])]

    def _last_word(self) -> str:
        try:
            text = (self.state / "logs" / "up.log").read_text("utf-8", "replace").strip()
        except OSError:
            return ""
        return text.rpartition("\n")[2]


def send(pid: int, number: signal.Signals) -> None:
    """A signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _command(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rstrip("\0").split("\0")
