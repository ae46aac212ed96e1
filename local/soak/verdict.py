"""What stores, topics and alerts hold after a soak, against what was sent."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from local.bench.patience import patiently
from local.log_records import records_of
from local.simulator.alert_verdict import by_the_limits
from local.simulator.comparison import Comparison
from local.simulator.oracle import Oracle
from local.soak.attack import Refusal, Rejected, honest_refusal
from local.soak.traffic import Traffic
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
    hostile: dict[str, int] = field(default_factory=dict)
    """Refusals of a hostile gateway by reason, which are expected."""
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
    _judge_refusals(settings, log, traffic, findings)
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


def uncounted(settings: Settings, clock: Clock, traffic: Traffic) -> int:
    """Honest refusals that false claims displaced and that no record counts, yet: it comes each minute."""
    log = wiring.message_log(settings, clock)
    owned, found = _apart(_decoded(log, settings.rejected_topic), traffic)
    log.close()
    return _uncounted(owned, found, traffic)


def _judge_refusals(
    settings: Settings, log: MessageLog, traffic: Traffic, findings: Findings
) -> None:
    """Honest refusals are all there and nothing else; those of an attack are of the kinds it can make."""
    attack = traffic.attack
    owned, found = _apart(_decoded(log, settings.rejected_topic), traffic)
    findings.refused = len(found)
    certain = traffic.refused - (attack.displaceable(traffic.refused) if attack else set())
    findings.compare("refusals", certain, found, possible=traffic.refused)
    displaced = _uncounted(owned, found, traffic)
    if displaced:
        findings.note("missing", displaced, "refusals that no over-budget record counts")
    letters = _decoded(log, dead_letter_topic(settings.config_topic))
    if attack is not None:
        owned += letters
        findings.hostile = dict(Counter(record["reason"] for record in owned))
        for kind, what in attack.faults(owned):
            findings.note(kind, 1, what)
    elif letters:
        findings.note("unexpected", len(letters), "dead letters of config")


def _apart(records: Iterable[Rejected], traffic: Traffic) -> tuple[list[Rejected], set[Refusal]]:
    """Refusals of the attack, and those of honest gateways."""
    owned, honest = [], set()
    for record in records:
        if traffic.attack is not None and traffic.attack.owns(record):
            owned.append(record)
        else:
            honest.add(honest_refusal(record))
    return owned, honest


def _uncounted(owned: Iterable[Rejected], found: set[Refusal], traffic: Traffic) -> int:
    if traffic.attack is None:
        return 0
    displaced = len(traffic.attack.displaceable(traffic.refused) - found)
    return max(0, displaced - sum(_counted(record, "bad-gateway-token") for record in owned))


def _counted(record: Rejected, reason: str) -> int:
    return 0 if record.get("proven", True) else int(record["counts"].get(reason, 0))


def _decoded(log: MessageLog, topic: str) -> list[Rejected]:
    return [json.loads(found.value) for found in records_of(log, topic, consumer="soak")]


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
