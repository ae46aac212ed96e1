"""`./qold bench thresholds`: authenticated readings in, states, excursions and alerts out."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from local.bench.drive import drive, measure_prepared, put_readings
from local.bench.measure import Case, Row, Tell, differences
from local.bench.workload import INTERVAL_S, Workload, centi
from qold import wiring
from qold.clock import SystemClock
from qold.device_states import load_states
from qold.domain.model import Contact, Device
from qold.domain.thresholds import ThresholdState
from qold.settings import FILE_NAME, Settings

SOURCE_RATE = 4_676  # source E.2.4
LEAST_RATES = {"backlog": 47_000}
WARM_EVERY = 50
"""One device of so many has a limit that its readings pass; those of the others stay inside."""
LIMIT, LIMIT_OF_OTHERS = 7.0, 8.0
_APART_S, _LIVE_S = 3600, 1800
_PAGE = 5000
_SETTINGS = 'notifier_url = "file:sent.jsonl"\n'

Told = tuple[int, int, int | None]
"""device id, start and end of an excursion, or the firing of an alert and None; seconds."""


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Readings per second whose state, excursions and alerts are stored."""
    case = Case(
        bench="thresholds",
        measured="judged and kept",
        workload=workload.name,
        source=SOURCE_RATE,
        target=LEAST_RATES.get(workload.name),
    )
    return measure_prepared(
        [case],
        workload,
        runs,
        tell,
        prepare=prepare,
        once=lambda settings: [drive("thresholds", settings, workload, ledger)[0]],
    )


def ledger(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """What is wrong with states, excursions and alerts; empty when they are exact."""
    clock = SystemClock()
    store = wiring.state_store(settings, clock)
    loaded: dict[int, tuple[int, ThresholdState]] = {}
    for start in range(0, workload.devices, _PAGE):
        page = workload.device_ids[start : start + _PAGE]
        loaded |= load_states(store, page, Counter(), now_ms=clock.wall_ms())
    taken = [
        (device_id, state.temperature.excursions.readings_since(0), newest[0] // 1000)
        for device_id, (_, state) in loaded.items()
        for newest in [state.temperature.excursions.newest or (0, 0)]
    ]
    wanted = [(device_id, workload.readings, workload.end_s) for device_id in workload.device_ids]
    alert_log = wiring.alert_log(settings, clock)
    excursions = [
        (e.device_id, e.started_at_ms // 1000, e.ended_at_ms and e.ended_at_ms // 1000)
        for e in alert_log.excursions()
    ]
    alerts = [
        (int(story.alert.subject.removeprefix("device:")), story.alert.fired_at_ms // 1000, None)
        for story in alert_log.alerts(limit=2**31)
    ]
    store.close()
    alert_log.close()
    true_excursions, true_alerts = truth(workload)
    return (
        *differences(wanted, taken, things="states"),
        *differences(true_excursions, excursions, things="excursions"),
        *differences(true_alerts, alerts, things="alerts"),
    )


def truth(workload: Workload) -> tuple[list[Told], list[Told]]:
    """The excursions and alerts of a workload, worked out from its sorted readings."""
    excursions: list[Told] = []
    alerts: list[Told] = []
    first_s = workload.end_s - (workload.readings - 1) * INTERVAL_S
    for device_id in filter(is_warm, workload.device_ids):
        start_s: int | None = None
        is_told = False
        fired: list[int] = []
        for index in range(workload.readings):
            at_s = first_s + index * INTERVAL_S
            is_outside = centi(device_id, index) > 100 * LIMIT
            if is_outside and start_s is None:
                start_s, is_told = at_s, False
            is_live = workload.received_s(index) - at_s <= _LIVE_S
            fires_at_s = at_s if is_outside and is_live else start_s if not is_outside else None
            if start_s is not None and fires_at_s is not None and not is_told:
                is_told = all(abs(fires_at_s - earlier) >= _APART_S for earlier in fired)
                if is_told:
                    fired.append(fires_at_s)
            if start_s is not None and not is_outside:
                excursions.append((device_id, start_s, at_s))
                start_s = None
        if start_s is not None:
            excursions.append((device_id, start_s, None))
        alerts += [(device_id, at_s, None) for at_s in fired]
    return excursions, alerts


def prepare(settings: Settings, workload: Workload) -> None:
    """Readings, limits and staff, in a state folder."""
    put_readings(settings, workload)
    (Path(settings.state_dir) / FILE_NAME).write_text(_SETTINGS, "utf-8")
    clock = SystemClock()
    registry = wiring.registry(settings, clock)
    registry.put_devices(
        Device(device_id, "", True, {"maxTemperature": str(limit_of(device_id))})
        for device_id in workload.device_ids
    )
    registry.close()
    book = wiring.contact_book(settings, clock)
    book.put_staff(Contact(phone="+351911111111"))
    book.close()


def is_warm(device_id: int) -> bool:
    """Whether readings of a device pass its limit."""
    return device_id % WARM_EVERY == 0


def limit_of(device_id: int) -> float:
    """The highest temperature that a device may have."""
    return LIMIT if is_warm(device_id) else LIMIT_OF_OTHERS
