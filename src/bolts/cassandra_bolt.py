"""Cassandra bolt: keeps every authenticated message (source 7.3.1, T5.3)."""

from collections.abc import Mapping
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.domain.readings import fingerprint
from qold.ports import RawRow, RawStore
from qold.rows import ReadingRow, unpacker

_reading_rows = unpacker(ReadingRow)


class CassandraBolt(QoldBolt):
    """One batch per tuple into the raw store; a replay rewrites the same rows."""

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.store: RawStore | None = None

    def handle(self, tup: Any) -> None:
        if self.store is None:
            self.store = wiring.raw_store(self.settings, self.clock)
        rows = _reading_rows(tup.values.rows)
        refused = self.store.write([_raw(row) for row in rows])
        self.counters["stored"] += len(rows) - len(refused)
        if refused:
            letters = [
                (rows[refusal.index].origin, refusal.reason, rows[refusal.index].message)
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
