"""Parser bolt: reading records into rows, one tuple per device shard (source 7.3.1, 7.3.3)."""

from collections import defaultdict
from typing import Any, ClassVar

import msgspec

from qold.component import QoldBolt
from qold.domain.readings import flags_of
from qold.records import UNDECODABLE, VERSION, decode_reading_record, is_newer
from qold.rows import LogRow, ReadingRow, pack, shard, unpacker

_log_rows = unpacker(LogRow)


class ParserBolt(QoldBolt):
    """What cannot be parsed is a dead letter; its neighbours go on."""

    outputs = ["device_shard", "rows"]

    keeps_message: ClassVar[bool] = False

    def handle(self, tup: Any) -> None:
        values = tup.values
        shards: dict[int, list[ReadingRow]] = defaultdict(list)
        letters = []
        for row in _log_rows(values.records):
            try:
                parsed = self._parse(row)
            except UNDECODABLE:
                reason = "newer-version" if is_newer(row.value) else "malformed"
                source = f"{values.topic}:{values.partition}:{row.offset}"
                letters.append((source, reason, row.value))
                self.counters[f"dead_letters.{reason}"] += 1
                continue
            shards[shard(parsed.device_id, self.settings.shards)].append(parsed)
        if letters:
            self.dead_letters().put(values.topic, letters)
        for device_shard, rows in shards.items():
            self.counters["readings"] += len(rows)
            self.emit([device_shard, pack(rows)])

    def _parse(self, row: LogRow) -> ReadingRow:
        record = decode_reading_record(row.value)
        if record.v != VERSION:
            raise msgspec.ValidationError(f"version {record.v}")
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
        )


class RawParserBolt(ParserBolt):
    """The Parser of the raw topology: rows carry the message as it stood on the log."""

    keeps_message = True
