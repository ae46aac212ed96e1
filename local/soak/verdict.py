"""What stores, topics and alerts hold after a soak, against what was sent."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from local.bench.patience import patiently
from local.log_records import records_of
from local.simulator.alert_verdict import by_the_limits
from local.simulator.comparison import Comparison
from local.simulator.oracle import Oracle
from local.soak.traffic import Refusal, Traffic
from qold import wiring
from qold.clock import Clock
from qold.ports import AlertStory, MessageLog
from qold.settings import Settings, dead_letter_topic

EVERYTHING = 2**31
APART_MS = 3_600_000
JUDGED = ("temperature.", "battery.", "device.", "gateway.")


@dataclass(slots=True)
class Findings(Comparison):
    """Counts; `repeats` are records that stand twice on the log, as they may."""

    most_examples: ClassVar[int] = 8

    stored: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    alerts: int = 0
    repeats: int = 0
    missing: int = 0
    unexpected: int = 0
    duplicates: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not (self.missing or self.unexpected or self.duplicates)


def judge(settings: Settings, clock: Clock, traffic: Traffic, findings: Findings) -> None:
    """Compare everything; raises `Unavailable` when a store stays away."""
    log = wiring.message_log(settings, clock)
    _judge_stores(settings, clock, log, traffic, findings)
    found = set(_refusals(log, settings.rejected_topic))
    findings.refused = len(found)
    findings.compare("refusals", traffic.refused, found)
    ends = log.offsets(settings.readings_topic).values()
    findings.repeats = sum(end.next for end in ends) - traffic.ledger.authenticated
    unusable = sum(
        end.next for end in log.offsets(dead_letter_topic(settings.readings_topic)).values()
    )
    if unusable:
        findings.note("unexpected", unusable, "dead letters")
    log.close()
    _judge_alerts(settings, clock, traffic, findings)
    _judge_last_seen(settings, clock, traffic, findings)


def _judge_stores(
    settings: Settings, clock: Clock, log: MessageLog, traffic: Traffic, findings: Findings
) -> None:
    raw, readings = wiring.raw_store(settings, clock), wiring.reading_store(settings, clock)
    oracle = Oracle(traffic.ledger, settings, log, raw, readings)
    verdict = patiently(lambda: oracle.judge_stores(traffic.device_ids))
    raw.close()
    readings.close()
    findings.stored = verdict.stored
    findings.missing += verdict.missing
    findings.unexpected += verdict.unexpected
    findings.duplicates += verdict.duplicates
    findings.examples += verdict.examples


def _refusals(log: MessageLog, topic: str) -> Iterator[Refusal]:
    for found in records_of(log, topic, consumer="soak"):
        record = json.loads(found.value)
        message = record["message"]
        yield record["reason"], message["device"]["id"], message["reading"]["time"]


def _judge_alerts(settings: Settings, clock: Clock, traffic: Traffic, findings: Findings) -> None:
    alert_log = wiring.alert_log(settings, clock)
    stories = [
        story
        for story in patiently(lambda: alert_log.alerts(limit=EVERYTHING))
        if story.alert.kind.startswith(JUDGED)  # the system tells of the faults
    ]
    alert_log.close()
    findings.alerts = len(stories)
    _, expected = by_the_limits(traffic.ledger.heard, traffic.bounds())
    found = {(s.alert.kind, s.alert.subject, s.alert.fired_at_ms // 1000) for s in stories}
    findings.compare("alerts", expected, found)
    _judge_apart(stories, findings)


def _judge_apart(stories: list[AlertStory], findings: Findings) -> None:
    """At most one alert per device, kind and hour."""
    fired: dict[tuple[str, str], list[int]] = defaultdict(list)
    for story in stories:
        fired[story.alert.kind, story.alert.subject].append(story.alert.fired_at_ms)
    for (kind, subject), moments in fired.items():
        moments.sort()
        near = sum(b - a < APART_MS for a, b in pairwise(moments))
        if near:
            findings.note("duplicates", near, f"{kind} of {subject} within the hour")


def _judge_last_seen(
    settings: Settings, clock: Clock, traffic: Traffic, findings: Findings
) -> None:
    """Who has fallen silent is still known since when."""
    last_seen = wiring.last_seen(settings, clock)
    found = patiently(lambda: last_seen.get(traffic.device_ids))
    last_seen.close()
    for device_id, at_s in traffic.quiet_since_s.items():
        if found.get(device_id) != at_s * 1000:
            findings.note("missing", 1, f"when device:{device_id} was last heard")
    unwatched = len(traffic.device_ids) - len(found)
    if unwatched:
        findings.note("missing", unwatched, "devices that nobody watches")
