"""`./qold bench datapoints`: authenticated records in, points of the reading store out."""

from collections.abc import Iterator

from local.bench.drive import measure_topology
from local.bench.measure import Row, Tell, differences
from local.bench.workload import Workload
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Metric
from qold.settings import Settings

SOURCE_RATE = 514  # source E.2.3
LEAST_RATES = {"backlog": 40_000, "steady": 8_000}
_END_MS = 2**53


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Readings per second whose temperature and battery are both stored."""
    return measure_topology(
        "datapoints", workload, runs, tell, source=SOURCE_RATE, targets=LEAST_RATES, ledger=ledger
    )


def ledger(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """What is wrong with the points of both metrics; empty when they are exact."""
    metrics: tuple[Metric, ...] = ("Temperature", "Battery")
    store = wiring.reading_store(settings, SystemClock())
    problems: tuple[str, ...] = ()
    for metric in metrics:
        expected = [
            (
                device_id,
                reading.time * 1000,
                reading.temp if metric == "Temperature" else reading.batt,
            )
            for device_id in workload.device_ids
            for reading in workload.readings_of(device_id)
        ]
        found = [
            tuple(point)
            for device_id in workload.device_ids
            for point in store.query(metric, device_id, 0, _END_MS)
        ]
        problems += differences(
            expected, found, things=f"{metric.lower()} points", total=store.count(metric)
        )
    store.close()
    return problems
