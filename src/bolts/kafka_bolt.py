"""Kafka bolt: appends to the log what its input stream is named after (source 7.3.2)."""

from collections.abc import Mapping
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.ports import MessageLog
from qold.rows import Entry, unpacker

_entries = unpacker(Entry)


class KafkaBolt(QoldBolt):
    """`readings`, `events` and `rejected` each to their topic; acknowledged when the records are durable."""

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.message_log: MessageLog | None = None
        self.topics = {
            "readings": self.settings.readings_topic,
            "events": self.settings.events_topic,
            "rejected": self.settings.rejected_topic,
        }

    def handle(self, tup: Any) -> None:
        if self.message_log is None:
            self.message_log = wiring.message_log(self.settings, self.clock)
        entries = _entries(tup.values.entries)
        self.message_log.append(self.topics[tup.stream], [(e.key, e.value) for e in entries])
        self.counters[f"appended.{tup.stream}"] += len(entries)
