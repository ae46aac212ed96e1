"""Excursions: when a device's readings were outside its limits (source 7.3.4; design: alert rules).

The list of excursions is a function of the set of readings: any order and any repetition ends in
the same list. Readings in order advance a small state; an older one rebuilds the device from the
checkpoint before it. Times are event times; battery has neither delay nor hysteresis.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from qold.domain.limits import Limits

Kind = Literal["temperature.high", "temperature.low", "battery.low"]

DAY_MS = 86_400_000
LATE_MS = 8 * DAY_MS
PAUSE_INTERVALS = 2


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """A reading as the rules see it; (at_ms, fingerprint) tells two of a device apart."""

    at_ms: int
    fingerprint: int
    celsius: float | None = field(compare=False)
    battery: int | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class Excursion:
    """`observed_ms` leaves out gaps; `ended_at_ms` is the first reading back inside, None while open."""

    kind: Kind
    started_at_ms: int
    confirmed_at_ms: int
    ended_at_ms: int | None
    extreme: float
    observed_ms: int


@dataclass(frozen=True, slots=True)
class Run:
    """Readings outside since `started_at_ms`, not yet back; an excursion once it is confirmed."""

    started_at_ms: int
    last_at_ms: int
    observed_ms: int
    extreme: float
    confirmed_at_ms: int | None


@dataclass(slots=True)
class Checkpoint:
    """The runs before the first reading of a day, and how many readings that day has had."""

    from_ms: int
    runs: dict[Kind, Run]
    readings: int = 0


@dataclass(slots=True)
class DeviceState:
    """What is kept of a device: `newest` is the key of the last reading in order."""

    newest: tuple[int, int] | None = None
    runs: dict[Kind, Run] = field(default_factory=dict)
    checkpoints: list[Checkpoint] = field(default_factory=lambda: [Checkpoint(0, {})])

    def is_in_order(self, sample: Sample) -> bool:
        """True when `advance` may take it; otherwise it is a repetition or late."""
        return self.newest is None or (sample.at_ms, sample.fingerprint) > self.newest

    def is_too_late(self, sample: Sample) -> bool:
        """True when the device can no longer be rebuilt from before this reading."""
        return sample.at_ms < self.checkpoints[0].from_ms

    def rebuild_from_ms(self, sample: Sample) -> int:
        """From when all readings are needed to `rebuild` with a late one."""
        return _checkpoint_before(self, sample.at_ms).from_ms

    def readings_since(self, from_ms: int) -> int:
        """How many readings the state has taken in from then on; a checkpoint's time is meant."""
        return sum(point.readings for point in self.checkpoints if point.from_ms >= from_ms)


def advance(state: DeviceState, sample: Sample, limits: Limits) -> list[Excursion]:
    """Take in the next reading in order; returns the excursions it opened, changed or ended."""
    _take_note(state, sample)
    changed: list[Excursion] = []
    celsius, at_ms = sample.celsius, sample.at_ms
    if celsius is not None:
        highest, lowest = limits.max_celsius, limits.min_celsius
        if "temperature.high" in state.runs or (highest is not None and celsius > highest):
            _advance(state, "temperature.high", at_ms, celsius, highest, limits, changed)
        if "temperature.low" in state.runs or (lowest is not None and celsius < lowest):
            _advance(state, "temperature.low", at_ms, celsius, lowest, limits, changed)
    battery = sample.battery
    if battery is not None and ("battery.low" in state.runs or battery < limits.min_battery):
        _advance(state, "battery.low", at_ms, battery, limits.min_battery, limits, changed)
    return changed


def rebuild(state: DeviceState, samples: Iterable[Sample], limits: Limits) -> list[Excursion]:
    """Start again at the checkpoint before the oldest sample; returns every excursion since.

    `samples` are all readings of the device from that checkpoint on, in any order, also repeated.
    What it returns replaces every excursion that was open at that checkpoint or began after it.
    """
    ordered = sorted(set(samples))
    start = _checkpoint_before(state, ordered[0].at_ms)
    state.checkpoints = [p for p in state.checkpoints if p.from_ms < start.from_ms]
    state.checkpoints.append(Checkpoint(start.from_ms, dict(start.runs)))
    state.runs = dict(start.runs)
    state.newest = None
    excursions: dict[tuple[Kind, int], Excursion] = {}
    for sample in ordered:
        for excursion in advance(state, sample, limits):
            excursions[excursion.kind, excursion.started_at_ms] = excursion
    return list(excursions.values())


def _checkpoint_before(state: DeviceState, at_ms: int) -> Checkpoint:
    return next(p for p in reversed(state.checkpoints) if p.from_ms <= at_ms)


def _take_note(state: DeviceState, sample: Sample) -> None:
    day_ms = sample.at_ms - sample.at_ms % DAY_MS
    points = state.checkpoints
    if points[-1].from_ms < day_ms and state.newest is not None:
        points.append(Checkpoint(day_ms, dict(state.runs)))
        while len(points) > 1 and points[1].from_ms <= sample.at_ms - LATE_MS:
            del points[0]
    points[-1].readings += 1
    state.newest = (sample.at_ms, sample.fingerprint)


def _advance(
    state: DeviceState,
    kind: Kind,
    at_ms: int,
    value: float,
    limit: float | None,
    limits: Limits,
    changed: list[Excursion],
) -> None:
    is_temperature = kind != "battery.low"
    sign = 1 if kind == "temperature.high" else -1
    delay_ms, hysteresis = (limits.delay_ms, limits.hysteresis) if is_temperature else (0, 0.0)
    run = state.runs.get(kind)
    if run is None:
        run = Run(at_ms, at_ms, 0, value, None)
    else:
        gap_ms = at_ms - run.last_at_ms
        if gap_ms > PAUSE_INTERVALS * limits.interval_ms:
            gap_ms = 0
        extreme = max(run.extreme, value, key=lambda it: sign * it)
        run = replace(run, last_at_ms=at_ms, observed_ms=run.observed_ms + gap_ms, extreme=extreme)
    has_ended = limit is None or _is_back(value, limit, sign, hysteresis)
    if not has_ended and run.confirmed_at_ms is None and run.observed_ms >= delay_ms:
        run = replace(run, confirmed_at_ms=at_ms)
    if has_ended:
        state.runs.pop(kind, None)
    else:
        state.runs[kind] = run
    if run.confirmed_at_ms is not None:
        changed.append(
            Excursion(
                kind,
                run.started_at_ms,
                run.confirmed_at_ms,
                at_ms if has_ended else None,
                run.extreme,
                run.observed_ms,
            )
        )


def _is_back(value: float, limit: float, sign: int, hysteresis: float) -> bool:
    # Rounded, so that 8.1 - 0.3 is 7.8 and not a hair beside it.
    return sign * value <= round(sign * limit - hysteresis, 6)
