"""What `./qold bench --profile full` measured, as costs to plan with."""

from collections.abc import Mapping, Sequence

from local.bench.measure import Figures
from local.capacity import Cost

SECTION = "full"
DISK = "disk"
_SERVERS = ("kafka", "cassandra", "kairosdb", "redis", "nginx")
_APART = ("zookeeper", "nimbus", "supervisor", "storm-ui", "this bench", "other")
"""What does not grow with the readings."""

CHAIN = "latency"
"""Its peak is that of several topologies at once, each of which has a row of its own."""


def costs_of(rows: Sequence[Figures], workload: str) -> dict[str, Cost]:
    """Of every topology that was measured with a clean ledger in this workload."""
    return {
        row.bench: Cost(row.rate, _by_place(row.where))
        for row in rows
        if row.workload == workload and row.bench != CHAIN and row.rate is not None and row.where
    }


def bytes_of(rows: Sequence[Figures]) -> dict[str, float]:
    """Bytes on disk for a reading, by store."""
    return {
        row.measured: row.median for row in rows if row.bench == DISK and row.median is not None
    }


def _by_place(where: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind, us in where.items():
        if kind not in _APART:
            place = kind if kind in _SERVERS else "workers"
            found[place] = found.get(place, 0.0) + us
    return found
