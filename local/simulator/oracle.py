"""Compares what the stores and the log really hold with what the ledger says they must hold."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from local.simulator.ledger import Content, Ledger
from qold.ports import METRICS, MessageLog, Metric, RawStore, ReadingStore
from qold.settings import Settings

FOR_EVER_MS = 2**53
EXAMPLES = 5


@dataclass(slots=True)
class Verdict:
    """Counts are readings; `examples` names a few of what is wrong."""

    authenticated: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    unexpected: int = 0
    duplicates: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Everything is where it must be, and nothing else is anywhere."""
        return not (self.missing or self.unexpected or self.duplicates)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Oracle:
    """Reads the truth back through the ports."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        log: MessageLog,
        raw: RawStore,
        readings: ReadingStore,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._log = log
        self._raw = raw
        self._readings = readings

    def judge(self, device_ids: list[int]) -> Verdict:
        """Compare everything stored for these devices, and the totals of every store."""
        verdict = Verdict()
        self._judge_log(verdict)
        self._judge_raw(verdict, device_ids)
        self._judge_metrics(verdict, device_ids)
        return verdict

    def _judge_log(self, verdict: Verdict) -> None:
        ledger = self._ledger
        verdict.authenticated = sum(1 for _ in self._records(self._settings.readings_topic))
        rejected: Counter[str] = Counter()
        for value in self._records(self._settings.rejected_topic):
            record = json.loads(value)
            rejected[record["reason"]] += record.get("readings", 1)
        verdict.rejected = dict(sorted(rejected.items()))
        self._compare_counts(
            verdict, "authenticated", {"": ledger.authenticated}, {"": verdict.authenticated}
        )
        self._compare_counts(verdict, "rejected", ledger.rejected, rejected)

    def _judge_raw(self, verdict: Verdict, device_ids: list[int]) -> None:
        found: Counter[Content] = Counter(
            content
            for device_id in device_ids
            for row in self._raw.read(device_id, 0, FOR_EVER_MS)
            for content in [_content(device_id, row.measured_at_ms, json.loads(row.message))]
        )
        verdict.stored["raw"] = self._raw.count()
        verdict.duplicates += sum(found.values()) - len(found)
        self._compare_sets(verdict, "raw", self._ledger.raw, set(found))
        strangers = verdict.stored["raw"] - sum(found.values())
        if strangers:
            self._note(verdict, "unexpected", strangers, "raw rows of unknown devices")

    def _judge_metrics(self, verdict: Verdict, device_ids: list[int]) -> None:
        expected: dict[Metric, Mapping[tuple[int, int], float | int]] = {
            "Temperature": self._ledger.temperature,
            "Battery": self._ledger.battery,
        }
        for metric in METRICS:
            found = {
                (device_id, point.measured_at_ms): point.value
                for device_id in device_ids
                for point in self._readings.query(metric, device_id, 0, FOR_EVER_MS)
            }
            truth = {(i, at_s * 1000): value for (i, at_s), value in expected[metric].items()}
            verdict.stored[metric.lower()] = self._readings.count(metric)
            self._compare_sets(verdict, metric, set(truth.items()), set(found.items()))
            strangers = verdict.stored[metric.lower()] - len(found)
            if strangers:
                self._note(verdict, "unexpected", strangers, f"{metric} of unknown devices")

    def _compare_sets(
        self, verdict: Verdict, what: str, expected: set[Any], found: set[Any]
    ) -> None:
        for kind, difference in (("missing", expected - found), ("unexpected", found - expected)):
            if difference:
                example = min(difference, key=repr)
                self._note(verdict, kind, len(difference), f"{what}, such as {example!r}")

    def _compare_counts(
        self, verdict: Verdict, what: str, expected: dict[str, int], found: dict[str, int]
    ) -> None:
        for name in sorted({*expected, *found}):
            surplus = found.get(name, 0) - expected.get(name, 0)
            if surplus:
                kind = "unexpected" if surplus > 0 else "missing"
                self._note(verdict, kind, abs(surplus), f"{what} {name}".rstrip())

    def _note(self, verdict: Verdict, kind: str, count: int, what: str) -> None:
        setattr(verdict, kind, getattr(verdict, kind) + count)
        if len(verdict.examples) < EXAMPLES:
            verdict.examples.append(f"{count} {kind}: {what}")

    def _records(self, topic: str) -> Iterator[bytes]:
        partitions = range(self._log.partition_count(topic))
        reader = self._log.reader("oracle", topic, partitions)
        while records := reader.poll(partitions, max_records=5000, max_bytes=2**24, wait_ms=0):
            yield from (record.value for record in records)
        reader.close()


def _content(device_id: int, measured_at_ms: int, message: dict[str, Any]) -> Content:
    reading = message["reading"]
    flags = (1 if reading.get("door") else 0) | (2 if reading.get("defrost") else 0)
    return (
        device_id,
        measured_at_ms // 1000,
        reading["seq"],
        reading["temp"],
        reading["batt"],
        flags,
    )
