"""`./qold bench raw`: authenticated records in, rows of the raw store out."""

from collections.abc import Iterator

from local.bench.drive import measure_topology
from local.bench.measure import Row, Tell, differences
from local.bench.workload import Workload, content
from qold import wiring
from qold.clock import SystemClock
from qold.records import decode_reading_record
from qold.settings import Settings

SOURCE_RATE = 7_099  # source E.2.2
LEAST_RATES = {"backlog": 40_000, "steady": 12_000}
_END_MS = 2**53


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Rows of the raw store per second."""
    return measure_topology(
        "raw", workload, runs, tell, source=SOURCE_RATE, targets=LEAST_RATES, ledger=ledger
    )


def ledger(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """What is wrong with the rows of the raw store; empty when they are exact."""
    store = wiring.raw_store(settings, SystemClock())
    found = [
        content(row.device_id, decode_reading_record(row.message.encode()).reading)
        for device_id in workload.device_ids
        for row in store.read(device_id, 0, _END_MS)
    ]
    total = store.count()
    store.close()
    return differences(workload.contents(), found, things="rows", total=total)
