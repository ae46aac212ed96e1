"""Times, durations and aggregations as people write them."""

import re
from datetime import UTC, datetime

import click

from qold.ports import Aggregator

AGGREGATORS: tuple[Aggregator, ...] = ("avg", "min", "max", "sum", "count", "first", "last")
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MAX_DIGITS = 12  # of Unix seconds: thirty thousand years
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")


def duration_ms(text: str) -> int:
    """`15s`, `10m`, `1h`, `7d` in milliseconds; raises BadParameter."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a duration such as 15s, 10m, 1h or 7d")
    return int(match[1]) * _UNITS_MS[match[2]]


def instant_ms(text: str, now_ms: int) -> int:
    """ISO 8601 (UTC unless it says otherwise), Unix seconds, `now`, or `-24h`; milliseconds."""
    if text == "now":
        return now_ms
    if text.startswith("-"):
        return now_ms - duration_ms(text[1:])
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text) * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; try 2026-11-24T13:00, Unix seconds, now, or -24h"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def aggregation(text: str) -> tuple[int, Aggregator]:
    """`1h:avg` as (bucket in ms, aggregator); raises BadParameter."""
    duration, _, name = text.partition(":")
    for aggregator in AGGREGATORS:
        if name == aggregator:
            return duration_ms(duration), aggregator
    raise click.BadParameter(f"{text!r} is not like 1h:avg; there is: {', '.join(AGGREGATORS)}")
