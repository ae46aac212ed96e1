"""`./qold bench kairosdb`: points into KairosDB until they can be read, and a thousand out of it.

Starts Cassandra, KairosDB and nginx in a folder of its own; the adapter speaks to them as a topology
does, with TLS and its certificate.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import quantiles

from local.bench.measure import Case, Profile, Row, Run, Stopwatch, Tell, differences
from local.bench.patience import LOOK_S, PATIENCE_S, patiently, until_clean
from local.bench.workload import INTERVAL_S, Workload
from local.programs import Keeper
from local.services.cassandra import Cassandra
from local.services.kairosdb import KairosDb
from local.services.nginx import Nginx
from local.services.place import LOOPBACK, Place
from local.services.servers import NotReady, Server, bring_up
from qold import wiring
from qold.clock import SystemClock
from qold.ports import METRICS, Metric, Point, ReadingStore
from qold.settings import Settings

SOURCE_RATE, SOURCE_QUERY_S = 514, 0.210  # source E.2.3, E.3
LEAST_RATES = {"backlog": 25_000, "steady": 8_000}
QUERY_S, QUERY_POINTS = 0.030, 1000
QUERY_DEVICES, QUERY_ROUNDS = 30, 10
WINDOW = 5000
SAMPLED_DEVICES = 1000  # all of backlog; reading 70 000 series would take longer than writing them
_END_MS = 2**53


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """On servers of its own."""
    with _stack(tell) as store:
        yield from rows(store, workload, runs, tell)


def rows(
    store: ReadingStore, workload: Workload, runs: int, tell: Tell, profile: Profile = "embedded"
) -> Iterator[Row]:
    """Readings per second until both points can be read; the slowest of a hundred queries.

    The store has nothing of the workload's devices and of the `QUERY_DEVICES` behind them.
    """
    case = Case(
        bench="kairosdb",
        measured="readings in, until they can be read",
        workload=workload.name,
        source=SOURCE_RATE,
        target=LEAST_RATES[workload.name],
        profile=profile,
    )
    taken = []
    for number in range(runs + 1):
        tell(f"{case}: {f'run {number} of {runs}' if number else 'warm-up'}")
        span_s = number * workload.readings * INTERVAL_S
        taken.append(_write(store, replace(workload, end_s=workload.end_s + span_s)))
    yield _row(case, taken)
    if workload.readings == 1:
        case = replace(
            case,
            measured=f"{QUERY_POINTS} points out, p99",
            unit="s",
            source=SOURCE_QUERY_S,
            target=QUERY_S,
        )
        first = workload.device_ids.stop
        truth = long_series(store, range(first, first + QUERY_DEVICES), workload.end_s)
        tell(f"{case}: {QUERY_DEVICES * QUERY_ROUNDS} queries a run")
        yield _row(case, [_query(store, truth) for _ in range(runs + 1)])


@contextmanager
def _stack(tell: Tell) -> Iterator[ReadingStore]:
    with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
        state = Path(folder)
        place, keeper = Place(state), Keeper(state / "logs")
        cassandra = Cassandra(place)
        kairosdb = KairosDb(place, cassandra=f"{LOOPBACK}:{cassandra.port}")
        nginx = Nginx(place, kairosdb_port=kairosdb.port)
        servers: tuple[Server, ...] = (cassandra, kairosdb, nginx)
        for server in servers:
            for tool, package in server.tools.items():
                if shutil.which(tool) is None:
                    raise NotReady(f"{server.name} needs {tool}\nfix: sudo apt install {package}")
        try:
            for server in servers:
                bring_up(server, keeper=keeper, tell=tell)
            settings = Settings.load(state, {"QOLD_READINGS_URL": nginx.readings_url})
            store = wiring.reading_store(settings, SystemClock())
            yield store
            store.close()
        finally:
            keeper.stop()


def _write(store: ReadingStore, workload: Workload) -> Run:
    points = {metric: points_of(workload, metric) for metric in METRICS}
    watch = Stopwatch()
    for start in range(0, workload.total, WINDOW):
        for metric in METRICS:
            patiently(partial(store.write, metric, points[metric][start : start + WINDOW]))
    for metric in METRICS:
        wait_for(store, metric, points[metric])

    devices = workload.device_ids[:: max(1, workload.devices // SAMPLED_DEVICES)]
    first_s = workload.end_s - (workload.readings - 1) * INTERVAL_S
    span_ms = first_s * 1000, workload.end_s * 1000 + 1
    return watch.run(workload.total, lambda: ledger(store, points, devices, *span_ms))


def ledger(
    store: ReadingStore,
    points: Mapping[Metric, Sequence[Point]],
    devices: Sequence[int],
    from_ms: int,
    to_ms: int,
) -> tuple[str, ...]:
    """Whether of these devices `points` is all that can be read.

    Several threads empty KairosDB's queue: what was put in last may be there before the rest.
    """
    sampled = set(devices)
    expected = {
        metric: [point for point in points[metric] if point.device_id in sampled]
        for metric in METRICS
    }

    def look() -> tuple[str, ...]:
        problems: tuple[str, ...] = ()
        for metric in METRICS:
            found = [
                point
                for device_id in devices
                for point in patiently(partial(store.query, metric, device_id, from_ms, to_ms))
            ]
            problems += differences(expected[metric], found, things=f"{metric.lower()} points")
        return problems

    return until_clean(look)


def points_of(workload: Workload, metric: Metric) -> list[Point]:
    return [
        Point(device_id, at_s * 1000, value)
        for device_id, at_s, _, temp, batt in workload.contents()
        for value in [temp if metric == "Temperature" else batt]
        if value is not None
    ]


def wait_for(store: ReadingStore, metric: Metric, points: Sequence[Point]) -> None:
    """Until the last point of each window can be read."""
    give_up_at = time.monotonic() + PATIENCE_S
    for point in [*points[WINDOW - 1 :: WINDOW], points[-1]]:
        moment = point.measured_at_ms
        look = partial(store.query, metric, point.device_id, moment, moment + 1)
        while not patiently(look):
            if time.monotonic() > give_up_at:
                return  # the ledger says what is missing
            time.sleep(LOOK_S)


def long_series(store: ReadingStore, device_ids: range, end_s: int) -> dict[int, list[Point]]:
    truth = {
        device_id: [
            Point(device_id, (end_s - (QUERY_POINTS - n) * INTERVAL_S) * 1000, n / 8)
            for n in range(QUERY_POINTS)
        ]
        for device_id in device_ids
    }
    for points in truth.values():
        patiently(partial(store.write, "Temperature", points))
    for points in truth.values():
        wait_for(store, "Temperature", points)
    return truth


def _query(store: ReadingStore, truth: dict[int, list[Point]]) -> Run:
    waits, wrong, cpu_s = [], 0, 0.0
    for device_id in list(truth) * QUERY_ROUNDS:
        watch = Stopwatch()
        found = store.query("Temperature", device_id, 0, _END_MS)
        run = watch.run(1)
        waits.append(run.wall_s)
        cpu_s += run.cpu_s
        wrong += found != truth[device_id]
    slowest = quantiles(waits, n=100)[98]
    return Run(len(waits), slowest, cpu_s, (f"{wrong} wrong answers",) if wrong else ())


def _row(case: Case, taken: Sequence[Run]) -> Row:
    problems = dict.fromkeys(problem for run in taken for problem in run.problems)
    return Row(case, tuple(taken[1:]), tuple(problems))
