"""What is kept of a device between its readings: one row for temperature and battery together."""

from dataclasses import dataclass, field

from qold.domain.excursions import DeviceState, Kind

DEFERRED_MS = 3_600_000


@dataclass(slots=True)
class Deferred:
    """A rebuild from `from_ms` that could not be made at `since_ms`, for want of the raw readings."""

    from_ms: int
    since_ms: int

    def is_overdue(self, now_ms: int) -> bool:
        """True when what the raw store holds by now must do."""
        return now_ms - self.since_ms >= DEFERRED_MS


@dataclass(slots=True)
class MetricState:
    """The excursions under way, and when alerts of each kind were fired (event time)."""

    excursions: DeviceState = field(default_factory=DeviceState)
    fired_at_ms: dict[Kind, list[int]] = field(default_factory=dict)
    deferred: Deferred | None = None


@dataclass(slots=True)
class ThresholdState:
    """One device."""

    temperature: MetricState = field(default_factory=MetricState)
    battery: MetricState = field(default_factory=MetricState)
