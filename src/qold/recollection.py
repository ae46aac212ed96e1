"""Who was heard when and who is silent, from the stores, when the working state is gone.

A Redis that comes back empty would count everybody's silence from now, tell those again who are
told already, and let them return without a word.
"""

from collections.abc import Iterator, Mapping

from qold.clock import Clock
from qold.domain.fleet import watched_gateway
from qold.domain.readings import FUTURE_TOLERANCE_MS
from qold.domain.silence import (
    counted_from_ms,
    device_heard_at_ms,
    device_limit_ms,
    gateway_heard_at_ms,
)
from qold.ports import AlertLog, LastSeen, RawStore, StateStore, Unavailable
from qold.records import decode_reading_record
from qold.watches import Watches

DAY_MS = 86_400_000
KEPT_DAYS = 31
LOOK_BACK_MS = (DAY_MS, 7 * DAY_MS, KEPT_DAYS * DAY_MS)
"""Further and further, for whoever was not heard for longer than allowed."""
EVERY_ALERT = 10**6
TRIES = 3


class Recollection:
    """`read_silences` first, then `recall` of every active device; both may be done again."""

    def __init__(
        self,
        raw_store: RawStore,
        alert_log: AlertLog,
        last_seen: LastSeen,
        states: StateStore,
        clock: Clock,
    ) -> None:
        self._raw_store, self._alert_log = raw_store, alert_log
        self._last_seen, self._states = last_seen, states
        self._clock = clock
        self._silent_since_ms: dict[int, int] = {}

    def close(self) -> None:
        """Let go of the raw store and the alert log; nobody else needs them there."""
        self._raw_store.close()
        self._alert_log.close()

    def read_silences(self) -> Iterator[None]:
        """Who was told to be silent and not to be back, a day at a time, the last one first."""
        until_ms = self._clock.wall_ms() + FUTURE_TOLERANCE_MS
        for _ in range(KEPT_DAYS):
            from_ms = until_ms - DAY_MS
            for story in self._alert_log.alerts(from_ms=from_ms, to_ms=until_ms, limit=EVERY_ALERT):
                alert = story.alert
                if alert.kind in ("device.silent", "gateway.silent") and story.over_at_ms is None:
                    what, _, identity = alert.subject.partition(":")
                    watched_id = int(identity) if what == "device" else -int(identity)
                    self._silent_since_ms.setdefault(watched_id, alert.started_at_ms)
            until_ms = from_ms
            yield

    def recall(self, interval_ms: Mapping[int, int]) -> None:
        """Note when these devices were heard, through which gateway, and who of them is silent.

        Raises `Unavailable`.
        """
        seen = self._last_seen.get(list(interval_ms))
        now_ms = self._clock.wall_ms()
        gateway_of: dict[int, int] = {}
        heard: dict[int, int] = {}
        for device_id, each_ms in interval_ms.items():
            if device_id in seen:
                heard[device_id] = seen[device_id]
                continue
            limit_ms = device_limit_ms(each_ms)
            found = self._last_reading(device_id, limit_ms, now_ms)
            at_ms = None
            if found is not None:
                at_ms, gateway_of[device_id], gateway_at_ms = found
                watched = watched_gateway(gateway_of[device_id])
                heard[watched] = max(heard.get(watched, 0), gateway_at_ms)
            since_ms = self._silent_since_ms.get(device_id)
            heard[device_id] = counted_from_ms(at_ms, since_ms, limit_ms, now_ms)
        for watched in map(watched_gateway, set(gateway_of.values())):
            heard[watched] = max(heard[watched], self._silent_since_ms.get(watched, 0))
        self._note(list(interval_ms), gateway_of)
        self._last_seen.touch(heard)

    def _last_reading(
        self, device_id: int, limit_ms: int, now_ms: int
    ) -> tuple[int | None, int, int] | None:
        """When a device was heard, its gateway, when that was; from the raw store."""
        until_ms = now_ms + FUTURE_TOLERANCE_MS
        for back_ms in (limit_ms, *(back_ms for back_ms in LOOK_BACK_MS if back_ms > limit_ms)):
            from_ms = max(0, now_ms - back_ms)
            last = None
            for row in self._raw_store.read(device_id, from_ms, until_ms):
                last = row
            if last is not None:
                record = decode_reading_record(last.message.encode())
                times = (last.measured_at_ms, record.received * 1000)
                return device_heard_at_ms(*times), record.gateway.id, gateway_heard_at_ms(*times)
            until_ms = from_ms
        return None

    def _note(self, device_ids: list[int], gateway_of: Mapping[int, int]) -> None:
        gateway_ids = set(gateway_of.values())
        for _ in range(TRIES):
            watches = Watches(self._states, device_ids, gateway_ids, now_ms=self._clock.wall_ms())
            for device_id, watch in watches.devices.items():
                if watch.gateway_id is None:
                    watch.gateway_id = gateway_of.get(device_id)
                if watch.silent_since_ms is None:
                    watch.silent_since_ms = self._silent_since_ms.get(device_id)
            for gateway_id, shop in watches.gateways.items():
                if shop.silent_since_ms is None:
                    since_ms = self._silent_since_ms.get(watched_gateway(gateway_id))
                    shop.silent_since_ms = since_ms
                if shop.silent_since_ms is not None and not shop.device_id:
                    shop.device_id = min(i for i, g in gateway_of.items() if g == gateway_id)
            if watches.save():
                return
        raise Unavailable("the watches change while they are recalled")
