"""What every server of the stack can do, and how one is brought up."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from local.programs import Keeper, Program

PATIENCE_S = 300.0
LOOK_S = 0.1

Tell = Callable[[str], None]


class NotReady(RuntimeError):
    """A server did not become ready; the text names its log."""


class Server(Protocol):
    """One server on this machine; everything may be called again and again.

    `tools` are the executables it needs, each with the Debian package that provides it.
    """

    name: str
    tools: Mapping[str, str]

    def prepare(self, tell: Tell) -> Program:
        """Fetch what it runs, write certificates and configuration; returns what to keep running."""
        ...

    def is_ready(self) -> bool:
        """Whether it answers now; raises nothing."""
        ...

    def settle(self) -> None:
        """Once it answers: accounts, schema, topics, access lists."""
        ...

    def addresses(self) -> Mapping[str, str]:
        """What people connect to, by what it is for; without credentials."""
        ...


class Stopped(Exception):
    """Bringing up was given up because somebody asked."""


def bring_up(
    *servers: Server,
    keeper: Keeper,
    tell: Tell = lambda text: None,
    patience_s: float = PATIENCE_S,
    is_stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Prepare and start servers, then wait for each and settle it.

    Raises `NotReady`, what `prepare` and `settle` raise, and `Stopped` once `is_stopping`.
    """
    programs = [server.prepare(tell) for server in servers]
    keeper.add(*programs)
    for server in servers:
        tell(f"{server.name} is starting")
    give_up_at = time.monotonic() + patience_s
    for server in servers:
        while not server.is_ready():
            if is_stopping():
                raise Stopped
            if time.monotonic() > give_up_at:
                raise NotReady(f"{server.name} is not ready after {patience_s:.0f} s; see its log")
            time.sleep(LOOK_S)
            keeper.watch()
        server.settle()
        tell(f"{server.name} is ready")
