"""Battery bolt of the datapoints topology (source 7.3.3)."""

from typing import ClassVar

from bolts.window_bolt import PointWindowBolt
from qold.ports import Metric
from qold.rows import ReadingRow


class BatteryBolt(PointWindowBolt):
    """Metric Battery: % as a whole number; an unknown battery has no point."""

    metric: ClassVar[Metric] = "Battery"

    def value_of(self, row: ReadingRow) -> int | None:
        return row.batt
