"""System bolt: what of the system's own troubles the staff is told of (source T3.5, T3.6)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from qold import wiring
from qold.component import QoldBolt
from qold.domain.model import Alert
from qold.domain.system import (
    EventWatch,
    GrowthWatch,
    LagWatch,
    StoreWatch,
    judge_event,
    judge_growth,
    judge_lag,
    judge_store,
)
from qold.ports import AlertLog, StateChange, StateStore, StoredState, Unavailable
from qold.rows import EventRow, Observation, pack, unpacker


@dataclass(slots=True)
class HealthWatch:
    """What is kept of consumers, stores and topics, by name."""

    lags: dict[str, LagWatch] = field(default_factory=dict)
    stores: dict[str, StoreWatch] = field(default_factory=dict)
    topics: dict[str, GrowthWatch] = field(default_factory=dict)


HEALTH_KEY = "system:health"

_event_rows = unpacker(EventRow)
_observations = unpacker(Observation)
_encode = msgspec.json.Encoder().encode
_decode_events = msgspec.json.Decoder(EventWatch).decode
_decode_health = msgspec.json.Decoder(HealthWatch).decode


class SystemBolt(QoldBolt):
    """Input is a tuple of gateway events, or one of the Health spout's observations."""

    outputs = ["device_shard", "alerts"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.states: StateStore | None = None
        self.alert_log: AlertLog | None = None

    def handle(self, tup: Any) -> None:
        values = tup.values
        if "looked_at_ms" in values._fields:
            alerts = self._observe(_observations(values.rows), values.looked_at_ms)
        else:
            alerts = self._hear(_event_rows(values.rows))
        if alerts:
            self.emit([values.device_shard, pack(alerts)])

    def _hear(self, rows: Sequence[EventRow]) -> list[Alert]:
        keys = {row.gateway_id: f"system:gateway:{row.gateway_id}" for row in rows}
        stored = self._load(keys.values())
        watches = {
            key: _decode_events(stored[key].value) if key in stored else EventWatch()
            for key in keys.values()
        }
        alerts = [
            judge_event(
                row.gateway_id,
                watches[keys[row.gateway_id]],
                row.kind,
                row.data,
                at_ms=row.at_ms,
                received_at_ms=row.received_at_ms,
            )
            for row in rows
        ]
        self.counters["events"] += len(rows)
        return self._tell(alerts, watches, stored)

    def _observe(self, seen: Sequence[Observation], now_ms: int) -> list[Alert]:
        stored = self._load([HEALTH_KEY])
        health = _decode_health(stored[HEALTH_KEY].value) if stored else HealthWatch()
        alerts = []
        for it in seen:
            if it.what == "lag":
                lag = health.lags.setdefault(it.name, LagWatch())
                alerts.append(
                    judge_lag(it.name, lag, lag=it.count, position=it.position, now_ms=now_ms)
                )
            elif it.what == "topic":
                topic = health.topics.setdefault(it.name, GrowthWatch())
                alerts.append(judge_growth(it.name, topic, count=it.count, now_ms=now_ms))
            else:
                store = health.stores.setdefault(it.name, StoreWatch())
                alerts.append(judge_store(it.name, store, problem=it.problem, now_ms=now_ms))
        return self._tell(alerts, {HEALTH_KEY: health}, stored)

    def _store(self) -> StateStore:
        if self.states is None:
            self.states = wiring.state_store(self.settings, self.clock)
        return self.states

    def _load(self, keys: Collection[str]) -> Mapping[str, StoredState]:
        return self._store().load(keys, now_ms=self.clock.wall_ms())

    def _tell(
        self,
        decided: Sequence[Alert | None],
        watches: Mapping[str, EventWatch] | Mapping[str, HealthWatch],
        stored: Mapping[str, StoredState],
    ) -> list[Alert]:
        """Alert rows, then states; returns the alerts nobody has told before."""
        alerts = [alert for alert in decided if alert is not None]
        now_ms = self.clock.wall_ms()
        opened: set[str] = set()
        if alerts:
            if self.alert_log is None:
                self.alert_log = wiring.alert_log(self.settings, self.clock)
            opened = self.alert_log.open_once(alerts, topology=self.topology, now_ms=now_ms)
        changes = [
            StateChange(
                key, stored[key].version if key in stored else 0, _encode(watch).decode("ascii")
            )
            for key, watch in watches.items()
        ]
        if self._store().save(changes, now_ms=now_ms):
            raise Unavailable("another task judges the same")
        self.counters["told"] += len(opened)
        return [alert for alert in alerts if alert.id in opened]
