"""Which tuple values Storm carries between two workers without harm (storm.md 2.3: Kryo, json-smart)."""

import math
from collections.abc import Sequence
from typing import Any

MAX_INT = 2**63 - 1
MAX_NUMBER_LENGTH = 18  # json-smart makes a BigDecimal of a longer literal; Kryo does not know it


def check_values(values: Sequence[Any]) -> None:
    """Raise TypeError or ValueError, naming the position, unless Storm would accept every value."""
    for position, value in enumerate(values):
        kind = type(value)
        if kind is str:
            if not value.isascii():
                _check_text(position, value)
        elif kind is int:
            if not -MAX_INT - 1 <= value <= MAX_INT:
                raise ValueError(f"value {position}: {value} needs more than 64 bits")
        elif kind is float:
            if not math.isfinite(value) or len(repr(value)) > MAX_NUMBER_LENGTH:
                raise ValueError(f"value {position}: {value!r} is not a short finite number")
        elif value is not None and kind is not bool:
            raise TypeError(f"value {position}: Storm cannot carry {kind.__name__}")


def _check_text(position: int, value: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise ValueError(f"value {position}: not valid Unicode: {exc.reason}") from exc
