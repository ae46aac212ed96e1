"""What was found and told of each unit, as rows of a CSV file."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from local.simulator.csv_file import write_rows
from qold.ports import AlertLog

EVERYTHING = 2**31


class ToldAlert(NamedTuple):
    """An excursion, or a silence; times in Unix s, None while open, not known, or not told."""

    unit: str
    kind: str
    opened_unix: int
    closed_unix: int | None
    extreme: float | None
    alerted_unix: int | None


def told_alerts(alert_log: AlertLog, units: Mapping[int, str]) -> list[ToldAlert]:
    """Every excursion and silence of these devices, in order of unit and time.

    An excursion within an hour of an alert of its kind is not told of.
    """
    stories = alert_log.alerts(limit=EVERYTHING)
    fired: dict[tuple[str, str], list[int]] = {}
    for story in stories:
        key = (story.alert.subject, story.alert.kind)
        fired.setdefault(key, []).append(story.alert.fired_at_ms)
    rows = []
    for found in alert_log.excursions():
        times = fired.get((f"device:{found.device_id}", found.kind), [])
        end_ms = found.ended_at_ms
        told = [ms for ms in times if found.started_at_ms <= ms and (not end_ms or ms <= end_ms)]
        if found.device_id in units:
            rows.append(
                ToldAlert(
                    units[found.device_id],
                    found.kind,
                    found.started_at_ms // 1000,
                    end_ms // 1000 if end_ms else None,
                    found.extreme,
                    min(told) // 1000 if told else None,
                )
            )
    names = {f"device:{device_id}": unit for device_id, unit in units.items()}
    for story in stories:
        alert = story.alert
        if alert.kind == "device.silent" and alert.subject in names:
            rows.append(
                ToldAlert(
                    names[alert.subject],
                    alert.kind,
                    alert.started_at_ms // 1000,
                    story.over_at_ms // 1000 if story.over_at_ms else None,
                    None,
                    alert.fired_at_ms // 1000,
                )
            )
    return sorted(rows, key=lambda row: (row.unit, row.opened_unix, row.kind))


def write_alerts(path: Path, rows: list[ToldAlert]) -> None:
    """One line each under the names of the fields; None is blank; raises `RecordingError`."""
    write_rows(path, ToldAlert._fields, rows)
