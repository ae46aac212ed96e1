"""What Temperature bolt and Battery bolt share: windows that close by time or size (source 7.3.3)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from qold.component import HELD, QoldBolt
from qold.ports import Metric
from qold.rows import PointRow, ReadingRow, pack, unpacker

_reading_rows = unpacker(ReadingRow)


class WindowBolt(QoldBolt):
    """Collects the points of one metric; input is acknowledged when its window is emitted."""

    metric: ClassVar[Metric]

    outputs = ["metric", "rows"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.points: list[PointRow] = []
        self.held: list[Any] = []
        self.opened_at_ms = 0

    def value_of(self, row: ReadingRow) -> float | int | None:
        """The metric's value, None where the reading has none."""
        raise NotImplementedError

    def handle(self, tup: Any) -> object:
        if not self.held:
            self.opened_at_ms = self.clock.monotonic_ms()
        self.held.append(tup)
        for row in _reading_rows(tup.values.rows):
            value = self.value_of(row)
            if value is not None:
                self.points.append(PointRow(row.device_id, row.measured_at_ms, value))
        if len(self.points) >= self.settings.window_readings:
            self._close()
        return HELD

    def tick(self) -> None:
        age_ms = self.clock.monotonic_ms() - self.opened_at_ms
        if self.held and age_ms >= self.settings.window_ms:
            self._close()

    def _close(self) -> None:
        if self.points:
            self.emit([self.metric, pack(self.points)], anchors=self.held)
        self.counters["windows"] += 1
        self.counters["points"] += len(self.points)
        for tup in self.held:
            self.ack(tup)
        self.points, self.held = [], []
