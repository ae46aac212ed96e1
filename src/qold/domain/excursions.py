"""Excursions: when a device's readings were outside its limits (source 7.3.4; design: alert rules).

The list of excursions is a function of the set of readings: any order and any repetition ends in
the same list. Readings in order advance a small state; an older one rebuilds the device from the
checkpoint before it. Times are event times.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["temperature.high", "temperature.low", "battery.low"]

DAY_MS = 86_400_000
LATE_MS = 8 * DAY_MS


@dataclass(frozen=True, slots=True, order=True)
class Sample:
    """One value of a metric; (at_ms, fingerprint) tells two of a device apart."""

    at_ms: int
    fingerprint: int
    value: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """Values beyond `limit` are outside; `sign` is 1 where higher is worse, -1 where lower is.

    An excursion counts once it was observed for `delay_ms`, which a gap of more than `pause_ms`
    between two readings does not add to, and ends `hysteresis` within the limit. None: no limit.
    """

    kind: Kind
    limit: float | None
    sign: Literal[1, -1]
    pause_ms: int
    delay_ms: int = 0
    hysteresis: float = 0.0

    def is_outside(self, value: float) -> bool:
        """Strictly beyond the limit."""
        return self.limit is not None and self.sign * value > self.sign * self.limit

    def is_back(self, value: float) -> bool:
        """Far enough within the limit to end an excursion."""
        if self.limit is None:
            return True
        # Rounded, so that 8.1 - 0.3 is 7.8 and not a hair beside it.
        return self.sign * value <= round(self.sign * self.limit - self.hysteresis, 6)


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
    """What is kept of one metric of a device: `newest` is the key of the last reading in order."""

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


def advance(state: DeviceState, sample: Sample, rules: Sequence[Rule]) -> list[Excursion]:
    """Take in the next reading in order; returns the excursions it opened, changed or ended."""
    _take_note(state, sample)
    changed: list[Excursion] = []
    for rule in rules:
        if rule.kind in state.runs or rule.is_outside(sample.value):
            _follow(state, sample, rule, changed)
    return changed


def rebuild(
    state: DeviceState, samples: Iterable[Sample], rules: Sequence[Rule]
) -> list[Excursion]:
    """Start again at the checkpoint before the oldest sample; returns every excursion since.

    `samples` are all readings of the metric from that checkpoint on, in any order, also repeated.
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
        for excursion in advance(state, sample, rules):
            excursions[excursion.kind, excursion.started_at_ms] = excursion
    return list(excursions.values())


def _checkpoint_before(state: DeviceState, at_ms: int) -> Checkpoint:
    return next(p for p in reversed(state.checkpoints) if p.from_ms <= at_ms)


def _take_note(state: DeviceState, sample: Sample) -> None:
    day_ms = sample.at_ms - sample.at_ms % DAY_MS
    points = state.checkpoints
    if points[-1].from_ms < day_ms:
        points.append(Checkpoint(day_ms, dict(state.runs)))
        while len(points) > 1 and points[1].from_ms <= sample.at_ms - LATE_MS:
            del points[0]
    points[-1].readings += 1
    state.newest = (sample.at_ms, sample.fingerprint)


def _follow(state: DeviceState, sample: Sample, rule: Rule, changed: list[Excursion]) -> None:
    at_ms, value = sample.at_ms, sample.value
    run = state.runs.pop(rule.kind, None)
    if run is None:
        run = Run(at_ms, at_ms, 0, value, None)
    else:
        gap_ms = at_ms - run.last_at_ms
        run = replace(
            run,
            last_at_ms=at_ms,
            observed_ms=run.observed_ms + (gap_ms if gap_ms <= rule.pause_ms else 0),
            extreme=max(run.extreme, value, key=lambda it: rule.sign * it),
        )
    has_ended = rule.is_back(value)
    if not has_ended:
        if run.confirmed_at_ms is None and run.observed_ms >= rule.delay_ms:
            run = replace(run, confirmed_at_ms=at_ms)
        state.runs[rule.kind] = run
    if run.confirmed_at_ms is not None:
        changed.append(
            Excursion(
                rule.kind,
                run.started_at_ms,
                run.confirmed_at_ms,
                at_ms if has_ended else None,
                run.extreme,
                run.observed_ms,
            )
        )
