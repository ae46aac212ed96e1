"""Kafka bolt: appends to the log what its input stream is named after (source 7.3.2)."""

from collections.abc import Mapping
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.domain.refusal_budget import RefusalBudget
from qold.ports import MessageLog
from qold.rejections import over_budget
from qold.rows import Entry, Refusal, unpacker

_entries = unpacker(Entry)
_refusals = unpacker(Refusal)


class KafkaBolt(QoldBolt):
    """`readings`, `events` and `rejected` each to their topic; acknowledged when the records are durable.

    Refusals are written within the budget of their gateway; a tick writes how many were only counted.
    """

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.message_log: MessageLog | None = None
        self.topics = {
            "readings": self.settings.readings_topic,
            "events": self.settings.events_topic,
            "rejected": self.settings.rejected_topic,
        }
        self.budget = RefusalBudget(
            gateway_records=self.settings.rejections_per_hour,
            unproven_records=self.settings.unproven_rejections_per_hour,
        )

    def handle(self, tup: Any) -> None:
        entries: list[Entry]
        if tup.stream == "rejected":
            refusals = _refusals(tup.values.entries)
            entries = list(self.budget.admit(tup.values.message_id, refusals))
        else:
            entries = _entries(tup.values.entries)
        self._append(tup.stream, entries)

    def tick(self) -> None:
        """Write what was counted since the last minute."""
        overruns = self.budget.overruns()
        self._append("rejected", [over_budget(overrun) for overrun in overruns])
        self.budget.clear_overruns()

    def _append(self, stream: str, entries: list[Entry]) -> None:
        if not entries:
            return
        if self.message_log is None:
            self.message_log = wiring.message_log(self.settings, self.clock)
        self.message_log.append(self.topics[stream], [(e.key, e.value) for e in entries])
        self.counters[f"appended.{stream}"] += len(entries)
