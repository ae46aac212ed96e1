"""The method of the source (its appendix E): so many producers, time per bolt, thirty queries."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import mean, stdev

import msgspec

from local.bench.drive import append_all
from local.bench.full.installation import Installation
from local.bench.full.log import AT_ONCE, read_run
from local.bench.kairosdb import QUERY_DEVICES, QUERY_POINTS, SOURCE_QUERY_S, long_series
from local.bench.log import SOURCE_IN, SOURCE_OUT
from local.bench.measure import Case, Figures, Row, Run, Stopwatch, Tell, Unit
from local.bench.patience import patiently
from local.bench.workload import Workload, reading_records
from qold import wiring
from qold.clock import SystemClock
from qold.ports import ReadingStore
from qold.settings import Settings

SECTION = "source"
PRODUCERS = 7
CONNECTED_S = 15.0
"""So long producers have to start and connect, before all begin at once."""

_END_MS = 2**53

BOLTS: Mapping[str, Mapping[str, tuple[str, float]]] = {
    "authentication": {
        "ReportBolt": ("Report Bolt", 1.26),
        "DeviceBolt": ("Device Bolt", 0.069),
        "GatewayBolt": ("Gateway Bolt", 0.069),
        "JoinBolt": ("Join Bolt", 0.048),
        "KafkaBolt": ("Kafka Bolt", 0.014),
    },
    "raw": {"RawParserBolt": ("Parser Bolt", 0.047), "CassandraBolt": ("Cassandra Bolt", 0.086)},
    "datapoints": {
        "TemperatureBolt": ("Temperature Bolt", 0.001),
        "BatteryBolt": ("Battery Bolt", 0.001),
        "PublishBolt": ("Publish Bolt", 90.0),
    },
    "thresholds": {
        "ParserBolt": ("Parser Bolt", 0.03),
        "ConfigBolt": ("Config Bolt", 0.023),
        "TemperatureThresholdBolt": ("Temperature Bolt", 0.06),
        "BatteryThresholdBolt": ("Battery Bolt", 0.1),
    },
    "alert": {"ParserBolt": ("Parser Bolt", 0.021), "TimeBolt": ("Time Bolt", 0.358)},
}
"""Of each topology the bolts that see every reading: the source's name, and its ms a message."""


def bolt_figures(topology: str, where: Mapping[str, float], workload: str) -> Iterator[Figures]:
    """CPU time of each bolt's process for a reading; `where` has it in µs, by class.

    Storm's own execute latency of a Python bolt is the time in which its worker puts a tuple into a
    queue.
    """
    for name, (told, source_ms) in BOLTS[topology].items():
        if name in where:
            measured = f"{told}, CPU time for a reading"
            yield _row(topology, measured, workload, where[name] / 1e6, source_ms / 1000)


def log_figures(installation: Installation, workload: Workload, tell: Tell) -> Iterator[Figures]:
    """Seven producers at once, each with the whole workload; then one consumer of it all."""
    tell(f"source's method: {PRODUCERS} producers with {workload.total} messages each")
    settings = installation.stage(f"{workload.name}-producers").settings
    begin_at_s = time.monotonic() + CONNECTED_S
    with ProcessPoolExecutor(PRODUCERS, mp_context=get_context("spawn")) as pool:
        produce = partial(_produce, settings, workload, begin_at_s)
        seconds = list(pool.map(produce, range(PRODUCERS)))
    rate = sum(workload.total / each for each in seconds)
    measured = f"{PRODUCERS} producers of {workload.total} messages, in"
    yield _row("log", measured, workload.name, rate, SOURCE_IN, unit="records/s")
    case = Case(
        bench="log",
        measured="one consumer of them all, out",
        workload=workload.name,
        unit="records/s",
        source=SOURCE_OUT,
        profile="full",
    )
    run = read_run(settings, PRODUCERS * reading_records(workload))
    yield msgspec.structs.replace(Row(case, (run,), run.problems).figures(), section=SECTION)


def query_figures(
    store: ReadingStore, workload: Workload, first_id: int, tell: Tell
) -> Iterator[Figures]:
    """Thirty queries of a thousand points, through nginx."""
    tell(f"source's method: {QUERY_DEVICES} queries of {QUERY_POINTS} points")
    truth = long_series(store, range(first_id, first_id + QUERY_DEVICES), workload.end_s)
    waits, wrong = [], 0
    for device_id, points in truth.items():
        watch = Stopwatch()
        found = patiently(partial(store.query, "Temperature", device_id, 0, _END_MS))
        waits.append(watch.run(1).wall_s)
        wrong += found != points
    measured = (
        f"{QUERY_DEVICES} queries of {QUERY_POINTS} points, mean (sd {1000 * stdev(waits):.1f} ms)"
    )
    problems = (f"{wrong} wrong answers",) if wrong else ()
    yield _row("kairosdb", measured, workload.name, mean(waits), SOURCE_QUERY_S, problems=problems)


def _produce(settings: Settings, workload: Workload, begin_at_s: float, number: int) -> float:
    """In a process of its own: how long one producer takes."""
    entries = reading_records(workload)
    log = wiring.message_log(settings, SystemClock())
    log.partition_count(settings.readings_topic)
    time.sleep(max(0.0, begin_at_s - time.monotonic()))
    watch = Stopwatch()
    append_all(log, settings.readings_topic, entries, at_once=AT_ONCE)
    run = watch.run(len(entries))
    log.close()
    return run.wall_s


def _row(
    bench: str,
    measured: str,
    workload: str,
    value: float,
    source: float,
    *,
    unit: Unit = "s",
    problems: tuple[str, ...] = (),
) -> Figures:
    case = Case(
        bench=bench,
        measured=measured,
        workload=workload,
        unit=unit,
        source=source,
        profile="full",
        section=SECTION,
    )
    run = Run(1, value if unit == "s" else 1 / value, 0.0)
    figures = Row(case, (run,), problems).figures()
    return msgspec.structs.replace(figures, cpu_us=None, rate=None)
