"""The Storm settings of our topologies, each with its reason.

Settings of our own come from the state folder that QOLD_STATE names where a topology is submitted
(`sparse submit`, `sparse run`), and travel with it to every component, wherever that runs.
"""

import os
from typing import Any

from qold.settings import Settings

MESSAGE_TIMEOUT_S = 60


def _installation() -> dict[str, Any]:
    state_dir = os.environ.get("QOLD_STATE", "")
    return Settings.load(state_dir).to_storm_conf() if state_dir else {}


_COMMON: dict[str, Any] = {
    **_installation(),
    # Python does the work, in processes of its own: one worker is enough until a machine is full.
    # `-o topology.workers=N`, or `storm rebalance`, spreads a topology over machines.
    "topology.workers": 1,
    # A worker holds what is in flight, at each of its hops: of each partition some 6 times
    # 256 KiB, in base64.
    "topology.worker.childopts": "-Xmx256m -XX:+UseSerialGC",
    # A dead worker's tuples come back only after this; it must outlast a window and slow stores.
    "topology.message.timeout.secs": MESSAGE_TIMEOUT_S,
    # Local mode turns timeouts off; then a lost tuple would never be replayed.
    "topology.enable.message.timeouts": True,
    # An acker sees a few messages per tuple of hundreds of readings; one is never the limit.
    "topology.acker.executors": 1,
    # A bolt that waits looks 1 000 times at once and then every millisecond, unless told otherwise.
    # So a hop costs a millisecond more, and seven waiting topologies half the processor time.
    "topology.bolt.wait.progressive.level2.count": 10,
    "topology.bolt.wait.progressive.level3.sleep.millis": 2,
    # A tuple carries hundreds of readings: there are few, and counting each costs nothing.
    "topology.stats.sample.rate": 1.0,
    # Storm ends a worker whose Python is silent so long; a bolt in a slow call beats until then.
    "topology.subprocess.timeout.secs": 120,
    # What Kryo must know between two workers, should a value ever slip past our own check.
    "topology.kryo.register": [
        "java.math.BigDecimal",
        "org.apache.storm.shade.net.minidev.json.JSONObject",
        "org.apache.storm.shade.net.minidev.json.JSONArray",
    ],
}

ORDERED: dict[str, Any] = {
    **_COMMON,
    # One tuple per partition is in flight; more than partitions never comes together.
    "topology.max.spout.pending": 64,
}

ONE_AT_A_TIME: dict[str, Any] = {
    **_COMMON,
    # What would wait behind a tuple of slow requests would time out there.
    "topology.max.spout.pending": 1,
}

UNORDERED: dict[str, Any] = {
    **_COMMON,
    # The log spout counts by readings and bytes (partition_in_flight); this bounds the trickle of
    # small tuples, hundreds a second, that a window holds for some seconds.
    "topology.max.spout.pending": 2000,
}

# One tuple to one task, which does several devices at once; more tasks want as many shards.
WHOLE_TUPLES: dict[str, Any] = {"qold.shards": 1}

EVERY_SECOND: dict[str, Any] = {"topology.tick.tuple.freq.secs": 1}
EVERY_MINUTE: dict[str, Any] = {"topology.tick.tuple.freq.secs": 60}


def log_source(
    topic_setting: str, *, ordered: bool = False, start: str = "earliest"
) -> dict[str, Any]:
    """Component configuration of a log spout; `topic_setting` is a field of `Settings`."""
    return {
        "qold.spout.topic": topic_setting,
        "qold.spout.ordered": ordered,
        "qold.spout.start": start,
    }
