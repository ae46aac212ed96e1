"""What the bolts of stores share: windows that close by time or size (source 7.3.3)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from qold.component import HELD, QoldBolt
from qold.ports import Metric, Unavailable
from qold.rows import PointRow, ReadingRow, pack, unpacker

_reading_rows = unpacker(ReadingRow)


class WindowBolt(QoldBolt):
    """Collects what `items_of` makes of readings; input is acknowledged when its window is closed."""

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.items: list[Any] = []
        self.held: list[Any] = []
        self.opened_at_ms = 0

    def items_of(self, rows: list[ReadingRow]) -> Iterable[Any]:
        """What a window collects of the readings of a tuple."""
        raise NotImplementedError

    def close(self, items: Sequence[Any], held: Sequence[Any]) -> None:
        """Pass on what a window has collected of these tuples; `Unavailable` fails them all."""
        raise NotImplementedError

    def limits(self) -> tuple[int, int]:
        """After how many ms, and with how many items, a window closes."""
        return self.settings.window_ms, self.settings.window_readings

    def handle(self, tup: Any) -> object:
        if not self.held:
            self.opened_at_ms = self.clock.monotonic_ms()
        self.held.append(tup)
        self.items.extend(self.items_of(_reading_rows(tup.values.rows)))
        if len(self.items) >= self.limits()[1]:
            self._close()
        return HELD

    def tick(self) -> None:
        age_ms = self.clock.monotonic_ms() - self.opened_at_ms
        if self.held and age_ms >= self.limits()[0]:
            self._close()

    def _close(self) -> None:
        items, held = self.items, self.held
        self.items, self.held = [], []
        settle = self.ack
        try:
            self.close(items, held)
            self.counters["windows"] += 1
        except Unavailable as away:
            self.counters["failed_unavailable"] += len(held)
            self.logger.warning("a window of %d tuples failed: %s", len(held), away)
            settle = self.fail
        for tup in held:
            settle(tup)


class PointWindowBolt(WindowBolt):
    """Windows of the points of one metric, emitted for the bolt that publishes them."""

    metric: ClassVar[Metric]

    outputs = ["metric", "rows"]

    def value_of(self, row: ReadingRow) -> float | int | None:
        """The metric's value, None where the reading has none."""
        raise NotImplementedError

    def items_of(self, rows: list[ReadingRow]) -> Iterable[PointRow]:
        for row in rows:
            value = self.value_of(row)
            if value is not None:
                yield PointRow(row.device_id, row.measured_at_ms, value)

    def close(self, items: Sequence[PointRow], held: Sequence[Any]) -> None:
        if items:
            self.emit([self.metric, pack(items)], anchors=list(held))
        self.counters["points"] += len(items)
