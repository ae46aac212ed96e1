"""A period of the raw store goes once more through one topology (source 5.4.1.8; docs/adr/0025).

The topology's own class runs in this process on the real stores, reads a log of its own that lies
beside them for as long as it takes, and tells nobody.
"""

import copy
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.runner import LocalTopology
from local.simulator.clock import SimulatedClock
from local.topologies import load_topology
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Device, RawRow, Registry, Unavailable
from qold.settings import Settings

INTO = ("datapoints", "thresholds", "alert", "legacy")
NAME = "replay"
BATCH = 5000
PATIENCE = 60
SILENT = frozenset({"loader", "pending_alerts", "info_bolt", "sms_bolt", "keen_bolt"})
"""Who decides by the time of day, and who tells people: not asked again."""


@dataclass(slots=True)
class Replayed:
    """`refused` are readings that the topology could not use."""

    readings: int = 0
    refused: int = 0


class PrivateRun:
    """One topology on the stores of `settings`, with a log and a clock of its own."""

    def __init__(self, into: str, settings: Settings, folder: Path, *, name: str = NAME) -> None:
        now_ms = SystemClock().wall_ms()
        self._clock = SimulatedClock(now_ms)
        self._settings = replace(
            settings,
            log_url=f"sqlite://{folder / 'log.db'}",
            # The legacy topology keeps its place by the name of the topic.
            readings_topic=f"{NAME}-{now_ms}",
            partitions=1,
            shards=1,
            poll_wait_ms=0,
        )
        self._log = wiring.message_log(self._settings, self._clock)
        self._log.create_topics(self._settings.topics())
        self._topology = LocalTopology(
            _without(load_topology(into), SILENT),
            name=name,
            conf=self._settings.to_storm_conf(),
            clock=self._clock,
        )

    def publish(self, rows: Sequence[RawRow]) -> None:
        """Append rows in their order, and return when all of them are worked off."""
        entries = [(str(row.device_id), row.message.encode()) for row in rows]
        self._log.append(self._settings.readings_topic, entries)
        self.settle()

    def settle(self) -> None:
        """Work until nothing is in flight; raises `Unavailable` when a store stays away."""
        for _ in range(PATIENCE):
            failed = self._failed()
            self._topology.run_until_idle()
            if not self._topology.in_flight():
                return
            timer_ms = self._topology.next_timer_ms() or 0
            if self._failed() > failed:
                time.sleep(1)
            self._clock.advance_to(max(timer_ms, self._clock.monotonic_ms() + 1000))
        raise Unavailable("the stores have not taken what was replayed")

    def refused(self) -> int:
        """How many records became dead letters."""
        topics = [t for t in self._log.topics() if t.endswith(".dlq")]
        return sum(o.next - o.first for t in topics for o in self._log.offsets(t).values())

    def stop(self) -> None:
        self._topology.stop()

    def _failed(self) -> int:
        return sum(counters["failed"] for counters in self._topology.counters().values())


def replay_into(
    into: str,
    settings: Settings,
    folder: Path,
    *,
    from_ms: int,
    to_ms: int,
    told: Callable[[int], None] = lambda readings: None,
) -> Replayed:
    """Everything measured in the period, of each device as it arrived; `told` hears how far it is."""
    raw = wiring.raw_store(settings, SystemClock())
    run = PrivateRun(into, settings, folder)
    done = Replayed()
    rows = (
        row
        for device in all_devices(wiring.registry(settings, SystemClock()))
        for row in arrivals(raw.read(device.id, from_ms, to_ms))
    )
    while batch := list(islice(rows, BATCH)):
        run.publish(batch)
        done.readings += len(batch)
        told(done.readings)
    run.stop()
    done.refused = run.refused()
    return done


def all_devices(registry: Registry) -> Iterator[Device]:
    """Every device, in order of id."""
    after_id = 0
    while page := registry.list_devices(after_id=after_id):
        yield from page
        after_id = page[-1].id


def arrivals(rows: Iterable[RawRow]) -> list[RawRow]:
    """Rows of one device in the order in which they reached the log."""
    return sorted(rows, key=arrival)


def arrival(row: RawRow) -> tuple[int, int, int]:
    """When a row was received (s), its report and place there."""
    *_, report, index = row.origin.split(":")
    return received_s(row), int(report), int(index)


def received_s(row: RawRow) -> int:
    """When the log got it."""
    return int(json.loads(row.message)["received"])


def _without(topology_class: Any, names: frozenset[str]) -> Any:
    """The same topology without some of its components, and what came from them."""
    kept = []
    for spec in topology_class.specs:
        if spec.name not in names:
            pruned = copy.copy(spec)
            pruned.inputs = {
                origin: grouping
                for origin, grouping in spec.inputs.items()
                if origin.componentId not in names
            }
            kept.append(pruned)
    return SimpleNamespace(config=topology_class.config, specs=kept)
