"""Parser bolt: reading records into rows, one tuple per device shard (source 7.3.1, 7.3.3)."""

from collections import defaultdict
from typing import Any, ClassVar

import msgspec

from qold.component import QoldBolt
from qold.dead_letters import OVERSIZED
from qold.domain.readings import flags_of
from qold.records import UNDECODABLE, VERSION, decode_reading_record, is_newer
from qold.rows import LogRow, ReadingRow, pack, shard, unpacker

_log_rows = unpacker(LogRow)


class ParserBolt(QoldBolt):
    """What cannot be parsed is a dead letter; its neighbours go on.

    A subclass may decode other records; whatever `decode` raises of `UNDECODABLE` is a dead letter.
    """

    outputs = ["device_shard", "rows"]

    keeps_message: ClassVar[bool] = False

    def handle(self, tup: Any) -> None:
        values = tup.values
        shards: dict[int, list[Any]] = defaultdict(list)
        letters: list[tuple[str, str, bytes | int]] = []
        for row in _log_rows(values.records):
            source = f"{values.topic}:{values.partition}:{row.offset}"
            if row.unread_bytes:
                letters.append((source, OVERSIZED, row.unread_bytes))
                self.counters[f"dead_letters.{OVERSIZED}"] += 1
                continue
            try:
                record = self.decode(row.value)
                if record.v != VERSION:
                    raise msgspec.ValidationError(f"version {record.v}")
            except UNDECODABLE:
                reason = "newer-version" if is_newer(row.value) else "malformed"
                letters.append((source, reason, row.value))
                self.counters[f"dead_letters.{reason}"] += 1
                continue
            where = shard(self.owner_of(record), self.settings.shards)
            shards[where].append(self.row_of(record, row))
        if letters:
            self.dead_letters().put(values.topic, letters)
        for device_shard, rows in shards.items():
            self.counters["readings"] += len(rows)
            self.emit([device_shard, pack(rows), *self.place_of(values)])

    def decode(self, value: bytes) -> Any:
        """A record of the topic, with its version in `v`."""
        return decode_reading_record(value)

    def owner_of(self, record: Any) -> int:
        """Whose order counts: the id that tuples are grouped by."""
        return int(record.device.id)

    def place_of(self, values: Any) -> list[str | int]:
        """What a tuple says of its own place in the log, behind its rows."""
        return []

    def row_of(self, record: Any, row: LogRow) -> Any:
        """What the topology needs of a record."""
        reading = record.reading
        return ReadingRow(
            record.device.id,
            reading.time * 1000,
            reading.temp,
            reading.batt,
            reading.seq,
            flags_of(door=reading.door, defrost=reading.defrost),
            record.received * 1000,
            record.origin,
            row.value if self.keeps_message else b"",
            record.gateway.id,
        )


class RawParserBolt(ParserBolt):
    """The Parser of the raw topology: rows carry the message as it stood on the log."""

    keeps_message = True
