"""Room: how `max_mb` is divided between messages, repeats, reserve and write-ahead log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

PAGE_BYTES = 4096
# Bytes of file per remembered item, two indexes together. Measured: 75 in random order, 135 in the
# worst order tried. A smaller value would let repeats take the messages' room.
ITEM_BYTES = 160
# Bytes of file per message beside its text: row header, id, timestamp. Measured: 16 to 20.
MESSAGE_BYTES = 32
# Share of `max_mb` for repeats. At 512 MB it holds 419 000 items: 24 h of 4 300 devices that
# measure each quarter of an hour, and four minutes of forged items at 115 200 baud.
_MEMORY_SHARE = 8
# Bytes for events and deletions while the messages' room is full; 1/16 of a small outbox.
_LARGEST_RESERVE_BYTES = 2 * 2**20
# Bytes beside the file: SQLite's log up to its checkpoint, one transaction more, and its index. In
# a small outbox 9/16, because a transaction may then write every page of the file.
_LARGEST_LOG_BYTES = 12 * 2**20
# Pages of log at which SQLite checkpoints: its default. A smaller outbox does so earlier.
_LARGEST_CHECKPOINT_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Division:
    """The parts of `max_mb`; bytes, except where the name says otherwise."""

    messages: int
    memory: int
    reserve: int
    log: int

    @classmethod
    def of(cls, max_bytes: int) -> Self:
        """The division of an outbox that takes at most `max_bytes` of the disk."""
        memory = max_bytes // _MEMORY_SHARE
        reserve = min(_LARGEST_RESERVE_BYTES, max_bytes // 16)
        log = min(_LARGEST_LOG_BYTES, max_bytes * 9 // 16)
        return cls(max_bytes - memory - reserve - log, memory, reserve, log)

    @property
    def file_pages(self) -> int:
        """The most pages the file may have."""
        return (self.messages + self.memory + self.reserve) // PAGE_BYTES

    @property
    def checkpoint_pages(self) -> int:
        """Pages of log at which they are written back into the file."""
        return min(_LARGEST_CHECKPOINT_PAGES, self.log // 8 // PAGE_BYTES)

    @property
    def remembered_items(self) -> int:
        """The most items the memory of repeats may hold."""
        return self.memory // ITEM_BYTES


class Room:
    """The messages' room during one transaction; `drop(bytes)` returns the bytes it freed."""

    def __init__(self, free_bytes: int, drop: Callable[[int], int]) -> None:
        self._free_bytes = free_bytes
        self._drop = drop

    def take(self, size: int) -> bool:
        """True when messages of `size` bytes may be added; drops the oldest if allowed.

        An outbox beyond its room (older version, smaller `max_mb`) shrinks by as much as comes in.
        """
        if size > self._free_bytes:
            freed = self._drop(min(size - self._free_bytes, 2 * size))
            self._free_bytes += freed
            if size > max(freed, self._free_bytes):
                return False
        self._free_bytes -= size
        return True
