"""The whole story of an alert: its readings, the decision, and who was told."""

from dataclasses import asdict
from typing import Any

from qold import wiring
from qold.clock import Clock
from qold.domain.limits import DEFAULT_INTERVAL_S, PAUSE_INTERVALS
from qold.domain.model import Alert, AlertStory
from qold.records import decode_reading_record, to_builtins
from qold.settings import Settings

AROUND_MS = 1000 * PAUSE_INTERVALS * DEFAULT_INTERVAL_S
MOST_READINGS = 200


def summary(story: AlertStory) -> dict[str, Any]:
    """An alert and what became of it, flat, as scripts read it."""
    counts: dict[str, int] = {}
    for delivery in story.deliveries:
        counts[delivery.status] = counts.get(delivery.status, 0) + 1
    return {
        **asdict(story.alert),
        "topology": story.topology,
        "opened_at_ms": story.opened_at_ms,
        "over_at_ms": story.over_at_ms,
        "acknowledged_by": story.acknowledged_by,
        "acknowledged_at_ms": story.acknowledged_at_ms,
        "deliveries": counts,
    }


def whole_story(settings: Settings, clock: Clock, alert_id: str) -> dict[str, Any] | None:
    """`summary`, with the excursion, the readings around it and every delivery; None if unknown."""
    alert_log = wiring.alert_log(settings, clock)
    story = alert_log.alert(alert_id)
    if story is None:
        return None
    told = summary(story)
    told["deliveries"] = [asdict(delivery) for delivery in story.deliveries]
    told["excursion"], told["readings"] = None, []
    device_id = _device(story.alert)
    if device_id:
        until_ms = max(story.alert.fired_at_ms, story.over_at_ms or 0) + 1
        for excursion in alert_log.excursions(
            device_id=device_id, from_ms=story.alert.started_at_ms, to_ms=until_ms
        ):
            if excursion.kind == story.alert.kind and told["excursion"] is None:
                told["excursion"] = asdict(excursion)
        told["readings"] = _readings(settings, clock, device_id, story.alert, until_ms)
    return told


def _readings(
    settings: Settings, clock: Clock, device_id: int, alert: Alert, until_ms: int
) -> list[dict[str, Any]]:
    raw = wiring.raw_store(settings, clock)
    readings: list[dict[str, Any]] = []
    from_ms = max(0, alert.started_at_ms - AROUND_MS)
    for row in raw.read(device_id, from_ms, until_ms):
        record = decode_reading_record(row.message.encode())
        readings.append({**to_builtins(record.reading), "received": record.received})
        if len(readings) == MOST_READINGS:
            break
    return readings


def _device(alert: Alert) -> int:
    kind, _, identity = alert.subject.partition(":")
    return int(identity) if kind == "device" else 0
