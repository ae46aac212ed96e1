"""Up to when everything that was appended has also been worked off (design: nobody is silent by mistake).

Readings wait in a chain of consumers: authentication before alert. A moment has passed when each
of them, one after the other, has committed what was appended to its topic before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Offsets = Mapping[int, int]

GAP_MS = 300_000
GRACE_MS = 1_200_000


@dataclass(frozen=True, slots=True)
class Stage:
    """One consumer per partition: the offset after the last record, and the one it reads next.

    `ends` must be read after the `positions` of the stage before, and `positions` after `ends`.
    """

    ends: Offsets
    positions: Offsets

    def has_passed(self, ends: Offsets) -> bool:
        """Whether everything before `ends` is committed; an empty partition has nothing to commit."""
        return all(self.positions.get(partition, 0) >= end for partition, end in ends.items())


@dataclass(slots=True)
class _Moment:
    at_ms: int
    stage: int
    ends: Offsets


class Watermark:
    """`passed_ms` is None until a first moment has passed; it goes back with the clock only."""

    def __init__(self) -> None:
        self.passed_ms: int | None = None
        self._moment: _Moment | None = None

    def look(self, now_ms: int, stages: Sequence[Stage]) -> int | None:
        """The latest moment that has passed, given the stages as they are; `now_ms` is from before."""
        if self._moment is not None and self._moment.at_ms > now_ms:
            self._moment = None
        if self._moment is None:
            self._moment = _Moment(now_ms, 0, stages[0].ends)
        if self._advance(self._moment, stages):
            self.passed_ms = self._moment.at_ms
            self._moment = None
            if self.passed_ms < now_ms:
                self.look(now_ms, stages)
        if self.passed_ms is not None:
            self.passed_ms = min(self.passed_ms, now_ms)
        return self.passed_ms

    def _advance(self, moment: _Moment, stages: Sequence[Stage]) -> bool:
        while stages[moment.stage].has_passed(moment.ends):
            moment.stage += 1
            if moment.stage == len(stages):
                return True
            moment.ends = stages[moment.stage].ends
        return False


@dataclass(slots=True)
class Attention:
    """Since when somebody has looked without a gap, and when last.

    A gap is a stop of ours, a store that was away, or a clock that was set: whoever was not heard
    then may only not have been listened to, and gets time to be heard.
    """

    since_ms: int
    looked_at_ms: int

    def look(self, now_ms: int) -> bool:
        """Note a look; True where people may be judged."""
        if not 0 <= now_ms - self.looked_at_ms <= GAP_MS:
            self.since_ms = now_ms
        self.looked_at_ms = now_ms
        return now_ms - self.since_ms >= GRACE_MS
