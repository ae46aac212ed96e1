"""`./qold bench authentication`: reports in, authenticated records out, credential caches cold."""

from collections.abc import Iterator
from dataclasses import replace

from local.bench.drive import append_all, drive, measure_prepared, open_log, read_all
from local.bench.measure import Case, Row, Run, Tell, differences
from local.bench.workload import DEVICES_PER_GATEWAY, Workload, content, reports
from qold import wiring
from qold.clock import SystemClock
from qold.keyring import load_keys
from qold.provisioning import Provisioning
from qold.records import decode_reading_record
from qold.settings import Settings

SOURCE_RATE = 687  # source E.2.1
LEAST_RATES = {"backlog": 40_000, "steady": 25_000}
MOST_COLD_S = 60
_PAGE = 1000


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """The rate; for one reading a device also the time until every credential is cached."""
    cases = [
        Case(
            bench="authentication",
            measured="authenticated",
            workload=workload.name,
            source=SOURCE_RATE,
            target=LEAST_RATES.get(workload.name),
        )
    ]
    if workload.readings == 1:
        cold = Case(
            bench="authentication",
            measured="every credential cached, from none",
            workload=workload.name,
            unit="s",
            target=MOST_COLD_S,
        )
        cases.append(cold)
    return measure_prepared(
        cases,
        workload,
        runs,
        tell,
        prepare=_put_reports,
        once=lambda settings: _once(settings, workload)[: len(cases)],
    )


def ledger(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """What is wrong with the authenticated records on the log; empty when they are exact."""
    records = [
        decode_reading_record(value) for value in read_all(settings, settings.readings_topic)
    ]
    found = [content(record.device.id, record.reading) for record in records]
    refused = len(read_all(settings, settings.rejected_topic))
    problems = differences(workload.contents(), found, things="readings")
    return (*problems, f"{refused} readings refused") if refused else problems


def _put_reports(settings: Settings, workload: Workload) -> None:
    clock = SystemClock()
    log = open_log(settings)
    registry = wiring.registry(settings, clock)
    keys = load_keys(settings.secrets_dir)
    topic = settings.config_topic
    provisioning = Provisioning(registry, log, keys, clock, config_topic=topic)
    devices = []
    for start in range(0, workload.devices, _PAGE):
        size = min(_PAGE, workload.devices - start)
        devices += provisioning.create_devices(size, active=True)
    gateways = [
        provisioning.create_gateway() for _ in range(0, workload.devices, DEVICES_PER_GATEWAY)
    ]
    append_all(log, settings.reports_topic, reports(workload, devices, gateways))
    registry.close()
    log.close()


def _once(settings: Settings, workload: Workload) -> list[Run]:
    run, topology = drive("authentication", settings, workload, ledger)
    cached = sum(len(bolt.cache or ()) for bolt in topology.components("device_bolt"))
    uncached = workload.devices - cached
    problems = (f"{uncached} devices not cached",) if uncached else ()
    cold = replace(run, count=workload.devices, problems=run.problems + problems)
    return [run, cold]
