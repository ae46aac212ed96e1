"""Temperature bolt of the datapoints topology (source 7.3.3)."""

from typing import ClassVar

from bolts.window_bolt import PointWindowBolt
from qold.ports import Metric
from qold.rows import ReadingRow


class TemperatureBolt(PointWindowBolt):
    """Metric Temperature: °C as a double; a sensor fault has no point."""

    metric: ClassVar[Metric] = "Temperature"

    def value_of(self, row: ReadingRow) -> float | None:
        return row.temp
