"""Publish bolt: a window of points into the reading store in one write (source 7.3.3)."""

from collections.abc import Mapping
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.ports import Point, ReadingStore
from qold.records import encode
from qold.rows import PointRow, unpacker

_point_rows = unpacker(PointRow)


class PublishBolt(QoldBolt):
    """Acknowledges a window after the store has it."""

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.store: ReadingStore | None = None

    def handle(self, tup: Any) -> None:
        if self.store is None:
            self.store = wiring.reading_store(self.settings, self.clock)
        metric = tup.values.metric
        rows = _point_rows(tup.values.rows)
        refused = self.store.write(
            metric, [Point(row.device_id, row.measured_at_ms, row.value) for row in rows]
        )
        self.counters[f"stored.{metric.lower()}"] += len(rows) - len(refused)
        if refused:
            letters = [
                (f"{metric}:{rows[r.index].device_id}", r.reason, encode(rows[r.index]))
                for r in refused
            ]
            self.dead_letters().put(self.settings.readings_topic, letters)
            self.counters["dead_letters"] += len(refused)

    def tick(self) -> None:
        if self.store is not None:
            for outcome, count in self.store.verify().items():
                self.counters[f"read_back.{outcome}"] += count
