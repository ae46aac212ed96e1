"""How far a topology is, and what every process has spent, at each look; and what lies between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Look:
    """At `at_s`: so many records committed, so many seconds of CPU spent by each kind of process."""

    at_s: float
    done: int
    cpu_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Span:
    """Between two numbers of records."""

    wall_s: float
    cpu_s: Mapping[str, float]


def span(looks: Sequence[Look], first: int, last: int) -> Span:
    """From when `first` were committed to when `last` were, in proportion between two looks.

    Raises ValueError when it did not come so far.
    """
    begin, end = crossing(looks, first), crossing(looks, last)
    spent = {kind: seconds - begin.cpu_s.get(kind, 0.0) for kind, seconds in end.cpu_s.items()}
    return Span(end.at_s - begin.at_s, spent)


def crossing(looks: Sequence[Look], done: int) -> Look:
    """The first moment at which so many were committed; raises ValueError when there is none."""
    if looks[0].done == done:
        return looks[0]
    for before, after in pairwise(looks):
        if before.done < done <= after.done:
            share = (done - before.done) / (after.done - before.done)
            kinds = before.cpu_s.keys() | after.cpu_s.keys()
            return Look(
                before.at_s + share * (after.at_s - before.at_s),
                done,
                {
                    kind: (1 - share) * before.cpu_s.get(kind, 0.0)
                    + share * after.cpu_s.get(kind, 0.0)
                    for kind in kinds
                },
            )
    raise ValueError(f"it never came to {done}")
