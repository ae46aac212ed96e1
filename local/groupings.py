"""Storm's groupings: which tasks of a bolt receive a tuple."""

import zlib
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

Chooser = Callable[[Sequence[Any]], tuple[int, ...]]
"""Values of a tuple -> numbers of the receiving tasks."""


def chooser(grouping: Any, fields: Sequence[str], tasks: Sequence[int]) -> Chooser:
    """A chooser for a streamparse Grouping on a stream with these `fields`.

    One per source task, as in Storm. Raises ValueError for direct and custom groupings.
    """
    if grouping.direct is not None:
        raise ValueError("direct grouping is broken in Storm 2.6 and later")
    if grouping.custom_object is not None or grouping.custom_serialized is not None:
        raise ValueError("custom groupings are Java classes, which only Storm can load")
    everyone = tuple(sorted(tasks))
    if grouping.all is not None or len(everyone) == 1:
        return lambda values: everyone
    if grouping.fields is None:
        return _shuffle(everyone)
    if not grouping.fields:  # streamparse writes "global" as fields grouping by no field
        return lambda values: everyone[:1]
    return _by_fields([fields.index(name) for name in grouping.fields], everyone)


def stable_hash(values: Sequence[Any]) -> int:
    """The same in every process; neighbouring integers differ by one, as in Java's list hash."""
    result = 1
    for value in values:
        number = value if isinstance(value, int) else zlib.crc32(repr(value).encode())
        result = 31 * result + number
    return result


def _shuffle(tasks: Sequence[int]) -> Chooser:
    turns = cycle([(task,) for task in tasks])
    return lambda values: next(turns)


def _by_fields(positions: Sequence[int], tasks: Sequence[int]) -> Chooser:
    singles = [(task,) for task in tasks]
    return lambda values: singles[stable_hash([values[p] for p in positions]) % len(singles)]
