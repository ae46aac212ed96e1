"""`./qold bench alert`: authenticated records in, when everybody was last heard out."""

from collections.abc import Iterator
from dataclasses import replace

from local.bench.drive import drive, measure_prepared, put_readings
from local.bench.measure import Case, Row, Run, Tell, differences
from local.bench.workload import DEVICES_PER_GATEWAY, Workload, gateway_of
from qold import wiring
from qold.clock import SystemClock
from qold.domain.fleet import watched_gateway
from qold.ports import Device, Gateway
from qold.settings import Settings

SOURCE_RATE = 2_799  # source E.2.5
HOUR_MS = 3_600_000
LEAST_RATES = {"backlog": 28_000}


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Readings noted per second, with every device registered; the Loader looks meanwhile."""
    case = Case(
        bench="alert",
        measured="noted",
        workload=workload.name,
        source=SOURCE_RATE,
        target=LEAST_RATES.get(workload.name),
    )
    return measure_prepared(
        [case], workload, runs, tell, prepare=_prepare, once=lambda s: [_once(s, workload)]
    )


def ledger(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """What is wrong with the times of devices and gateways; empty when they are exact."""
    clock = SystemClock()
    last_seen, alerts = wiring.last_seen(settings, clock), wiring.alert_log(settings, clock)
    gateways = {gateway_of(device_id) for device_id in workload.device_ids}
    watched = [*workload.device_ids, *map(watched_gateway, gateways)]
    # What waited counts from when it came, which is a second after the last was measured.
    came_ms = 1000 * (workload.end_s if workload.part_readings == 1 else workload.end_s + 1)
    expected = dict.fromkeys(watched, came_ms)
    found = last_seen.get(watched)
    told = len(alerts.alerts())
    last_seen.close()
    alerts.close()
    problems = differences(expected.items(), found.items(), things="times")
    return (*problems, f"{told} alerts about nothing") if told else problems


def _prepare(settings: Settings, workload: Workload) -> None:
    put_readings(settings, workload)
    registry = wiring.registry(settings, SystemClock())
    registry.put_devices(Device(device_id, "", True) for device_id in workload.device_ids)
    count = 1 + (workload.devices - 1) // DEVICES_PER_GATEWAY
    registry.put_gateways(Gateway(number, "", True) for number in range(1, count + 1))
    registry.close()
    enrol(settings, workload)


def enrol(settings: Settings, workload: Workload) -> None:
    """Watch devices since before they speak; the Loader takes their activation, which is now."""
    last_seen = wiring.last_seen(settings, SystemClock())
    last_seen.enrol(dict.fromkeys(workload.device_ids, workload.end_s * 1000 - HOUR_MS))
    last_seen.close()


def _once(settings: Settings, workload: Workload) -> Run:
    run, topology = drive("alert", settings, workload, ledger)
    noted = sum(bolt.counters["readings"] for bolt in topology.components("time_bolt"))
    if noted == workload.total:
        return run
    return replace(run, problems=(*run.problems, f"{noted} of {workload.total} readings noted"))
