"""The benches of the full profile, one after the other on one installation."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from local.bench import kairosdb
from local.bench.full import disk, latency, legacy, log, scale_out, source, together, uplink
from local.bench.full.installation import Installation
from local.bench.full.topologies import TOPOLOGIES, Prepared, measure, parted
from local.bench.measure import Figures, Row, Tell
from local.bench.workload import Workload
from local.services.servers import NotReady
from local.storm_cluster import ClusterAway
from local.storm_submission import SubmissionError
from qold import wiring
from qold.clock import SystemClock
from qold.ports import PortError

PROBLEM_CHARACTERS = 200


def figures_on(
    servers: Installation,
    names: Sequence[str],
    workloads: Sequence[Workload],
    runs: int,
    tell: Tell,
    *,
    first_id: int = 1,
    as_source: bool = False,
    minutes: float = together.MINUTES,
    rate: float = together.RATE,
) -> Iterator[Figures]:
    """On servers that are up; devices count from `first_id`.

    `as_source` adds what the source measured, in its way: of the first workload.
    """
    for number, workload in enumerate(workloads):
        compared = as_source and number == 0
        kept = partial(surviving, workload.name, tell)
        if "log" in names:
            yield from kept("log", _of(log.measure(servers, workload, runs, tell)))
        if "scale-out" in names and number == 0:
            yield from kept("scale-out", scale_out.measure(servers, workload, tell, rate=rate))
        if "uplink" in names and number == 0:
            yield from kept("uplink", uplink.measure(servers, workload, tell))
        if "legacy" in names:
            yield from kept("legacy", _of(legacy.measure(servers, workload, runs, tell)))
        measured = [name for name in names if name in TOPOLOGIES]
        is_steady = workload.readings == 1
        if measured or (is_steady and {"latency", "all-at-once"}.intersection(names)):
            prepared = Prepared(servers, parted(workload, runs, first_id=first_id), tell)
            first_id += workload.devices
            for name in measured:
                yield from kept(name, measure(name, prepared, runs, tell, with_bolts=compared))
            if measured:
                tell(f"disk, {workload.name}: having everything flushed")
                where = prepared.kept()
                yield from kept("disk", disk.figures(servers, workload=workload.name, **where))
            if is_steady and "latency" in names:
                yield from kept("latency", _of(latency.measure(servers, prepared, tell)))
            if is_steady and "all-at-once" in names:
                steady = together.measure(servers, prepared, tell, rate=rate, minutes=minutes)
                yield from kept("all-at-once", steady)
        if compared:
            yield from kept("log", source.log_figures(servers, workload, tell))
    # Last: what these put into KairosDB, nobody counts for its disk.
    with closing(wiring.reading_store(servers.settings, SystemClock())) as store:
        for number, workload in enumerate(workloads):
            kept = partial(surviving, workload.name, tell)
            own = replace(workload, first_id=first_id)
            first_id = own.device_ids.stop + kairosdb.QUERY_DEVICES
            if "kairosdb" in names:
                yield from kept("kairosdb", _of(kairosdb.rows(store, own, runs, tell, "full")))
            if as_source and number == 0:
                queries = source.query_figures(store, workload, first_id, tell)
                first_id += kairosdb.QUERY_DEVICES
                yield from kept("kairosdb", queries)


def surviving(workload: str, tell: Tell, name: str, rows: Iterator[Figures]) -> Iterator[Figures]:
    """The rows of one bench; a server that is away costs what is left of it, not all the others."""
    try:
        yield from rows
    except (PortError, SubmissionError, ClusterAway, NotReady) as exc:
        problem = f"{type(exc).__name__}: {' '.join(str(exc).split())[:PROBLEM_CHARACTERS]}"
        tell(f"{name}, {workload}: {problem}")
        yield Figures(
            profile="full",
            bench=name,
            measured="came to no end",
            workload=workload,
            unit="readings/s",
            met=False,
            clean=False,
            ledger=problem,
            problems=[problem],
        )


def _of(rows: Iterable[Row]) -> Iterator[Figures]:
    return (row.figures() for row in rows)
