"""The part of Storm's REST interface that `sparse stats` asks, answered from Nimbus.

Storm's own web page is not on Maven Central. `python -m local.services.storm_ui` serves
`/api/v1/{cluster,topology,supervisor}/summary`, `/api/v1/topology/ID[/component/NAME]` on loopback.
"""

import argparse
import http.server
import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from local.programs import Program
from local.services import storm
from local.services.place import LOOPBACK, Place, is_listening
from local.services.servers import Tell
from local.storm_cluster import (
    ClusterAway,
    Component,
    NoSuchTopology,
    RunningTopology,
    StormCluster,
)

PORT = 8772  # config.json says it to `sparse`
ALL_TIME = "All time"
# How a client on this machine names it; the port may be that of an SSH tunnel.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class StormUi:
    """The server of one state folder."""

    name = "storm-ui"
    tools: Mapping[str, str] = {}

    def __init__(self, place: Place) -> None:
        self.port = place.port(self.name, prefer=PORT)
        self._nimbus = place.port("nimbus")

    def prepare(self, tell: Tell) -> Program:
        words = ("--port", str(self.port), "--nimbus", str(self._nimbus))
        return Program(self.name, (sys.executable, "-m", "local.services.storm_ui", *words))

    def is_ready(self) -> bool:
        return is_listening(self.port)

    def settle(self) -> None:
        """Nothing: it holds nothing."""

    def addresses(self) -> Mapping[str, str]:
        return {"what `sparse stats` asks": f"http://{LOOPBACK}:{self.port}/api/v1/"}


def answer(cluster: StormCluster, path: str) -> dict[str, Any]:
    """The JSON of a path; raises `LookupError` for one that is not there, and `ClusterAway`."""
    match path.strip("/").split("/"):
        case ["api", "v1", "cluster", "summary"]:
            return _cluster(cluster)
        case ["api", "v1", "topology", "summary"]:
            return {"topologies": [_summary(found) for found in cluster.topologies()]}
        case ["api", "v1", "supervisor", "summary"]:
            return {"supervisors": [_supervisor(found) for found in cluster.supervisors()]}
        case ["api", "v1", "topology", topology_id]:
            return _topology(_by_id(cluster, topology_id))
        case ["api", "v1", "topology", topology_id, "component", name]:
            topology = _by_id(cluster, topology_id)
            for component in topology.components:
                if component.name == name:
                    return _component(topology, component)
    raise LookupError(path)


def _by_id(cluster: StormCluster, topology_id: str) -> RunningTopology:
    for found in cluster.topologies():
        if found.id == topology_id:
            return cluster.topology(found.name)
    raise NoSuchTopology(topology_id)


def _cluster(cluster: StormCluster) -> dict[str, Any]:
    supervisors, topologies = cluster.supervisors(), cluster.topologies()
    slots, used = (sum(getattr(s, name) for s in supervisors) for name in ("slots", "used_slots"))
    return {
        "stormVersion": storm.VERSION,
        "nimbusUptime": _duration(cluster.nimbus_uptime_s()),
        "supervisors": len(supervisors),
        "slotsTotal": slots,
        "slotsUsed": used,
        "slotsFree": slots - used,
        "executorsTotal": sum(topology.executors for topology in topologies),
        "tasksTotal": sum(topology.tasks for topology in topologies),
    }


def _supervisor(found: Any) -> dict[str, Any]:
    return {
        "id": found.id,
        "host": found.host,
        "uptime": _duration(found.uptime_s),
        "slotsTotal": found.slots,
        "slotsUsed": found.used_slots,
    }


def _summary(topology: RunningTopology) -> dict[str, Any]:
    return {
        "name": topology.name,
        "id": topology.id,
        "status": topology.status,
        "uptime": _duration(topology.uptime_s),
        "workersTotal": topology.workers,
        "executorsTotal": topology.executors,
        "tasksTotal": topology.tasks,
    }


def _topology(topology: RunningTopology) -> dict[str, Any]:
    spouts = [c for c in topology.components if c.kind == "spout"]
    bolts = [c for c in topology.components if c.kind == "bolt"]
    totals: dict[str, Any] = {
        name: sum(getattr(component, name) for component in topology.components)
        for name in ("emitted", "transferred")
    }
    totals |= {name: sum(getattr(spout, name) for spout in spouts) for name in ("acked", "failed")}
    latencies = [spout.latency_ms for spout in spouts if spout.acked]
    latency_ms = sum(latencies) / len(latencies) if latencies else 0.0
    window = {"windowPretty": ALL_TIME, "completeLatency": f"{latency_ms:.3f}"}
    return {
        **_summary(topology),
        "topologyStats": [{**window, **totals}],
        "spouts": [{"spoutId": spout.name, **_counts(spout)} for spout in spouts],
        "bolts": [
            {
                "boltId": bolt.name,
                "executors": bolt.executors,
                "tasks": bolt.tasks,
                "capacity": bolt.capacity,
                "lastError": bolt.last_error,
                **_counts(bolt),
            }
            for bolt in bolts
        ],
    }


def _component(topology: RunningTopology, component: Component) -> dict[str, Any]:
    counts = {"windowPretty": ALL_TIME, **_counts(component)}
    return {
        "id": component.name,
        "name": topology.name,
        "componentType": component.kind,
        "executors": component.executors,
        "tasks": component.tasks,
        "boltStats": [counts],
        "spoutSummary": [counts],
        "inputStats": [],
        "outputStats": [],
        "executorStats": [],
    }


def _counts(component: Component) -> dict[str, Any]:
    counts: dict[str, Any] = {
        name: getattr(component, name) for name in ("emitted", "transferred", "acked", "failed")
    }
    if component.kind == "spout":
        return {**counts, "completeLatency": f"{component.latency_ms:.3f}"}
    return {
        **counts,
        "executed": component.executed,
        "executeLatency": f"{component.execute_latency_ms:.3f}",
        "processLatency": f"{component.latency_ms:.3f}",
    }


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {seconds}s"


def refusal(host: str, origin: str) -> str:
    """Why a request is refused that a page in a browser may have made, "" if it is answered.

    After DNS rebinding `Host` holds the page's own domain. `origin` is "" where there is none.
    """
    names = "|".join(map(re.escape, LOOPBACK_NAMES))
    if not re.fullmatch(rf"(?:{names})(?::[0-9]{{1,5}})?", host.lower()):
        return "Host is not a name of loopback"
    if origin and origin.lower() != f"http://{host.lower()}":
        return "Origin is another server's page"
    return ""


class _Handler(http.server.BaseHTTPRequestHandler):
    cluster: StormCluster

    def do_GET(self) -> None:
        # Joined, a header that comes twice is no name.
        host, origin = (",".join(self.headers.get_all(name, [])) for name in ("Host", "Origin"))
        reason = refusal(host, origin)
        if reason:
            self._send(403, {"error": "Forbidden", "errorMessage": reason})
            return
        try:
            status, found = 200, answer(self.cluster, self.path.partition("?")[0])
        except (LookupError, ClusterAway) as exc:
            status = 404 if isinstance(exc, LookupError) else 503
            found = {"error": http.server.BaseHTTPRequestHandler.responses[status][0]}
            found["errorMessage"] = str(exc)
        self._send(status, found)

    def _send(self, status: int, found: Mapping[str, Any]) -> None:
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line per request."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="local.services.storm_ui", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--nimbus", type=int, required=True)
    arguments = parser.parse_args()
    _Handler.cluster = StormCluster(LOOPBACK, arguments.nimbus)
    http.server.ThreadingHTTPServer((LOOPBACK, arguments.port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
