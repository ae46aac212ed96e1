"""A second Supervisor joins while a topology is under load, and the topology spreads over both."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from local.bench.drive import append_all
from local.bench.full import ledgers
from local.bench.full.consumption import span
from local.bench.full.installation import Installation, offsets_done
from local.bench.full.processes import ProcessTimes
from local.bench.full.topologies import APPEND
from local.bench.full.watch import Watch
from local.bench.measure import Case, Figures, Row, Run, Tell
from local.bench.patience import patiently
from local.bench.workload import Workload, reading_records
from local.services.supervisor import Supervisor
from local.storm_cluster import ClusterAway, NoSuchTopology
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog

SECTION = "scale-out"
TOPOLOGY, SPOUT = "raw", "readings"
BEFORE, MEANWHILE, AFTER = 3, 6, 3
"""Parts of the workload: put in first; sent steadily; put in at last, with what is left of these."""

RATE, PAUSE_S = 5_000, 0.05
MOST_S = 3600.0
"""Scaling out may take an hour (source T3.11)."""


def measure(
    installation: Installation,
    workload: Workload,
    tell: Tell,
    *,
    rate: float = RATE,
) -> Iterator[Figures]:
    """From the order to start the Supervisor to workers on both that consume; rates on both sides."""
    parts = BEFORE + MEANWHILE + AFTER
    workload = replace(workload, readings=workload.readings * parts, parts=parts)
    stage = installation.stage(f"{workload.name}-scale-out", "raw_url")
    topic = stage.settings.readings_topic
    log = wiring.message_log(stage.settings, SystemClock())
    for part in range(BEFORE):
        append_all(log, topic, reading_records(workload, part), at_once=APPEND)
    tell(f"scale-out: submitting {TOPOLOGY}")
    running = installation.submit(TOPOLOGY, stage)
    times = ProcessTimes(installation.place.state)
    watch = Watch(
        offsets_done(stage.settings, f"{running}.{SPOUT}", topic),
        partial(times.cpu_s, installation.pids()),
    )
    part_size = workload.devices * workload.part_readings
    feeder: _Feeder | None = None
    try:
        watch.until(lambda: watch.done >= BEFORE * part_size)
        steadily = [
            entry
            for part in range(BEFORE, BEFORE + MEANWHILE)
            for entry in reading_records(workload, part)
        ]
        feeder = _Feeder(log, topic, steadily, rate)
        feeder.start()
        watch.until(lambda: watch.done > BEFORE * part_size)
        ordered = watch.look()
        tell(f"scale-out: under {rate:g}/s, a second Supervisor is starting")
        installation.start(Supervisor(installation.place, node=2))
        joined = watch.look()
        tell("scale-out: it has joined; rebalancing")
        installation.storm.rebalance(running, workers=2)
        watch.until(lambda: len(_hosts(installation, running)) > 1)
        placed = watch.look()
        first = BEFORE + MEANWHILE
        meanwhile = BEFORE * part_size + len(steadily)
        watch.until(lambda: watch.done > placed.done or watch.done >= meanwhile)
        if watch.done <= placed.done:  # it took longer than the load lasted
            feeder.stop()
            append_all(log, topic, reading_records(workload, first), at_once=APPEND)
            first += 1
            watch.until(lambda: watch.done > placed.done)
        spread = watch.look()
        tell("scale-out: workers on both Supervisors consume")
        append_all(log, topic, steadily[feeder.stop() :], at_once=APPEND)
        for part in range(first, parts):
            append_all(log, topic, reading_records(workload, part), at_once=APPEND)
        watch.until(lambda: watch.done >= workload.total)
        hosts = len(_hosts(installation, running))
    finally:
        if feeder is not None:
            feeder.stop()
        installation.kill(running)
        log.close()
    problems = ledgers.raw(stage.settings, workload)
    if hosts < 2:
        problems += ("the topology did not come to the second Supervisor",)
    if watch.done < workload.total:
        problems += (f"{workload.total - watch.done} records not consumed",)
    for measured, part in (("one Supervisor", 1), ("two Supervisors", parts - 2)):
        case = Case(
            bench="scale-out",
            measured=measured,
            workload=workload.name,
            profile="full",
            section=SECTION,
        )
        runs: tuple[Run, ...] = ()
        if not problems:
            found = span(watch.looks, part * part_size, (part + 1) * part_size)
            runs = (Run(part_size, found.wall_s, sum(found.cpu_s.values())),)
        yield Row(case, runs, problems).figures()
    for measured, since, most_s in (
        ("second Supervisor ordered, to consuming on both", ordered, MOST_S),
        ("of these, from rebalance", joined, None),
    ):
        case = Case(
            bench="scale-out",
            measured=measured,
            workload=workload.name,
            unit="s",
            target=most_s,
            profile="full",
            section=SECTION,
        )
        yield Row(case, (Run(1, spread.at_s - since.at_s, 0.0),), problems).figures()


class _Feeder(threading.Thread):
    """Sends entries when they are due, whatever else happens; nobody else uses the log meanwhile."""

    def __init__(
        self, log: MessageLog, topic: str, entries: Sequence[tuple[str, bytes]], rate: float
    ) -> None:
        super().__init__(daemon=True)
        self._log, self._topic, self._entries, self._rate = log, topic, entries, rate
        self._is_over = threading.Event()
        self._sent = 0

    def run(self) -> None:
        started_s = time.monotonic()
        while self._sent < len(self._entries) and not self._is_over.wait(PAUSE_S):
            due = min(len(self._entries), int((time.monotonic() - started_s) * self._rate))
            if due > self._sent:
                patiently(partial(self._log.append, self._topic, self._entries[self._sent : due]))
                self._sent = due

    def stop(self) -> int:
        """How many were sent; also when it was stopped before."""
        self._is_over.set()
        self.join()
        return self._sent


def _hosts(installation: Installation, running: str) -> set[str]:
    with suppress(ClusterAway, NoSuchTopology):
        return installation.storm.hosts_of(running)
    return set()
