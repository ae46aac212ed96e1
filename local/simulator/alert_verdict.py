"""Compares the alerts and excursions that the pipeline keeps with what the truth calls for."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.simulator.alert_oracle import Value, expected_alerts, spells_of
from local.simulator.bounds import Bounds
from local.simulator.comparison import Comparison
from local.simulator.ledger import Heard, Ledger
from local.simulator.silence_oracle import Told, expected_silences
from qold.ports import AlertLog, AlertStory

EVERYTHING = 2**31
# Real servers have these of themselves, whatever was sent.
OF_SERVERS = {"system.lag", "system.store-away"}
TOLD_AFTER_S = 90

Excursion = tuple[int, str, int, int, int | None, float]
"""device id, kind, start, confirmed, end (s), extreme."""


@dataclass(slots=True)
class AlertVerdict(Comparison):
    """Counts of alerts and excursions; `notifications` are messages handed to people."""

    alerts: dict[str, int] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    unexpected: int = 0
    notifications: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Every alert that is called for was opened and told, at its time, and nothing else."""
        return not (self.missing or self.unexpected)

    def as_dict(self) -> dict[str, Any]:
        return {
            "alerts": self.alerts,
            "alerts_expected": self.expected,
            "alerts_missing": self.missing,
            "alerts_unexpected": self.unexpected,
            "notifications": self.notifications,
        }


def judge_alerts(
    ledger: Ledger,
    bounds: Mapping[int, Bounds],
    alert_log: AlertLog,
    *,
    start_s: int,
    end_s: int,
    has_silence: bool,
    rejected_topic: str,
    slack_s: int = 0,
) -> AlertVerdict:
    """Compare everything; `bounds` by device id, the times from and to which somebody listened.

    Whatever took place may have been noticed, and told, `slack_s` later than at once.
    """
    excursions, alerts = by_the_limits(ledger.heard, bounds)
    certain, possible = set(alerts), set(alerts)
    if has_silence:
        told = expected_silences(
            ledger.heard, bounds, start_s=start_s, end_s=end_s, slack_s=slack_s
        )
        certain |= told[0]
        possible |= told[1]
    stories = alert_log.alerts(limit=EVERYTHING)
    system = {_told(story) for story in stories if story.alert.kind.startswith("system.")}
    found = {_told(story) for story in stories} - system
    verdict = AlertVerdict(
        alerts=dict(sorted(Counter(kind for kind, _, _ in found | system).items())),
        # What may be either way is right as it was found.
        expected=dict(
            sorted(Counter(kind for kind, _, _ in certain | (possible & found) | system).items())
        ),
    )
    verdict.compare("alerts", certain, found, possible=possible)
    if slack_s:
        system = {one for one in system if one[0] not in OF_SERVERS}
    _compare_troubles(verdict, ledger, system, rejected_topic, before_s=end_s - slack_s)
    kept = {
        (
            e.device_id,
            e.kind,
            e.started_at_ms // 1000,
            e.confirmed_at_ms // 1000,
            None if e.ended_at_ms is None else e.ended_at_ms // 1000,
            e.extreme,
        )
        for e in alert_log.excursions()
    }
    verdict.compare("excursions", excursions, kept)
    messages: set[str | None] = set()
    for story in stories:
        if _is_untold(story, end_s - slack_s):
            verdict.compare("alerts that nobody was told of", {_told(story)}, set())
        messages.update(
            delivery.message_id
            for delivery in story.deliveries
            if delivery.channel == "sms" and delivery.status == "delivered"
        )
    verdict.notifications = len(messages)
    return verdict


def _compare_troubles(
    verdict: AlertVerdict,
    ledger: Ledger,
    system: set[Told],
    rejected_topic: str,
    *,
    before_s: int,
) -> None:
    """The system's own troubles by kind and subject: told again after an hour, when is not judged.

    What happened later than `before_s` may be told.
    """
    growth = {("system.growth", f"system:{rejected_topic}")} if ledger.rejected else set()
    jumps = {("system.clock-jump", f"gateway:{gateway}"): s for gateway, s in ledger.jumped.items()}
    certain = {trouble for trouble, at_s in jumps.items() if at_s <= before_s}
    if ledger.first_rejected_s is not None and ledger.first_rejected_s <= before_s:
        certain |= growth
    found = {(kind, subject) for kind, subject, _ in system}
    verdict.compare("troubles of the system", certain, found, possible={*growth, *jumps})


def _told(story: AlertStory) -> Told:
    alert = story.alert
    return alert.kind, alert.subject, alert.fired_at_ms // 1000


def _is_untold(story: AlertStory, end_s: int) -> bool:
    if not story.alert.is_live or story.opened_at_ms // 1000 > end_s - TOLD_AFTER_S:
        return False  # the morning, or the digest, is still to come
    return not story.deliveries or any(d.status != "delivered" for d in story.deliveries)


def by_the_limits(
    heard: list[Heard], bounds: Mapping[int, Bounds]
) -> tuple[set[Excursion], set[Told]]:
    values: dict[tuple[int, str], list[Value]] = defaultdict(list)
    for one in heard:
        if one.celsius is not None:
            values[one.device_id, "temperature"].append(
                Value(one.at_s, one.celsius, one.received_s)
            )
        if one.battery is not None:
            values[one.device_id, "battery"].append(Value(one.at_s, one.battery, one.received_s))
    excursions: set[Excursion] = set()
    alerts: set[Told] = set()
    for device_id, limits in bounds.items():
        for metric, ways in spells_of(limits).items():
            arrivals = values.get((device_id, metric), [])
            for kind, find in ways.items():
                spells, told = expected_alerts(arrivals, find)
                excursions |= {
                    (
                        device_id,
                        kind,
                        spell.members[0].at_s,
                        spell.members[spell.confirmed].at_s,
                        spell.ended_s,
                        spell.extreme,
                    )
                    for spell in spells
                }
                alerts |= {(kind, f"device:{device_id}", alert.fired_s) for alert in told}
    return excursions, alerts
