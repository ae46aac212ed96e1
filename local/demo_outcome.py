"""What a demo is asked for, what it shows while it runs, and what it ends with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from local.demo_world import Counts
from local.simulator.alert_verdict import AlertVerdict
from local.simulator.alerts_file import ToldAlert
from local.simulator.device import Reading
from local.simulator.fleet import Fleet
from local.simulator.ledger import Ledger
from local.simulator.oracle import Verdict
from local.simulator.refrigerator import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate; `speed` is simulated seconds per second, 0 is as fast as it goes."""

    sources: Sequence[Source]
    gateways: int
    seed: int
    speed: float
    faults: Sequence[str]

    @property
    def start_s(self) -> int:
        """When the first of all is sent."""
        return min(sending.at_s for source in self.sources for sending in source.sendings())


@dataclass(slots=True)
class Progress:
    """How far the demo is; `lost` is None where it cannot be told from what is under way."""

    at_s: int
    start_s: int
    end_s: int
    ledger: Ledger
    counts: Counts
    lost: int | None


class View(Protocol):
    """Shows a demo while it runs."""

    def started(self, fleet: Fleet) -> None: ...

    def moved(self, progress: Progress, heard: Sequence[tuple[Reading, str]]) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What the demo ended with; `told` is what was found and told of units."""

    seed: int
    ledger: Ledger
    link: dict[str, int]
    verdict: Verdict
    alerts: AlertVerdict
    told: list[ToldAlert]
    replayed: int
    wall_s: float

    @property
    def is_exact(self) -> bool:
        return (
            self.verdict.is_exact
            and self.alerts.is_exact
            and self.link == {"crc_errors": self.ledger.crc_errors, "repeats": self.ledger.repeats}
        )

    def as_dict(self) -> dict[str, Any]:
        """The summary of `--json`; counts are readings."""
        verdict = self.verdict
        return {
            "seed": self.seed,
            "sent": self.ledger.sent,
            "acknowledged": self.ledger.acknowledged,
            "authenticated": verdict.authenticated,
            "rejected": verdict.rejected,
            "link": self.link,
            "stored": verdict.stored,
            "missing": verdict.missing,
            "unexpected": verdict.unexpected,
            "duplicates": verdict.duplicates,
            "replayed": self.replayed,
            **self.alerts.as_dict(),
            "wall_s": round(self.wall_s, 2),
        }
