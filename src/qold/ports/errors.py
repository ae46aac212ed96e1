"""The two ways a port may fail, and what every port can do."""

from dataclasses import dataclass
from typing import Protocol


class PortError(Exception):
    """Base of what a port may raise."""


class Rejected(PortError):
    """This input will never be accepted; `reason` is a short stable word for counters."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Unavailable(PortError):
    """The other side is away, slow or full; the same call may work later."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One row of a batch that will never be accepted: its position in the batch, and why."""

    index: int
    reason: str


class Port(Protocol):
    """What every port can do."""

    def ping(self) -> None:
        """Return when the other side answers; raises `Unavailable`."""
        ...

    def close(self) -> None:
        """Let go of connections; the next call opens them again."""
        ...
