"""The ledgers whose embedded twins would ask a server too often: the same claim, read in another way."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

from local.bench import kairosdb
from local.bench.kairosdb import points_of
from local.bench.measure import differences
from local.bench.patience import LOOK_S, PATIENCE_S, patiently
from local.bench.workload import Workload, content
from qold import wiring
from qold.clock import SystemClock
from qold.ports import METRICS, RawRow, RawStore
from qold.records import decode_reading_record
from qold.settings import Settings

SAMPLED_DEVICES = 1000  # all of backlog
SAMPLED_READINGS = 600_000
LAST_DEVICES = 20
_END_MS = 2**53


def sampled(workload: Workload) -> Sequence[int]:
    """Evenly spread devices, whose every value is compared."""
    most = min(SAMPLED_DEVICES, max(1, SAMPLED_READINGS // workload.readings))
    return workload.device_ids[:: max(1, workload.devices // most)]


def raw(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """How many rows there are in all, and each row of the sampled devices."""
    store = wiring.raw_store(settings, SystemClock())
    devices = sampled(workload)
    found = [
        content(row.device_id, decode_reading_record(row.message.encode()).reading)
        for device_id in devices
        for row in patiently(partial(rows_of, store, device_id))
    ]
    total = patiently(store.count)
    store.close()
    problems = differences(_contents(workload, devices), found, things="rows")
    if total != workload.total:
        problems += (f"{total} rows instead of {workload.total}",)
    return problems


def wait_until_readable(settings: Settings, workload: Workload) -> None:
    """Until the last points of the devices that were put in last can be read.

    What KairosDB acknowledges waits in its queue. What never comes, the ledger tells.
    """
    store = wiring.reading_store(settings, SystemClock())
    last_ms = workload.end_s * 1000
    give_up_at = time.monotonic() + PATIENCE_S
    for metric in METRICS:
        for device_id in workload.device_ids[-LAST_DEVICES:]:
            look = partial(store.query, metric, device_id, last_ms, last_ms + 1)
            while not patiently(look) and time.monotonic() < give_up_at:
                time.sleep(LOOK_S)
    store.close()


def datapoints(settings: Settings, workload: Workload) -> tuple[str, ...]:
    """Every point of the sampled devices; KairosDB would read all of them to count them."""
    store = wiring.reading_store(settings, SystemClock())
    points = {metric: points_of(workload, metric) for metric in METRICS}
    problems = kairosdb.ledger(store, points, sampled(workload), 0, _END_MS)
    store.close()
    return problems


def rows_of(store: RawStore, device_id: int) -> list[RawRow]:
    """Every row of a device."""
    return [*store.read(device_id, 0, _END_MS)]


def _contents(workload: Workload, devices: Sequence[int]) -> Iterator[tuple[object, ...]]:
    for device_id in devices:
        for reading in workload.readings_of(device_id):
            yield content(device_id, reading)
