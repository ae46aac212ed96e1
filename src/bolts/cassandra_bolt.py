"""Cassandra bolt: keeps every authenticated message (source 7.3.1, T5.3)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bolts.window_bolt import WindowBolt
from qold import wiring
from qold.domain.readings import fingerprint
from qold.ports import RawRow, RawStore
from qold.rows import ReadingRow

WINDOW_MS = 500
WINDOW_ROWS = 2000


class CassandraBolt(WindowBolt):
    """One batch per window into the raw store; a replay rewrites the same rows.

    While little comes, tuples are small. A write for each made a store that is busy with other
    things keep up with 14 tuples a second, and what waited never became less.
    """

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        super().setup(storm_conf, context)
        self.store: RawStore | None = None

    def limits(self) -> tuple[int, int]:
        return WINDOW_MS, WINDOW_ROWS

    def items_of(self, rows: list[ReadingRow]) -> Iterable[ReadingRow]:
        return rows

    def close(self, items: Sequence[ReadingRow], held: Sequence[Any]) -> None:
        if self.store is None:
            self.store = wiring.raw_store(self.settings, self.clock)
        refused = self.store.write([_raw(row) for row in items])
        self.counters["stored"] += len(items) - len(refused)
        if refused:
            letters = [
                (items[refusal.index].origin, refusal.reason, items[refusal.index].message)
                for refusal in refused
            ]
            self.dead_letters().put(self.settings.readings_topic, letters)
            self.counters["dead_letters"] += len(refused)


def _raw(row: ReadingRow) -> RawRow:
    return RawRow(
        row.device_id,
        row.measured_at_ms,
        fingerprint(row.device_id, row.seq, row.temp, row.batt, row.flags),
        row.message.decode("utf-8"),
        row.origin,
    )
