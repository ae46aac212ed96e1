"""The chain that a reading goes through, on Storm: its peak, and how long it takes below it."""

from collections.abc import Iterator
from dataclasses import replace

from local.bench.drive import append_all
from local.bench.full.consumption import span
from local.bench.full.installation import Installation, Stage, offsets_done
from local.bench.full.processes import ProcessTimes
from local.bench.full.topologies import APPEND, Prepared
from local.bench.full.watch import Watch
from local.bench.latency import CHAIN, STORES, rows
from local.bench.measure import Case, Row, Run, Tell
from local.bench.workload import Workload, reports
from qold import wiring
from qold.clock import SystemClock

PARTS = 3
"""The middle one is measured."""


def measure(installation: Installation, prepared: Prepared, tell: Tell) -> Iterator[Row]:
    """All three topologies at once; only for one reading a device."""
    workload, fleet = prepared.workload, prepared.fleet
    if workload.part_readings > 1:
        return
    stage = installation.stage(
        f"{workload.name}-latency", "raw_url", registry_url=prepared.stage.settings.registry_url
    )
    settings = stage.settings
    burst = replace(workload, readings=PARTS, parts=PARTS, end_s=workload.end_s - 86_400)
    log = wiring.message_log(settings, SystemClock())
    for part in range(PARTS):
        entries = reports(burst, fleet.devices, fleet.gateways, part)
        append_all(log, settings.reports_topic, entries, at_once=APPEND)
    running = []
    try:
        for name in CHAIN:
            tell(f"latency: submitting {name}")
            running.append(installation.submit(name, stage))
        case = Case(
            bench="latency",
            measured=f"peak of {', '.join(CHAIN)} at once",
            workload=workload.name,
            profile="full",
        )
        row = _peak(installation, stage, dict(zip(CHAIN, running, strict=True)), burst, case, tell)
        yield row
        if row.is_clean:
            yield from rows(settings, log, fleet, row.median, workload, burst.total, tell, "full")
    finally:
        log.close()
        for name in running:
            installation.kill(name)


def _peak(
    installation: Installation,
    stage: Stage,
    running: dict[str, str],
    burst: Workload,
    case: Case,
    tell: Tell,
) -> Row:
    """Of the slower one of those that store."""
    times = ProcessTimes(installation.place.state)
    done = {
        store: offsets_done(
            stage.settings, f"{running[store]}.readings", stage.settings.readings_topic
        )
        for store in STORES
    }
    watch = Watch(
        lambda: min(of() for of in done.values()), lambda: times.cpu_s(installation.pids())
    )
    watch.until(
        lambda: watch.done >= burst.total,
        lambda far: tell(f"{case}: {far} of {burst.total} records"),
    )
    if left := burst.total - watch.done:
        return Row(case, (), (f"{left} readings not stored",))
    part = burst.total // PARTS
    found = span(watch.looks, part, 2 * part)
    where = {kind: 1e6 * seconds / part for kind, seconds in found.cpu_s.items()}
    return Row(case, (Run(part, found.wall_s, sum(found.cpu_s.values())),), (), where)
