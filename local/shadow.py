"""What the rules would have said about a period, had the limits been others: in the shadow.

Raw readings go through raw and thresholds in a folder of its own, of each device in the order in
which they arrived; then its excursions and alerts are compared with those that are kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from local.replay import PrivateRun, all_devices, arrivals, received_s
from qold import wiring
from qold.clock import SystemClock
from qold.domain.limits import read_limits
from qold.ports import Alert, AlertLog, Device, RawRow, RawStore, StoredExcursion
from qold.records import decode_reading_record
from qold.settings import Settings

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DEVICES_AT_ONCE = 200
EVERYTHING = 2**31


@dataclass(slots=True)
class Comparison:
    """Alerts of the period; of one that has moved, as it is kept and as it would be."""

    readings: int = 0
    excursions: int = 0
    is_identical: bool = True
    same: int = 0
    added: list[Alert] = field(default_factory=list)
    gone: list[Alert] = field(default_factory=list)
    moved: list[tuple[Alert, Alert]] = field(default_factory=list)


def compare(
    settings: Settings,
    folder: Path,
    configs: Mapping[int, Mapping[str, str]],
    *,
    from_ms: int,
    to_ms: int,
) -> Comparison:
    """`configs` are other configurations by device id; who is not in it keeps its own."""
    clock = SystemClock()
    raw = wiring.raw_store(settings, clock)
    alert_log = wiring.alert_log(settings, clock)
    shadow = replace(
        settings,
        state_dir=str(folder),
        registry_url="sqlite:registry.db",
        raw_url="sqlite:raw.db",
        state_url="sqlite:state.db",
        alert_log_url="sqlite:alerts.db",
    )
    registry = wiring.registry(shadow, clock)
    found = Comparison()
    devices = list(all_devices(wiring.registry(settings, clock)))
    registry.put_devices([replace(d, config=configs.get(d.id, d.config)) for d in devices])
    storing = PrivateRun("raw", shadow, _folder(folder, "raw-log"), name="raw")
    judging = PrivateRun("thresholds", shadow, _folder(folder, "log"), name="thresholds")
    for start in range(0, len(devices), DEVICES_AT_ONCE):
        stretches = []
        for device in devices[start : start + DEVICES_AT_ONCE]:
            both = [device.config, configs.get(device.id, device.config)]
            rows = _period(raw, device, both, from_ms, to_ms)
            found.readings += sum(from_ms <= row.measured_at_ms < to_ms for row in rows)
            stretches.append(_stretches(arrivals(rows)))
        for parts in zip_longest(*stretches, fillvalue=[]):
            if batch := [row for part in parts for row in part]:
                storing.publish(batch)
                judging.publish(batch)
    ids = {device.id for device in devices}
    shadow_log = wiring.alert_log(shadow, clock)
    kept = _excursions(alert_log, ids, from_ms, to_ms)
    new = _excursions(shadow_log, ids, from_ms, to_ms)
    found.excursions, found.is_identical = len(new), kept == new
    _compare_alerts(found, _alerts(alert_log, from_ms, to_ms), _alerts(shadow_log, from_ms, to_ms))
    return found


def _folder(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path


def _period(
    raw: RawStore,
    device: Device,
    configs: Sequence[Mapping[str, str]],
    from_ms: int,
    to_ms: int,
) -> list[RawRow]:
    """What is needed to judge the period: from a reading before it to one behind it with nothing amiss."""
    rules: list[tuple[Any, Any]] = []
    for config in configs:
        limits, _ = read_limits(config)
        rules.append((limits.temperature_rules(), limits.battery_rules()))

    def is_quiet(row: RawRow) -> bool:
        reading = decode_reading_record(row.message.encode()).reading
        return (
            reading.temp is not None
            and reading.batt is not None
            and all(
                rule.is_back(value)
                for of_temp, of_batt in rules
                for value, ways in ((reading.temp, of_temp), (reading.batt, of_batt))
                for rule in ways
            )
        )

    before: list[RawRow] = []
    end_ms = max(0, from_ms - HOUR_MS)
    for days in (1, 8, 64, None):
        begin_ms = 0 if days is None else max(0, end_ms - days * DAY_MS)
        before = list(raw.read(device.id, begin_ms, end_ms))
        quiet = next((n for n in reversed(range(len(before))) if is_quiet(before[n])), None)
        if quiet is not None:
            before = before[quiet:]
            break
    rows = [*before, *raw.read(device.id, end_ms, to_ms)]
    for row in raw.read(device.id, to_ms, 2**53):
        rows.append(row)
        if is_quiet(row):
            break
    return rows


def _stretches(rows: Sequence[RawRow]) -> list[list[RawRow]]:
    """Rows in order as far as they go, and what came late at one moment by itself."""
    found: list[list[RawRow]] = [[]]
    newest_ms = -1
    for _, group in groupby(rows, key=received_s):
        came = list(group)
        is_late = False
        for row in came:
            is_late = is_late or row.measured_at_ms < newest_ms
            newest_ms = max(newest_ms, row.measured_at_ms)
        if is_late:
            found += [came, []]
        else:
            found[-1] += came
    return [stretch for stretch in found if stretch]


def _excursions(
    alert_log: AlertLog, device_ids: set[int], from_ms: int, to_ms: int
) -> list[StoredExcursion]:
    found = alert_log.excursions(from_ms=from_ms, to_ms=to_ms)
    return [excursion for excursion in found if excursion.device_id in device_ids]


def _alerts(alert_log: AlertLog, from_ms: int, to_ms: int) -> list[Alert]:
    stories = alert_log.alerts(from_ms=from_ms, to_ms=to_ms, limit=EVERYTHING)
    alerts = (story.alert for story in stories)
    return [a for a in alerts if a.kind.partition(".")[0] in ("temperature", "battery")]


def _compare_alerts(found: Comparison, kept: Iterable[Alert], new: Iterable[Alert]) -> None:
    before = {alert.id: alert for alert in kept}
    after = {alert.id: alert for alert in new}
    found.same = len(before.keys() & after.keys())
    gone: dict[tuple[str, str, int], list[Alert]] = defaultdict(list)
    for alert in before.values():
        if alert.id not in after:
            gone[alert.subject, alert.kind, alert.started_at_ms].append(alert)
    for alert in after.values():
        if alert.id not in before:
            earlier = gone.get((alert.subject, alert.kind, alert.started_at_ms))
            if earlier:
                found.moved.append((earlier.pop(0), alert))
            else:
                found.added.append(alert)
    found.gone = [alert for alerts in gone.values() for alert in alerts]
    for alerts in (found.added, found.gone):
        alerts.sort(key=lambda alert: (alert.fired_at_ms, alert.subject, alert.kind))
    found.moved.sort(key=lambda pair: (pair[0].fired_at_ms, pair[0].subject, pair[0].kind))
