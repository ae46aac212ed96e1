"""The benches of `./qold bench`; each module `local/bench/<name>.py` defines `measure`."""

from collections.abc import Callable, Iterator
from importlib import import_module

from local.bench.measure import Row, Tell
from local.bench.workload import Workload

Measure = Callable[[Workload, int, Tell], Iterator[Row]]
"""Workload, number of runs, whom to tell -> a row for each thing measured."""

BENCHES = {
    "log": "records into and out of the embedded log",
    "outbox": "frames into a gateway's outbox, durable before they are acknowledged",
    "authentication": "reports in, authenticated readings out; credential caches cold",
    "raw": "authenticated readings into the raw store",
    "datapoints": "authenticated readings into the reading store",
    "thresholds": "authenticated readings against limits, into states, excursions and alerts",
    "alert": "authenticated readings into when each device and gateway was last heard",
    "legacy": "authenticated readings to the stand-in of the old API, one a request",
}

SERVED = {
    "kairosdb": "points into KairosDB behind nginx until they can be read, and out of it",
    "latency": "from when a report is due to where its readings can be read, at 600/s and near peak",
    "breach": "from a reading outside its limits to the text, in real time: 90 s a run",
}
"""Those that start servers or take their time; measured only when they are named."""

FULL = {
    "log": "records into and out of Kafka, in one process",
    "authentication": "reports in, authenticated readings out, on Storm and Kafka",
    "raw": "authenticated readings into Cassandra",
    "datapoints": "authenticated readings into KairosDB behind nginx",
    "thresholds": "authenticated readings against limits, into Redis and Cassandra",
    "alert": "authenticated readings into when each was last heard, in Redis",
    "legacy": "authenticated readings to the stand-in of the old API, one a request",
    "latency": "from when a report is due to where its readings can be read, at 600/s and near peak",
    "kairosdb": "points into KairosDB behind nginx until they can be read, and out of it",
    "uplink": "bytes of a gateway's connection to Kafka in a month",
}
"""Those of `--profile full`, which starts the whole stack."""

FULL_SERVED = {
    "all-at-once": "all topologies at once, steadily at --rate for --minutes: the lag, and a ledger",
    "scale-out": "a second Supervisor joins under load: minutes, loss, rate before and after",
}
"""Those of the full profile that take their time; measured only when they are named."""


def load(name: str) -> Measure:
    """The `measure` of a bench."""
    measure: Measure = import_module(f"local.bench.{name}").measure
    return measure
