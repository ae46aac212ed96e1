"""Time bolt: notes when devices and gateways are heard, and tells who is silent or back (7.3.5)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.domain.fleet import watched_gateway
from qold.domain.model import Alert
from qold.domain.silence import (
    Heard,
    Through,
    device_heard_at_ms,
    gateway_heard_at_ms,
    hear_device,
    hear_gateway,
    judge_device,
    judge_gateway,
)
from qold.ports import AlertLog, LastSeen, StateStore, Unavailable
from qold.rows import ReadingRow, Suspect, pack, unpacker
from qold.watches import Watches

_reading_rows = unpacker(ReadingRow)
_suspects = unpacker(Suspect)


class TimeBolt(QoldBolt):
    """Input is a tuple of readings, or one of the Loader's suspects; both of the same devices."""

    outputs = ["device_shard", "alerts"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.last_seen: LastSeen | None = None
        self.states: StateStore | None = None
        self.alert_log: AlertLog | None = None

    def handle(self, tup: Any) -> None:
        values = tup.values
        if "judged_at_ms" in getattr(values, "_fields", ()):
            alerts = self._judge(_suspects(values.rows), values.judged_at_ms)
        else:
            alerts = self._hear(_reading_rows(values.rows))
        if alerts:
            self.emit([values.device_shard, pack(alerts)])

    def _hear(self, rows: Sequence[ReadingRow]) -> list[Alert]:
        devices: dict[int, Heard] = {}
        gateways: dict[int, int] = {}
        for row in rows:
            gateway_id, times = row.gateway_id, (row.measured_at_ms, row.received_at_ms)
            gateways[gateway_id] = max(gateways.get(gateway_id, 0), gateway_heard_at_ms(*times))
            at_ms = device_heard_at_ms(*times)
            if at_ms is None:
                self.counters["late"] += 1
            elif (known := devices.get(row.device_id)) is None or at_ms >= known.at_ms:
                devices[row.device_id] = Heard(at_ms, gateway_id)
        self.counters["readings"] += len(rows)

        def hear(watches: Watches) -> list[Alert | None]:
            told = [hear_gateway(i, watches.gateways[i], at) for i, at in gateways.items()]
            return told + [hear_device(i, watches.devices[i], h) for i, h in devices.items()]

        # Heard before the watch says so: until then a return is only told again, under its own id.
        touched = {i: heard.at_ms for i, heard in devices.items()}
        touched.update((watched_gateway(i), at_ms) for i, at_ms in gateways.items())
        return self._tell(hear, devices, gateways, lambda: self._seen().touch(touched))

    def _judge(self, suspects: Sequence[Suspect], judged_at_ms: int) -> list[Alert]:
        devices = {s.watched_id: s for s in suspects if s.watched_id > 0}
        shops = {-s.watched_id: s for s in suspects if s.watched_id < 0}
        gateway_ids = {*shops, *(s.gateway_id for s in devices.values() if s.gateway_id)}
        heard_at_ms = self._seen().get([*devices, *map(watched_gateway, gateway_ids)])

        def through(suspect: Suspect, watches: Watches) -> Through | None:
            at_ms = heard_at_ms.get(watched_gateway(suspect.gateway_id))
            if at_ms is None:
                return None
            gateway = watches.gateways[suspect.gateway_id]
            return Through(gateway, at_ms, suspect.gateway_interval_ms)

        def judge(watches: Watches) -> list[Alert | None]:
            silent = [
                judge_gateway(
                    i,
                    watches.gateways[i],
                    heard_at_ms[watched_gateway(i)],
                    interval_ms=suspect.interval_ms,
                    devices=suspect.devices,
                    device_id=suspect.device_id,
                    judged_at_ms=judged_at_ms,
                )
                for i, suspect in shops.items()
                if watched_gateway(i) in heard_at_ms
            ]
            return silent + [
                judge_device(
                    i,
                    watches.devices[i],
                    heard_at_ms[i],
                    through(suspect, watches),
                    interval_ms=suspect.interval_ms,
                    judged_at_ms=judged_at_ms,
                )
                for i, suspect in devices.items()
                if i in heard_at_ms
            ]

        return self._tell(judge, devices, gateway_ids)

    def _tell(
        self,
        decide: Callable[[Watches], list[Alert | None]],
        device_ids: Collection[int],
        gateway_ids: Collection[int],
        note: Callable[[], object] = lambda: None,
    ) -> list[Alert]:
        """Alert rows, what is noted, the watches; returns the alerts that nobody has told before."""
        if self.states is None:
            self.states = wiring.state_store(self.settings, self.clock)
        new: dict[str, Alert] = {}
        for _ in range(2):
            now_ms = self.clock.wall_ms()
            watches = Watches(self.states, device_ids, gateway_ids, now_ms=now_ms)
            alerts = {alert.id: alert for alert in decide(watches) if alert is not None}
            if alerts:
                if self.alert_log is None:
                    self.alert_log = wiring.alert_log(self.settings, self.clock)
                opened = self.alert_log.open_once(
                    list(alerts.values()), topology=self.topology, now_ms=now_ms
                )
                new.update((alert_id, alerts[alert_id]) for alert_id in opened)
            note()
            if watches.save():
                for alert in new.values():
                    self.counters[f"told.{alert.kind}"] += 1
                return list(new.values())
            self.counters["conflicts"] += 1
        raise Unavailable("the watches change under another task")

    def _seen(self) -> LastSeen:
        if self.last_seen is None:
            self.last_seen = wiring.last_seen(self.settings, self.clock)
        return self.last_seen
