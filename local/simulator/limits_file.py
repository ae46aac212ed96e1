"""Limits of recorded units in a CSV file.

Columns `unit,min,max[,delay_s][,hysteresis]`; blank is no check, no delay, no hysteresis.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from local.simulator.bounds import Bounds
from local.simulator.csv_file import MAX_UNITS, RecordingError, read_rows, unit_of

REQUIRED = ("unit", "min", "max")
OPTIONAL = ("delay_s", "hysteresis")
WIDEST, LONGEST_S, LARGEST = 327.67, 86_400, 100


def read_limits_file(path: Path) -> dict[str, Bounds]:
    """Limits by unit; raises `RecordingError` naming file, line and reason of every bad row."""
    found: dict[str, Bounds] = {}

    def take(row: dict[str, str | None]) -> None:
        unit, bounds = _parse(row)
        if unit in found:
            raise ValueError(f"{unit} has limits already")
        if len(found) == MAX_UNITS:
            raise ValueError(f"more than {MAX_UNITS} units")
        found[unit] = bounds

    read_rows(path, _check_columns, take)
    return found


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise RecordingError(f"{path}:1: no column {', '.join(missing)}")
    strange = [name for name in names if name not in (*REQUIRED, *OPTIONAL)]
    if strange:  # a misspelt one would silently be no limit
        raise RecordingError(f"{path}:1: there is no column {', '.join(strange)}")


def _parse(row: dict[str, str | None]) -> tuple[str, Bounds]:
    if None in row or None in row.values():
        raise ValueError("not as many fields as columns")
    unit = unit_of(row)
    lowest = _number(row, "min", -WIDEST, WIDEST)
    highest = _number(row, "max", -WIDEST, WIDEST)
    if lowest is not None and highest is not None and lowest > highest:
        raise ValueError(f"min {row['min']} is above max {row['max']}")
    return unit, Bounds(
        lowest,
        highest,
        delay_s=_number(row, "delay_s", 0, LONGEST_S) or 0,
        hysteresis=_number(row, "hysteresis", 0, LARGEST) or 0.0,
    )


def _number(row: dict[str, str | None], name: str, low: float, high: float) -> float | None:
    text = (row.get(name) or "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:  # also where it is not a number
        raise ValueError(f"{name} {text!r} is not a number from {low:g} to {high:g}")
    return number
