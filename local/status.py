"""What every component of the embedded profile is doing: ready, lag, counters."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local.embedded import supervisor_pid
from local.topologies import consumed_topics, topology_names
from qold import wiring
from qold.clock import Clock, SystemClock
from qold.ports import MessageLog, PortError
from qold.settings import Settings

STALE_S = 10.0


@dataclass(slots=True)
class ComponentStatus:
    """`lag` is the number of records a topology has not committed, None where that has no meaning."""

    name: str
    is_ready: bool = False
    detail: str = ""
    lag: int | None = None
    counters: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {"ready": values.pop("is_ready"), **values}


def statuses(settings: Settings) -> list[ComponentStatus]:
    """The log, the stores, and every topology of this state folder; makes nothing."""
    clock = SystemClock()
    log = wiring.message_log(settings, clock)
    if not (Path(settings.state_dir) / "up.lock").exists():
        return [ComponentStatus("up", detail="never started here")]
    found = [_answer("log", log)]
    for name, connect in (
        ("registry", wiring.registry),
        ("raw store", wiring.raw_store),
        ("reading store", wiring.reading_store),
    ):
        store = connect(settings, clock)
        found.append(_answer(name, store))
        store.close()
    supervisor = supervisor_pid(settings)
    found += [_topology(settings, log, name, supervisor, clock=clock) for name in topology_names()]
    log.close()
    return found


def _answer(name: str, store: Any) -> ComponentStatus:
    try:
        store.ping()
    except PortError as exc:
        return ComponentStatus(name, detail=str(exc))
    return ComponentStatus(name, is_ready=True)


def _topology(
    settings: Settings, log: MessageLog, name: str, supervisor: int, *, clock: Clock
) -> ComponentStatus:
    status = ComponentStatus(name, lag=_lag(log, settings, name))
    path = Path(settings.state_dir) / "run" / f"{name}.json"
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        status.detail = "starting" if supervisor else "not running; start it with ./qold up"
        return status
    status.counters = told.get("counters", {})
    age_s = (clock.wall_ms() - told["written_at_ms"]) / 1000
    if not supervisor:
        status.detail = "not running; start it with ./qold up"
    elif told.get("parent") != supervisor:  # left by an earlier `up`
        status.detail = "starting"
    elif not _is_alive(told["pid"]):
        status.detail = "died; being started again"
    elif age_s > STALE_S:
        status.detail = f"silent for {age_s:.0f} s"
    else:
        status.is_ready = True
    return status


def _lag(log: MessageLog, settings: Settings, name: str) -> int | None:
    lag = 0
    for consumer, topic in consumed_topics(settings, name).items():
        try:
            ends, committed = log.offsets(topic), log.committed(consumer, topic)
        except PortError:
            return None
        lag += sum(end.next - committed.get(p, end.first) for p, end in ends.items())
    return lag


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
