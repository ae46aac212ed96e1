"""Measured data from a CSV file, sent through the same way as simulated data.

Columns `unit,time_unix,temp_c[,battery|battery_v][,door|door_s]`: battery in %, or volts of a 3 V
cell (2.4 V = 0 %, 3.0 V = 100 %); door 0/1, or seconds open; blank means unknown or closed.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from local.simulator.bounds import Bounds
from local.simulator.csv_file import MAX_UNITS, RecordingError, read_rows, unit_of
from local.simulator.refrigerator import Measurement, Sending
from qold.wire.frame import FLAG_DOOR, MAX_TEMPERATURE_CENTI

EMPTY_V, FULL_V = 2.4, 3.0
REQUIRED = ("unit", "time_unix", "temp_c")
EARLIEST_S, LATEST_S = 1_451_606_400, 4_102_444_800  # 2016 and 2100


class RecordedUnit:
    """One device of a recording; sends each measurement at its own time."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.bounds = Bounds()
        self._measurements: dict[int, Measurement] = {}

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement; the same one twice counts once, another at its time is a ValueError."""
        kept = self._measurements.setdefault(measurement.at_s, measurement)
        if kept != measurement:
            raise ValueError(f"{self.unit} already has other values at {measurement.at_s}")

    def sendings(self) -> Iterator[Sending]:
        for at_s in sorted(self._measurements):
            yield Sending(at_s, (self._measurements[at_s],))


def read_recording(path: Path) -> list[RecordedUnit]:
    """The units of a file in order of first appearance; raises `RecordingError` for any bad row."""
    units: dict[str, RecordedUnit] = {}

    def take(row: dict[str, str | None]) -> None:
        unit, measurement = _parse(row)
        if unit not in units and len(units) == MAX_UNITS:
            raise ValueError(f"more than {MAX_UNITS} units")
        units.setdefault(unit, RecordedUnit(unit)).add(measurement)

    read_rows(path, _check_columns, take)
    if not units:
        raise RecordingError(f"{path}: no rows")
    return list(units.values())


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise RecordingError(f"{path}:1: no column {', '.join(missing)}")
    for pair in (("battery", "battery_v"), ("door", "door_s")):
        if set(pair) <= set(names):
            raise RecordingError(f"{path}:1: columns {pair[0]} and {pair[1]} exclude each other")


def _parse(row: dict[str, str | None]) -> tuple[str, Measurement]:
    if None in row or None in row.values():
        raise ValueError("not as many fields as columns")
    unit = unit_of(row)
    at_s = _number(row, "time_unix")
    if at_s is None or at_s != int(at_s) or not EARLIEST_S <= at_s < LATEST_S:
        raise ValueError(f"time_unix {row['time_unix']!r} is not in whole seconds since 1970")
    celsius = _number(row, "temp_c")
    centi = None if celsius is None else round(celsius * 100)
    if centi is not None and abs(centi) > MAX_TEMPERATURE_CENTI:
        raise ValueError(f"temp_c {row['temp_c']!r} is outside ±327.67")
    return unit, Measurement(int(at_s), centi, _battery(row), _door(row))


def _battery(row: dict[str, str | None]) -> int | None:
    volts = _number(row, "battery_v")
    if volts is not None:
        if not 0 < volts < 5:
            raise ValueError(f"battery_v {row['battery_v']!r} is not the voltage of a 3 V cell")
        return round(100 * min(1.0, max(0.0, (volts - EMPTY_V) / (FULL_V - EMPTY_V))))
    percent = _number(row, "battery")
    if percent is not None and not 0 <= percent <= 100:
        raise ValueError(f"battery {row['battery']!r} is not 0 to 100")
    return None if percent is None else round(percent)


def _door(row: dict[str, str | None]) -> int:
    is_open = _number(row, "door")
    if is_open is not None and is_open not in (0, 1):
        raise ValueError(f"door {row['door']!r} is not 0 or 1")
    seconds = _number(row, "door_s")
    if seconds is not None and seconds < 0:
        raise ValueError(f"door_s {row['door_s']!r} is negative")
    return FLAG_DOOR if is_open or seconds else 0


def _number(row: dict[str, str | None], name: str) -> float | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} {text!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} {text!r} is not a finite number")
    return number
