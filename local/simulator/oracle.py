"""Compares what the stores and the log really hold with what the ledger says they must hold."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from local.log_records import records_of
from local.simulator.comparison import Comparison
from local.simulator.ledger import Content, Ledger
from qold.ports import METRICS, MessageLog, Metric, RawStore, ReadingStore
from qold.settings import Settings

FOR_EVER_MS = 2**53


@dataclass(slots=True)
class Verdict(Comparison):
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
        *,
        may_repeat: bool = False,
    ) -> None:
        """`may_repeat`: authentication was killed, so what it had done may stand on the log twice."""
        self._may_repeat = may_repeat
        self._ledger = ledger
        self._settings = settings
        self._log = log
        self._raw = raw
        self._readings = readings

    def judge(self, device_ids: list[int]) -> Verdict:
        """Compare everything stored for these devices, and the totals of every store and topic."""
        verdict = self.judge_stores(device_ids)
        self._judge_log(verdict)
        return verdict

    def judge_stores(self, device_ids: list[int]) -> Verdict:
        """The same without the log, where a replay may leave a record twice."""
        verdict = Verdict()
        self._judge_raw(verdict, device_ids)
        self._judge_metrics(verdict, device_ids)
        return verdict

    def _judge_log(self, verdict: Verdict) -> None:
        ledger = self._ledger
        origins = [
            json.loads(value)["origin"] for value in self._values(self._settings.readings_topic)
        ]
        verdict.authenticated = len(set(origins)) if self._may_repeat else len(origins)
        rejected: Counter[str] = Counter()
        seen: set[tuple[str, int | None]] = set()
        for value in self._values(self._settings.rejected_topic):
            record = json.loads(value)
            refused = (record["source"], record["index"])
            if self._may_repeat and refused in seen:
                continue
            seen.add(refused)
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
        verdict.compare("raw", self._ledger.raw, set(found))
        strangers = verdict.stored["raw"] - sum(found.values())
        if strangers:
            verdict.note("unexpected", strangers, "raw rows of unknown devices")

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
            verdict.compare(metric, set(truth.items()), set(found.items()))
            strangers = verdict.stored[metric.lower()] - len(found)
            if strangers:
                verdict.note("unexpected", strangers, f"{metric} of unknown devices")

    def _compare_counts(
        self, verdict: Verdict, what: str, expected: dict[str, int], found: dict[str, int]
    ) -> None:
        for name in sorted({*expected, *found}):
            surplus = found.get(name, 0) - expected.get(name, 0)
            if surplus:
                kind = "unexpected" if surplus > 0 else "missing"
                verdict.note(kind, abs(surplus), f"{what} {name}".rstrip())

    def _values(self, topic: str) -> Iterator[bytes]:
        return (record.value for record in records_of(self._log, topic, consumer="oracle"))


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
