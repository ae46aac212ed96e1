"""Changes of the registry as they come from the topic `config`; the rest becomes a dead letter."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qold.dead_letters import OVERSIZED, DeadLetters
from qold.records import UNDECODABLE, ConfigChange, decode_config_change, is_newer
from qold.rows import LogRow, unpacker

_log_rows = unpacker(LogRow)


class ConfigChanges:
    """Changes that one task of a bolt follows.

    Every task gets every record, so one task of a topology writes dead letters; `letters` is None in
    the others.
    """

    def __init__(self, counters: Counter[str], letters: Callable[[], DeadLetters] | None) -> None:
        self._counters = counters
        self._letters = letters

    def read(self, values: Any) -> Iterator[ConfigChange]:
        """The changes of a tuple of log records; raises `Unavailable`."""
        faults: list[tuple[str, str, bytes | int]] = []
        changes = []
        for row in _log_rows(values.records):
            reason, change = _opened(row)
            if change is not None:
                changes.append(change)
            if reason:
                self._counters["config_unreadable"] += 1
                source = f"{values.topic}:{values.partition}:{row.offset}"
                faults.append((source, reason, row.unread_bytes or row.value))
        if faults and self._letters is not None:
            self._letters().put(values.topic, faults)
        return iter(changes)


def is_first_task(context: Mapping[str, Any]) -> bool:
    """Whether this is the lowest task of its component."""
    name = context["componentid"]
    tasks = [int(task) for task, owner in context["task->component"].items() if owner == name]
    return int(context["taskid"]) == min(tasks)


def _opened(row: LogRow) -> tuple[str, ConfigChange | None]:
    """The fault, and the change where it can be followed nevertheless."""
    if row.unread_bytes:
        return OVERSIZED, None
    if not row.value:  # a tombstone: the topic is compacted
        return "", None
    reason = "newer-version" if is_newer(row.value) else ""
    try:
        return reason, decode_config_change(row.value)
    except UNDECODABLE:
        return reason or "malformed", None
