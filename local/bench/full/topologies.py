"""One topology on Storm, through everything that waits on its topic.

The topic is filled first, in parts. While the first is consumed, processes start, code is compiled
and caches fill: it is the warm-up. Then comes a part for each run, and behind them one more, so that
no run is measured while the topology has nothing to do.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from local.bench import alert, authentication, datapoints, raw, thresholds
from local.bench.drive import Ledger, append_all
from local.bench.fleet import register
from local.bench.full import ledgers
from local.bench.full.consumption import Look, span
from local.bench.full.installation import Installation, Stage, offsets_done
from local.bench.full.processes import ProcessTimes
from local.bench.full.source import bolt_figures
from local.bench.full.watch import Watch
from local.bench.measure import Case, Figures, Row, Run, Tell
from local.bench.patience import patiently
from local.bench.workload import Workload, reading_records, reports
from qold import wiring
from qold.clock import SystemClock
from qold.settings import Settings

APPEND = 5_000
AROUND = 2  # parts besides those of the runs: the warm-up, and the one behind


@dataclass(frozen=True, slots=True)
class Measured:
    """How one topology is measured; `stores` get a fresh keyspace, and `prepare` what they must hold.

    `settle` returns once what was committed can also be read, where that takes longer.
    """

    spout: str
    measured: str
    ledger: Ledger
    targets: Mapping[str, float]
    source: float | None = None
    stores: tuple[str, ...] = ()
    prepare: Callable[[Settings, Workload], None] | None = None
    settle: Callable[[Settings, Workload], None] | None = None


TOPOLOGIES = {
    "authentication": Measured(
        "reports",
        "authenticated",
        authentication.ledger,
        {"backlog": 60_000, "steady": 25_000},
        authentication.SOURCE_RATE,
    ),
    "raw": Measured(
        "readings",
        "stored",
        ledgers.raw,
        {"backlog": 30_000, "steady": 12_000},
        raw.SOURCE_RATE,
        ("raw_url",),
    ),
    "datapoints": Measured(
        "readings",
        "taken by KairosDB",
        ledgers.datapoints,
        {"backlog": 25_000, "steady": 8_000},
        datapoints.SOURCE_RATE,
        settle=ledgers.wait_until_readable,
    ),
    "thresholds": Measured(
        "readings",
        "judged and kept",
        thresholds.ledger,
        {"backlog": 70_000, "steady": 25_000},
        thresholds.SOURCE_RATE,
        ("alert_log_url",),
    ),
    "alert": Measured(
        "readings",
        "noted",
        alert.ledger,
        {"backlog": 60_000, "steady": 25_000},
        alert.SOURCE_RATE,
        ("alert_log_url",),
        prepare=alert.enrol,
    ),
}


class Prepared:
    """A workload whose parts lie on topics, and its fleet in a registry; each made when first asked for."""

    def __init__(self, installation: Installation, workload: Workload, tell: Tell) -> None:
        self.installation, self.workload = installation, workload
        self._tell = tell
        self.stage = installation.stage(workload.name, "registry_url")
        self.fleet = register(self.stage.settings, workload)
        self._filled: set[str] = set()
        self._stored: dict[str, Settings] = {}

    def fill(self, topic: str, entries: Callable[[int], list[tuple[str, bytes]]]) -> None:
        """Append every part, once."""
        if topic in self._filled:
            return
        self._filled.add(topic)
        self._tell(f"{self.workload.name}: putting {self.workload.total} readings on {topic}")
        log = wiring.message_log(self.stage.settings, SystemClock())
        for part in range(self.workload.parts):
            append_all(log, topic, entries(part), at_once=APPEND)
        log.close()

    def fill_for(self, topology: str) -> Stage:
        """The stage on which a topology finds what it reads; the rest of it is fresh."""
        stage = self._fill_for(topology)
        self._stored[topology] = stage.settings
        if prepare := TOPOLOGIES[topology].prepare:
            patiently(partial(prepare, stage.settings, self.workload))
        if topology == "datapoints":
            self.installation.points += self.workload.total
        return stage

    def _fill_for(self, topology: str) -> Stage:
        shared = self.stage.settings
        workload = self.workload
        name = f"{workload.name}-{topology}"
        stores = TOPOLOGIES[topology].stores
        if topology == "authentication":
            topic = shared.reports_topic
            fleet = self.fleet
            self.fill(topic, lambda part: reports(workload, fleet.devices, fleet.gateways, part))
            return self.installation.stage(
                name, *stores, reports_topic=topic, registry_url=shared.registry_url
            )
        topic = shared.readings_topic
        self.fill(topic, lambda part: reading_records(workload, part))
        return self.installation.stage_with_people(
            name, *stores, readings_topic=topic, registry_url=shared.registry_url
        )

    def kept(self) -> dict[str, Any]:
        """What now lies where, as `disk.figures` asks for it."""
        total, raw = self.workload.total, self._stored.get("raw")
        return {
            "topics": dict.fromkeys(self._filled, total),
            "raw": (raw.raw_url.rpartition("/")[2], total) if raw else None,
            "points": self.installation.points if "datapoints" in self._stored else 0,
        }


def measure(
    name: str, prepared: Prepared, runs: int, tell: Tell, *, with_bolts: bool = False
) -> Iterator[Figures]:
    """Readings per second, with the CPU time of every process; if asked, also the time per bolt."""
    how, workload = TOPOLOGIES[name], prepared.workload
    case = Case(
        bench=name,
        measured=how.measured,
        workload=workload.name,
        source=how.source,
        target=how.targets.get(workload.name),
        profile="full",
    )
    stage = prepared.fill_for(name)
    topic = (
        stage.settings.reports_topic if how.spout == "reports" else stage.settings.readings_topic
    )
    looks, left = consume(prepared.installation, name, stage, how.spout, topic, case, tell)
    tell(f"{case}: comparing what is stored with what was put in")
    if how.settle:
        how.settle(stage.settings, workload)
    settled_at_s = time.monotonic()
    problems = how.ledger(stage.settings, workload)
    if left:
        problems += (f"{left} records not consumed",)
    row = row_of(case, looks, workload, runs, problems)
    yield row.figures()
    if how.settle:
        readable = replace(case, measured="until they can be read")
        yield _readable(readable, looks, workload, settled_at_s, problems).figures()
    if with_bolts:
        yield from bolt_figures(name, row.where, workload.name)


def consume(
    installation: Installation,
    topology: str,
    stage: Stage,
    spout: str,
    topic: str,
    case: Case,
    tell: Tell,
) -> tuple[list[Look], int]:
    """Run a topology until it has committed all of a topic, or does not get on.

    Returns the looks, and how many records are left.
    """
    log = wiring.message_log(stage.settings, SystemClock())
    total = sum(found.next for found in log.offsets(topic).values())
    log.close()
    times = ProcessTimes(installation.place.state)
    tell(f"{case}: submitting {topology}")
    running = installation.submit(topology, stage)
    done = offsets_done(stage.settings, f"{running}.{spout}", topic)
    watch = Watch(done, lambda: times.cpu_s(installation.pids()))
    try:
        watch.until(
            lambda: watch.done >= total, lambda far: tell(f"{case}: {far} of {total} records")
        )
    finally:
        installation.kill(running)
    return watch.looks, total - watch.done


def row_of(
    case: Case, looks: list[Look], workload: Workload, runs: int, problems: tuple[str, ...]
) -> Row:
    """A run for every part but the first and the last."""
    if problems:
        return Row(case, (), problems)
    each = looks[-1].done / workload.parts
    count = workload.devices * workload.part_readings
    taken: list[Run] = []
    spent: dict[str, list[float]] = {}
    for part in range(1, runs + 1):
        found = span(looks, round(part * each), round((part + 1) * each))
        taken.append(Run(count, found.wall_s, sum(found.cpu_s.values())))
        for kind, seconds in found.cpu_s.items():
            spent.setdefault(kind, []).append(1e6 * seconds / count)
    where = {kind: sum(us) / len(us) for kind, us in spent.items()}
    return Row(case, tuple(taken), problems, where)


def _readable(
    case: Case, looks: list[Look], workload: Workload, at_s: float, problems: tuple[str, ...]
) -> Row:
    """All parts but the first, until the last can be read."""
    if problems:
        return Row(case, (), problems)
    each = looks[-1].done // workload.parts
    found = span(looks, each, looks[-1].done)
    wall_s = at_s - looks[-1].at_s + found.wall_s
    count = workload.total - workload.devices * workload.part_readings
    return Row(case, (Run(count, wall_s, sum(found.cpu_s.values())),), ())


def parted(workload: Workload, runs: int, *, first_id: int = 1) -> Workload:
    """So many parts of a workload, one after the other; the last ends when it ends."""
    parts = runs + AROUND
    readings = workload.readings * parts
    return replace(workload, readings=readings, parts=parts, first_id=first_id)
