"""Which excursions and alerts the truth calls for: a plain computation, no code of `qold.domain`.

Works on whole series sorted by time, where the pipeline sees reading by reading.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from local.simulator.bounds import Bounds

LIVE_S = 1800
APART_S = 3600


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """One value of a metric: when it was measured, when its report reached the log."""

    at_s: int
    value: float
    received_s: int


@dataclass(frozen=True, slots=True)
class Spell:
    """An excursion: `members` are its readings outside, the first one started it."""

    kind: str
    members: tuple[Value, ...]
    confirmed: int
    ended_s: int | None
    extreme: float


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that must be there."""

    kind: str
    fired_s: int
    started_s: int
    is_live: bool


SpellsOf = Callable[[Sequence[Value]], list[Spell]]


def spells_of(bounds: Bounds) -> dict[str, dict[str, SpellsOf]]:
    """Per metric and kind: how to find the excursions in a series that is sorted by time."""
    high, low, slack = bounds.highest, bounds.lowest, bounds.hysteresis
    least = bounds.least_battery
    at_once = Bounds(interval_s=bounds.interval_s)
    temperature: dict[str, SpellsOf] = {}
    if high is not None:
        temperature["temperature.high"] = lambda series: _spells(
            "temperature.high",
            series,
            lambda value: value > high,
            lambda value: value <= round(high - slack, 6),
            bounds,
        )
    if low is not None:
        temperature["temperature.low"] = lambda series: _spells(
            "temperature.low",
            series,
            lambda value: value < low,
            lambda value: value >= round(low + slack, 6),
            bounds,
        )
    battery: dict[str, SpellsOf] = {
        "battery.low": lambda series: _spells(
            "battery.low",
            series,
            lambda value: value < least,
            lambda value: value >= least,
            at_once,
        )
    }
    return {"temperature": temperature, "battery": battery}


def expected_alerts(
    arrivals: Iterable[Value], find: SpellsOf
) -> tuple[list[Spell], list[Expected]]:
    """The excursions and alerts of one kind; `arrivals` in the order in which the log got them.

    What came in order is judged reading by reading, what came late at once and after it.
    """
    known: list[Value] = []
    times: set[int] = set()
    told: list[Expected] = []
    stretch: list[Value] = []
    for _, group in groupby(arrivals, key=attrgetter("received_s")):
        late = []
        for value in group:
            if value.at_s in times:
                continue
            times.add(value.at_s)
            if known and value.at_s < known[-1].at_s:
                late.append(value)
            else:
                known.append(value)
                stretch.append(value)
        if late:
            _tell_in_order(find(known), stretch, told)
            stretch = []
            for value in late:
                insort(known, value)
            _tell_late(find(known), known[-1], late[0].received_s, told)
    spells = find(known)
    _tell_in_order(spells, stretch, told)
    return spells, told


def _tell_in_order(spells: Sequence[Spell], fresh: Sequence[Value], told: list[Expected]) -> None:
    new = set(fresh)
    for spell in spells:
        if not fresh or (spell.ended_s is not None and spell.ended_s < fresh[0].at_s):
            continue
        if _is_told(spell, told):
            continue
        counted = spell.members[spell.confirmed :]
        fired = next(
            (
                value
                for value in counted
                if value in new
                and value.received_s - value.at_s <= LIVE_S
                and _is_free(value.at_s, told)
            ),
            None,
        )
        if fired is not None:
            told.append(Expected(spell.kind, fired.at_s, spell.members[0].at_s, is_live=True))
        elif spell.ended_s is not None:
            _tell_historic(spell, told)


def _tell_late(
    spells: Sequence[Spell], newest: Value, received_s: int, told: list[Expected]
) -> None:
    for spell in spells:
        if _is_told(spell, told):
            continue
        if spell.ended_s is not None:
            _tell_historic(spell, told)
        elif received_s - newest.at_s <= LIVE_S and _is_free(newest.at_s, told):
            told.append(Expected(spell.kind, newest.at_s, spell.members[0].at_s, is_live=True))


def _tell_historic(spell: Spell, told: list[Expected]) -> None:
    at_s = spell.members[spell.confirmed].at_s
    if _is_free(at_s, told):
        told.append(Expected(spell.kind, at_s, spell.members[0].at_s, is_live=False))


def _is_told(spell: Spell, told: Sequence[Expected]) -> bool:
    end_s = spell.members[-1].at_s if spell.ended_s is None else spell.ended_s
    return any(spell.members[0].at_s <= alert.fired_s <= end_s for alert in told)


def _is_free(at_s: int, told: Sequence[Expected]) -> bool:
    return all(abs(at_s - alert.fired_s) >= APART_S for alert in told)


def _spells(
    kind: str,
    series: Sequence[Value],
    is_outside: Callable[[float], bool],
    is_back: Callable[[float], bool],
    bounds: Bounds,
) -> list[Spell]:
    found = []
    first = 0
    while first < len(series):
        if not is_outside(series[first].value):
            first += 1
            continue
        after = next(
            (n for n in range(first + 1, len(series)) if is_back(series[n].value)), len(series)
        )
        members = tuple(series[first:after])
        confirmed = _confirmed(members, bounds)
        if confirmed is not None:
            worst = max if kind == "temperature.high" else min
            found.append(
                Spell(
                    kind,
                    members,
                    confirmed,
                    series[after].at_s if after < len(series) else None,
                    worst(value.value for value in members),
                )
            )
        first = after
    return found


def _confirmed(members: Sequence[Value], bounds: Bounds) -> int | None:
    observed_s = 0
    for number, value in enumerate(members):
        if number:
            gap_s = value.at_s - members[number - 1].at_s
            observed_s += gap_s if gap_s <= 2 * bounds.interval_s else 0
        if observed_s >= bounds.delay_s:
            return number
    return None
