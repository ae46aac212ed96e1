"""The CPU time of every process of an installation, by what it is."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_HERTZ = os.sysconf("SC_CLK_TCK")
_COMPONENT = re.compile(r"\b(?:bolts|spouts)\.\w+\.(\w+)")
OURSELVES = "this bench"
OTHERS = "other"


class ProcessTimes:
    """Knows a process by the state folder in its command line, or by the folder it runs in."""

    def __init__(self, state: Path) -> None:
        self._state = str(state)
        self._kinds: dict[int, str] = {}

    def cpu_s(self, servers: Mapping[str, int]) -> dict[str, float]:
        """Seconds of CPU of all that run now, by kind; `servers` are processes by their name."""
        named = {pid: name for name, pid in servers.items()} | {os.getpid(): OURSELVES}
        spent: dict[str, float] = defaultdict(float)
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            pid = int(entry.name)
            with suppress(OSError):
                kind = named.get(pid) or self._kind(pid, entry)
                if kind:
                    spent[kind] += _spent_s(entry)
        return dict(spent)

    def _kind(self, pid: int, entry: Path) -> str:
        if pid not in self._kinds:
            command = (
                (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
            is_ours = self._state in command or str((entry / "cwd").readlink()).startswith(
                self._state
            )
            kind = kind_of(command) if is_ours else ""
            if kind == OTHERS:
                return kind  # it may become something else: a shell that starts what we look for
            self._kinds[pid] = kind
        return self._kinds[pid]


def kind_of(command: str) -> str:
    """What a process of an installation is, by its command line."""
    if component := _COMPONENT.search(command):
        return component[1]
    kinds = {
        "org.apache.storm.LogWriter": "log writers",
        "org.apache.storm.daemon.worker": "Storm worker",
        "org.apache.storm.daemon.supervisor": "supervisor",
        "org.apache.storm.daemon.nimbus": "nimbus",
        "QuorumPeerMain": "zookeeper",
        "nginx": "nginx",
    }
    return next((kind for word, kind in kinds.items() if word in command), OTHERS)


def _spent_s(entry: Path) -> float:
    fields = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _HERTZ
