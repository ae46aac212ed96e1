"""The memory of stored items, by which a repeated frame is recognised item by item."""

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import SqliteDatabase

from qold.wire.frame import BATTERY_UNKNOWN, SENSOR_FAULT, Item

KEPT_S = 24 * 3600
# A repeated item's age is counted anew, in whole seconds.
SAME_MEASUREMENT_S = 10


@dataclass(frozen=True, slots=True)
class Measurement:
    """An item as it was heard; `measured` and `heard` in Unix seconds."""

    device_id: int
    sequence: int
    item: Item
    measured: int
    heard: int


def unknown(database: SqliteDatabase, measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those not stored yet: another sequence, other content, or measured at another time."""
    return [measurement for measurement in measurements if not _is_known(database, measurement)]


def remember(database: SqliteDatabase, measurements: Sequence[Measurement]) -> None:
    """Note what is stored in the same transaction."""
    for measurement in measurements:
        database.execute_sql(
            "INSERT INTO Items (device_id, sequence, temperature, battery, flags, measured, heard)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*_content(measurement), measurement.measured, measurement.heard),
        )


def forget(database: SqliteDatabase, *, now: int, kept_s: int = KEPT_S) -> None:
    """Drop items heard longer ago, or on a day that has not come (Unix seconds)."""
    database.execute_sql(
        "DELETE FROM Items WHERE heard < ? OR heard > ?", (now - kept_s, now + KEPT_S)
    )


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
