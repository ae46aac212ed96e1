"""Whether a store that acknowledges before it stores keeps its word: one sample at a time."""

from collections import Counter
from dataclasses import dataclass

from qold.domain.model import Metric, Point

EVERY_MS = 1_000
LATE_MS = 60_000
LOST_MS = 900_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A point that was acknowledged and should be readable soon."""

    metric: Metric
    point: Point
    acknowledged_at_ms: int


class ReadBack:
    """Holds a sample until it was found or given up, then takes the next; no IO.

    Counts `readable`, `late` (not after a minute) and `lost` (given up after a quarter of an hour).
    """

    def __init__(self) -> None:
        self._sample: Sample | None = None
        self._looked_at_ms = 0
        self._is_late = False
        self._counts: Counter[str] = Counter()

    def acknowledged(self, metric: Metric, point: Point, now_ms: int) -> None:
        """Take the point as the sample unless one is waiting."""
        if self._sample is None:
            self._sample = Sample(metric, point, now_ms)
            self._looked_at_ms = now_ms

    def due(self, now_ms: int) -> Sample | None:
        """The sample, when it is time to look for it again."""
        return self._sample if now_ms - self._looked_at_ms >= EVERY_MS else None

    def looked(self, sample: Sample, *, is_found: bool, now_ms: int) -> str:
        """Judge a look: `readable`, `waiting`, `late` (told once a sample) or `lost`."""
        self._looked_at_ms = now_ms
        age_ms = now_ms - sample.acknowledged_at_ms
        verdict = "waiting"
        if is_found:
            verdict = "readable"
        elif age_ms >= LOST_MS:
            verdict = "lost"
        elif age_ms >= LATE_MS and not self._is_late:
            verdict = "late"
        if verdict in ("readable", "lost"):
            self._sample, self._is_late = None, False
        elif verdict == "late":
            self._is_late = True
        if verdict != "waiting":
            self._counts[verdict] += 1
        return verdict

    @property
    def is_late(self) -> bool:
        """Whether the store is behind, so that nothing more should be handed to it."""
        return self._is_late

    def take_counts(self) -> dict[str, int]:
        """What was counted since the last call."""
        counts, self._counts = dict(self._counts), Counter()
        return counts
