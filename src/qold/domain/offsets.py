"""Where a consumer begins; which offset may be committed, given acknowledgements in any order."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from qold.domain.model import PartitionOffsets

FIRST_RETRY_MS = 100
LAST_RETRY_MS = 30_000

Start = Literal["earliest", "latest"] | Mapping[int, int]
"""An end of the log, or an offset for each partition."""


def begin_at(
    ends: Mapping[int, PartitionOffsets], partitions: Iterable[int], start: Start
) -> dict[int, int]:
    """Where a consumer begins that has committed nothing."""
    if isinstance(start, Mapping):
        return {p: start[p] for p in partitions}
    return {p: ends[p].first if start == "earliest" else ends[p].next for p in partitions}


def retry_delay_ms(failures: int) -> int:
    """Back-off before emitting a range again after its `failures`-th failure (1, 2, …)."""
    return int(min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** min(failures - 1, 20)))


@dataclass(slots=True)
class _Range:
    first: int
    last: int
    is_done: bool = False


class OffsetBook:
    """One partition: ranges are emitted in rising order and done in any order.

    Offsets that were never emitted (gaps of the log) do not hold a commit back.
    """

    def __init__(self, next_offset: int) -> None:
        self._committed = next_offset
        self._contiguous = next_offset
        self._ranges: deque[_Range] = deque()

    def __len__(self) -> int:
        """Ranges not yet contiguous: in flight, or done behind one in flight."""
        return len(self._ranges)

    def emitted(self, first: int, last: int) -> None:
        """Note a new range; raises ValueError unless it lies behind all earlier ones."""
        after = self._ranges[-1].last if self._ranges else self._contiguous - 1
        if not after < first <= last:
            raise ValueError(f"range {first}-{last} does not lie behind {after}")
        self._ranges.append(_Range(first, last))

    def done(self, first: int, last: int) -> bool:
        """Note an acknowledgement; False for a range that is not known or already done."""
        for emitted in self._ranges:
            if emitted.first == first:
                if emitted.last != last or emitted.is_done:
                    return False
                emitted.is_done = True
                self._advance()
                return True
            if emitted.first > first:
                break
        return False

    def committable(self) -> int | None:
        """The offset to commit: lowest one not yet acknowledged; None when it has not moved."""
        return self._contiguous if self._contiguous > self._committed else None

    def committed(self, next_offset: int) -> None:
        """Note a successful commit."""
        self._committed = max(self._committed, next_offset)

    def _advance(self) -> None:
        while self._ranges and self._ranges[0].is_done:
            self._contiguous = self._ranges.popleft().last + 1
