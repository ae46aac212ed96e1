"""The memory of stored items, by which a repeated frame is recognised item by item."""

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import SqliteDatabase

from qold.wire.frame import BATTERY_UNKNOWN, SENSOR_FAULT, Item

KEPT_S = 24 * 3600
# A repeated item's age is counted anew, in whole seconds.
SAME_MEASUREMENT_S = 10
# Items forgotten in one transaction. Each may lie on a page of its own, and all of these pages are
# written to SQLite's log: 4 MB. More than one read from the line holds (608 items).
FORGET_ROWS = 1000

_FORGET = (
    "DELETE FROM Items WHERE (device_id, sequence, measured, temperature, battery, flags) IN"
    " (SELECT device_id, sequence, measured, temperature, battery, flags FROM Items"
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """An item as it was heard; `measured` and `heard` in Unix seconds."""

    device_id: int
    sequence: int
    item: Item
    measured: int
    heard: int


class Memory:
    """The items of one outbox, at most `limit`; beyond, the items stored first are forgotten.

    One process writes them. It calls `settle` or `undo` at the end of each transaction.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.forgotten = 0
        self._count: int | None = None
        self._change = 0
        self._forgotten_now = 0

    def count(self, database: SqliteDatabase) -> int:
        """How many items are remembered, those of the open transaction included."""
        if self._count is None:
            (rows,) = database.execute_sql("SELECT count(*) FROM Items").fetchone()
            self._count = int(rows) - self._change
        return self._count + self._change

    def unknown(
        self, database: SqliteDatabase, measurements: Sequence[Measurement]
    ) -> list[Measurement]:
        """Those not stored yet: another sequence, other content, or measured at another time."""
        return [measurement for measurement in measurements if not _is_known(database, measurement)]

    def remember(self, database: SqliteDatabase, measurements: Sequence[Measurement]) -> None:
        """Note what is stored in the same transaction."""
        for measurement in measurements:
            database.execute_sql(
                "INSERT INTO Items (device_id, sequence, temperature, battery, flags, measured,"
                " heard) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*_content(measurement), measurement.measured, measurement.heard),
            )
        self._change += len(measurements)

    def trim(self, database: SqliteDatabase) -> int:
        """Forget the items stored first beyond the limit, at most FORGET_ROWS; how many."""
        excess = min(FORGET_ROWS, self.count(database) - self.limit)
        if excess <= 0:
            return 0
        cursor = database.execute_sql(f"{_FORGET} ORDER BY heard LIMIT ?)", (excess,))
        self._change -= cursor.rowcount
        self._forgotten_now += cursor.rowcount
        return int(cursor.rowcount)

    def expire(self, database: SqliteDatabase, *, now: int) -> int:
        """Forget items heard over 24 h ago or ahead (Unix seconds), at most FORGET_ROWS."""
        cursor = database.execute_sql(
            f"{_FORGET} WHERE heard < ? OR heard > ? LIMIT ?)",
            (now - KEPT_S, now + KEPT_S, FORGET_ROWS),
        )
        self._change -= cursor.rowcount
        return int(cursor.rowcount)

    def settle(self) -> None:
        """The transaction was committed."""
        if self._count is not None:
            self._count += self._change
        self.forgotten += self._forgotten_now
        self._change = self._forgotten_now = 0

    def undo(self) -> None:
        """The transaction was rolled back."""
        self._change = self._forgotten_now = 0

    def reopen(self) -> None:
        """Another file: count its items again."""
        self._count = None


def _is_known(database: SqliteDatabase, measurement: Measurement) -> bool:
    measured = measurement.measured
    cursor = database.execute_sql(
        "SELECT 1 FROM Items WHERE device_id = ? AND sequence = ? AND temperature = ?"
        " AND battery = ? AND flags = ? AND measured BETWEEN ? AND ?",
        (
            *_content(measurement),
            measured - SAME_MEASUREMENT_S,
            measured + SAME_MEASUREMENT_S,
        ),
    )
    return cursor.fetchone() is not None


def _content(measurement: Measurement) -> tuple[int, int, int, int, int]:
    item = measurement.item
    return (
        measurement.device_id,
        measurement.sequence,
        SENSOR_FAULT if item.temperature_centi is None else item.temperature_centi,
        BATTERY_UNKNOWN if item.battery is None else item.battery,
        item.flags,
    )
