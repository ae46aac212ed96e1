"""Parser bolt of the legacy topology: readings in the format of the legacy API (source 7.3.6)."""

from typing import Any

from bolts.parser import ParserBolt
from qold.rows import LegacyRow, LogRow


class LegacyParserBolt(ParserBolt):
    """A sensor fault or an unknown battery, for which that format has no word, is empty text."""

    outputs = ["device_shard", "rows", "topic", "partition"]

    def place_of(self, values: Any) -> list[str | int]:
        return [values.topic, values.partition]

    def row_of(self, record: Any, row: LogRow) -> LegacyRow:
        reading = record.reading
        return LegacyRow(
            row.offset,
            record.device.id,
            "" if reading.temp is None else f"{reading.temp:.2f}",
            "" if reading.batt is None else str(reading.batt),
            str(reading.time),
        )
