"""Real servers for tests: each is started at its first use, once per run, and ended by its pid."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from local.programs import Keeper
from local.services import storm
from local.services.place import Place
from local.services.servers import Server, bring_up

S = TypeVar("S", bound=Server)

needs_storm = pytest.mark.skipif(
    not all(map(shutil.which, storm.TOOLS)),
    reason=f"Storm needs: sudo apt install {' '.join(storm.TOOLS.values())}",
)


class Servers:
    """The servers of one state folder; those that die with this process are not started again."""

    def __init__(self, state: Path) -> None:
        self.place = Place(state)
        self.logs = state / "logs"
        self._keeper = Keeper(self.logs)
        self._up: dict[str, Server] = {}

    def use(self, make: Callable[[Place], S]) -> S:
        """The server, which answers; skips the test, by name, where a tool is missing."""
        server = make(self.place)
        skip_without(server)
        if server.name not in self._up:
            bring_up(server, keeper=self._keeper)
            self._up[server.name] = server
        return server

    def use_together(self, waves: Iterable[Sequence[Server]]) -> None:
        """The same for many: wave after wave, the servers of one together; none is skipped."""
        for wave in waves:
            new = [server for server in wave if server.name not in self._up]
            bring_up(*new, keeper=self._keeper)
            self._up.update((server.name, server) for server in new)

    def pid(self, name: str) -> int:
        """The process of a server that is up."""
        return self._keeper.pids()[name]

    def restart_dead(self) -> None:
        """Start again what was killed, as `./qold up` does; call it while waiting."""
        self._keeper.watch()

    def close(self) -> None:
        """Stop them all; their data goes, their logs stay where pytest keeps its folders."""
        self._keeper.stop()
        shutil.rmtree(self.place.state / "services", ignore_errors=True)


def skip_without(server: Server) -> None:
    """Skip the test where a server's tools are missing."""
    for tool, package in server.tools.items():
        if shutil.which(tool) is None:
            pytest.skip(f"{server.name} needs {tool}: sudo apt install {package}")
