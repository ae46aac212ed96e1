"""Parser bolt of the system topology: events of gateways into rows."""

from typing import Any

from bolts.parser import ParserBolt
from qold.records import EventRecord, decode_event_record
from qold.rows import EventRow, LogRow


class EventParserBolt(ParserBolt):
    """Grouped by gateway."""

    def decode(self, value: bytes) -> EventRecord:
        return decode_event_record(value)

    def owner_of(self, record: Any) -> int:
        return int(record.gateway.id)

    def row_of(self, record: Any, row: LogRow) -> EventRow:
        event = record.event
        return EventRow(
            record.gateway.id, event.kind, event.data, event.time * 1000, record.received * 1000
        )
