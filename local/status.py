"""What every server and topology of a state folder is doing: ready, lag, counters, memory."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.embedded import supervisor_pid
from local.memory import resident_mb
from local.services.listening import listening_ports
from local.services.place import LOOPBACK, Place
from local.services.profiles import Stack
from local.supervision import noted_processes, stack_of
from local.topologies import lag, topology_names
from qold import wiring
from qold.clock import Clock, SystemClock
from qold.ports import MessageLog, PortError
from qold.settings import Settings

STALE_S = 10.0
NOT_RUNNING = "not running; start it with ./qold up"


@dataclass(slots=True)
class ComponentStatus:
    """`lag` is the number of records a topology has not committed, None where that has no meaning.

    `memory_mb` is what its process takes with all below it, None where it has none of its own.
    """

    name: str
    is_ready: bool = False
    detail: str = ""
    lag: int | None = None
    memory_mb: int | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {"ready": values.pop("is_ready"), **values}


def statuses(settings: Settings) -> list[ComponentStatus]:
    """The servers, the stores, and every topology of this state folder; makes nothing."""
    if not (Path(settings.state_dir) / "up.lock").exists():
        return [ComponentStatus("up", detail="never started here")]
    supervisor = supervisor_pid(settings)
    found = stack_of(settings)
    told = _servers(found, is_running=bool(supervisor))
    if all(status.is_ready for status in told):
        told += _pipeline(settings, found, supervisor)
    else:
        detail = "waits for servers" if supervisor else NOT_RUNNING
        told += [ComponentStatus(name, detail=detail) for name in topology_names()]
    if supervisor:
        memory = resident_mb(noted_processes(settings))
        for status in told:
            status.memory_mb = memory.get(status.name)
    return told


def _servers(found: Stack, *, is_running: bool) -> list[ComponentStatus]:
    told = []
    for server in found.servers:
        is_ready = is_running and server.is_ready()
        detail = "" if is_ready else ("starting" if is_running else NOT_RUNNING)
        addresses = dict(server.addresses())
        told.append(ComponentStatus(server.name, is_ready, detail, addresses=addresses))
    return told


def _pipeline(settings: Settings, found: Stack, supervisor: int) -> list[ComponentStatus]:
    clock = SystemClock()
    log = wiring.message_log(settings, clock)
    told = [_answer("log", log)]
    for name, connect in (
        ("registry", wiring.registry),
        ("raw store", wiring.raw_store),
        ("reading store", wiring.reading_store),
    ):
        store = connect(settings, clock)
        told.append(_answer(name, store))
        store.close()
    for name in topology_names():
        status = ComponentStatus(name, lag=_lag(log, settings, name))
        if found.is_on_storm:
            _ask_storm(settings, status)
        else:
            _ask_runner(settings, status, supervisor, clock)
        told.append(status)
    log.close()
    return told


def _answer(name: str, store: Any) -> ComponentStatus:
    try:
        store.ping()
    except PortError as exc:
        return ComponentStatus(name, detail=str(exc))
    return ComponentStatus(name, is_ready=True)


def _ask_storm(settings: Settings, status: ComponentStatus) -> None:
    from local.storm_cluster import ClusterAway, NoSuchTopology, StormCluster  # slow to load

    cluster = StormCluster(LOOPBACK, Place(settings.state_dir).port("nimbus"))
    try:
        topology = cluster.topology(status.name)
    except NoSuchTopology:
        status.detail = "not submitted"
        return
    except ClusterAway as exc:
        status.detail = str(exc)
        return
    for component in topology.components:
        if component.last_error:
            status.detail = f"{component.name}: {component.last_error}"
    spouts = [component for component in topology.components if component.kind == "spout"]
    # Nimbus counts a worker from its assignment on, also one that dies again and again.
    running = set(topology.ports) & listening_ports()
    is_complete = 0 < len(topology.ports) == len(running)
    status.is_ready = topology.status == "ACTIVE" and is_complete and bool(spouts)
    if not status.is_ready:
        status.detail = f"{topology.status}, {len(running)} of {topology.workers} workers"
    for name in ("emitted", "acked", "failed"):
        status.counters[name] = sum(getattr(spout, name) for spout in spouts)


def _ask_runner(settings: Settings, status: ComponentStatus, supervisor: int, clock: Clock) -> None:
    path = Path(settings.state_dir) / "run" / f"{status.name}.json"
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        status.detail = "starting" if supervisor else NOT_RUNNING
        return
    status.counters = told.get("counters", {})
    age_s = (clock.wall_ms() - told["written_at_ms"]) / 1000
    if not supervisor:
        status.detail = NOT_RUNNING
    elif told.get("parent") != supervisor:  # left by an earlier `up`
        status.detail = "starting"
    elif not _is_alive(told["pid"]):
        status.detail = "died; being started again"
    elif age_s > STALE_S:
        status.detail = f"silent for {age_s:.0f} s"
    else:
        status.is_ready = True


def _lag(log: MessageLog, settings: Settings, name: str) -> int | None:
    try:
        return lag(log, settings, name)
    except PortError:
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
