"""Where a demo takes place: the part that differs between one process and real servers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.output.uplink import Uplink
from local.simulator.clock import SimulatedClock
from local.simulator.device import Reading
from local.simulator.fleet import Fleet
from local.simulator.ledger import Ledger
from qold.ports import AlertStory
from qold.settings import Settings

TOPOLOGIES = ("authentication", "raw", "datapoints", "thresholds", "alert", "legacy", "system")
SHOWN_ALERTS = 6


class Stuck(RuntimeError):
    """Something was not answered although nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Published:
    """A reading that its gateway sent so many times; `reason` is why it must be refused, or empty."""

    reading: Reading
    reason: str
    gateway_id: int
    skew_s: int
    times: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What the topologies have done so far, in readings; `latest` reads the newest alerts."""

    replayed: int = 0
    stored: int = 0
    rejected: int = 0
    alerted: int = 0
    latest: Callable[[], Sequence[AlertStory]] = list


class World(Protocol):
    """A log, stores and topologies, and the time that passes there.

    `clock` is that of devices and gateways. `slack_s` is how much later than at once anything may
    be noticed there, by that clock. `is_settled`: between two moments nothing is under way.
    Stores may show what they hold `patience_s` later, in real seconds.
    `may_repeat`: what authentication had done before it was killed may stand on the log twice.
    """

    settings: Settings
    clock: SimulatedClock
    slack_s: int
    is_settled: bool
    may_repeat: bool
    patience_s: float

    def open(self) -> None:
        """Make topics and schemas; `settings` say where everything is from then on."""
        ...

    def uplink_to(self, gateway_id: int) -> Uplink:
        """What a gateway publishes by; it may."""
        ...

    def start(self, fleet: Fleet, publish: Callable[[], bool]) -> None:
        """Run the topologies; returns when they are ready. `publish` sends what gateways hold."""
        ...

    def reach(self, at_s: int, idle: Callable[[], None]) -> None:
        """Let the clock go on to the next sending; `idle` may be called on the way."""
        ...

    def settle(self, next_s: int | None) -> None:
        """Publish everything, and work until only what is due after the next sending waits."""
        ...

    def catch_up(self) -> None:
        """Until every change of the registry, and all that was published, is known to authentication."""
        ...

    def kill(self, name: str, steps: int) -> None:
        """Kill a topology in the middle of its work; it is started again."""
        ...

    def published(self, sent: Published, ledger: Ledger) -> None:
        """Note what was sent at this moment, at the latest with `finish`."""
        ...

    def counts(self) -> Counts: ...

    def look_until(self, until_ms: int) -> None:
        """Let those work until just before a moment who have something to do when nothing arrives."""
        ...

    def finish(self, ledger: Ledger) -> None:
        """Let everything be told, and stop the topologies."""
        ...
