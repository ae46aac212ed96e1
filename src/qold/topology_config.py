"""The Storm settings of our topologies, each with its reason."""

from typing import Any

MESSAGE_TIMEOUT_S = 60

_COMMON: dict[str, Any] = {
    # A dead worker's tuples come back only after this; it must outlast a window and slow stores.
    "topology.message.timeout.secs": MESSAGE_TIMEOUT_S,
    # Local mode turns timeouts off; then a lost tuple would never be replayed.
    "topology.enable.message.timeouts": True,
    "topology.acker.executors": 1,
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

UNORDERED: dict[str, Any] = {
    **_COMMON,
    # Enough to fill the windows of every task (5 000 readings each) with tuples of 500.
    "topology.max.spout.pending": 64,
}

EVERY_SECOND: dict[str, Any] = {"topology.tick.tuple.freq.secs": 1}


def log_source(
    topic_setting: str, *, ordered: bool = False, start: str = "earliest"
) -> dict[str, Any]:
    """Component configuration of a log spout; `topic_setting` is a field of `Settings`."""
    return {
        "qold.spout.topic": topic_setting,
        "qold.spout.ordered": ordered,
        "qold.spout.start": start,
    }
