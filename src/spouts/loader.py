"""Loader: who may be silent, every 15 s (source 7.3.5; docs/adr/0007).

Component configuration: `qold.loader.awaits` lists [consumer, setting of its topic], in the order in
which readings go through them; `{topology}` is this topology's own name, `{prefix}` what is before all names.
It judges at the latest moment before which all of them are done.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from typing import Any

import msgspec

from qold import wiring
from qold.component import QoldSpout
from qold.domain.fleet import EVERY_GATEWAY, Fleet, watched_gateway
from qold.domain.limits import read_limits
from qold.domain.watermark import GAP_MS, Attention, Stage, Watermark
from qold.ports import (
    Device,
    LastSeen,
    MessageLog,
    Registry,
    StateChange,
    StateStore,
    Unavailable,
)
from qold.recollection import Recollection
from qold.rows import Suspect, pack, shard
from qold.watches import Watches, watch_key

FLEET_KEPT_MS = 300_000
SAVE_EVERY_MS = 60_000
FORGOTTEN_MS = 24 * 3_600_000
PAGE = 1000
PAGES_A_CALL = 10
MOST_IN_FLIGHT = 16
ATTENTION_KEY = "silence:attention"

_decode_attention = msgspec.json.Decoder(Attention).decode


class LoaderSpout(QoldSpout):
    """Emits suspects by shard; what fails needs nothing, because the next turn looks again."""

    outputs = ["device_shard", "judged_at_ms", "rows"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        prefix = self.settings.topology_prefix
        self.awaits = [
            (consumer.format(topology=self.topology, prefix=prefix), getattr(self.settings, topic))
            for consumer, topic in storm_conf["qold.loader.awaits"]
        ]
        self.stores: _Stores | None = None
        self.watermark = Watermark()
        self.started_at_ms = self.clock.wall_ms()
        self.fleet = Fleet()
        self.fleet_until_ms: int | None = None
        self.turn: Iterator[None] | None = None
        self.look_at_ms = self.warn_at_ms = 0
        self.emitted = 0
        self.flying: set[str] = set()

    def next_tuple(self) -> None:
        """Go on with the turn for some pages, or begin one when it is time."""
        now_ms = self.clock.monotonic_ms()
        if self.turn is None:
            if now_ms < self.look_at_ms or self.flying:
                self.rest()
                return
            self.look_at_ms = now_ms + self.settings.loader_look_ms
            self.turn = self._turn()
        try:
            for _ in range(PAGES_A_CALL):
                if len(self.flying) >= MOST_IN_FLIGHT:
                    return
                if next(self.turn, self) is self:
                    self.turn = None
                    return
        except Unavailable as away:
            self.turn = None
            self.counters["stores_away"] += 1
            self.logger.warning("nobody is judged: %s", away)

    def ack(self, tup_id: str) -> None:
        self.flying.discard(tup_id)

    def fail(self, tup_id: str) -> None:
        self.flying.discard(tup_id)
        self.counters["failed"] += 1

    def _turn(self) -> Iterator[None]:
        """One look at everything, a page at a time."""
        if self.stores is None:
            self.stores = _Stores(self)
        monotonic_ms = self.clock.monotonic_ms()
        has_forgotten = self.stores.has_forgotten()
        if has_forgotten:
            yield from self._recall(self.stores)
        if has_forgotten or self.fleet_until_ms is None or self.fleet_until_ms <= monotonic_ms:
            yield from self._read_fleet(self.stores)
            self.fleet_until_ms = monotonic_ms + FLEET_KEPT_MS
        now_ms = self.clock.wall_ms()
        is_attentive = self.stores.look(now_ms)
        judged_at_ms = self.watermark.look(now_ms, self._stages(self.stores.message_log))
        self.counters["looks"] += 1
        behind_ms = now_ms - (judged_at_ms or self.started_at_ms)
        self.counters["judged_behind_ms"] = behind_ms
        if behind_ms > GAP_MS and monotonic_ms >= self.warn_at_ms:
            self.warn_at_ms = monotonic_ms + GAP_MS
            consumers = ", ".join(consumer for consumer, _ in self.awaits)
            self.logger.warning("nobody is judged until these catch up: %s", consumers)
        if judged_at_ms is None:
            return
        if is_attentive:
            yield from self._judge(self.stores, judged_at_ms)

    def _stages(self, log: MessageLog) -> list[Stage]:
        stages = []
        for consumer, topic in self.awaits:
            offsets, committed = log.offsets(topic), log.committed(consumer, topic)
            ends = {partition: found.next for partition, found in offsets.items()}
            positions = {
                partition: max(found.first, committed.get(partition, 0))
                for partition, found in offsets.items()
            }
            stages.append(Stage(ends, positions))
        return stages

    def _recall(self, stores: "_Stores") -> Iterator[None]:
        """From the stores who was heard when, and who is silent."""
        self.counters["recalled"] += 1
        with closing(stores.recollection()) as recollection:
            yield from recollection.read_silences()
            for devices in stores.devices():
                active = [device for device in devices if device.active]
                recollection.recall({d.id: read_limits(d.config)[0].interval_ms for d in active})
                yield

    def _read_fleet(self, stores: "_Stores") -> Iterator[None]:
        after_id = 0
        gateways: set[int] = set()
        while page := stores.registry.list_gateways(after_id=after_id, limit=PAGE):
            after_id = page[-1].id
            gateways.update(gateway.id for gateway in page if gateway.active)
            stores.forget([watched_gateway(gateway.id) for gateway in page if not gateway.active])
            yield
        fleet = Fleet(frozenset(gateways))
        for devices in stores.devices():
            active = [device for device in devices if device.active]
            stores.enrol([device.id for device in active])
            stores.forget([device.id for device in devices if not device.active])
            watches = stores.watches([device.id for device in active])
            for device in active:
                limits, _ = read_limits(device.config)
                fleet.add(device.id, limits.interval_ms, watches.devices[device.id].gateway_id)
            yield
        self.fleet = fleet
        # Who was deleted has no row that could say so.
        for page_of_ids in stores.overdue(self.clock.wall_ms() - FORGOTTEN_MS, EVERY_GATEWAY):
            stores.forget([i for i in page_of_ids if fleet.limit_ms(i) is None])
            yield

    def _judge(self, stores: "_Stores", judged_at_ms: int) -> Iterator[None]:
        for limit_ms, after_id in (
            (self.fleet.gateway_limit_ms(), EVERY_GATEWAY),
            (self.fleet.device_limit_ms(), 0),
        ):
            if limit_ms is None:
                continue
            for watched_ids in stores.overdue(judged_at_ms - limit_ms + 1, after_id):
                ids = [i for i in watched_ids if (i > 0) == (after_id == 0)]
                suspects = self._suspects(stores, ids, judged_at_ms)
                by_shard = sorted((self._shard(s), s.watched_id, s) for s in suspects)
                for device_shard, group in groupby(by_shard, key=lambda entry: entry[0]):
                    self._emit(device_shard, judged_at_ms, [entry[2] for entry in group])
                yield
                if len(ids) < len(watched_ids):
                    break  # those behind are devices, whose turn comes

    def _suspects(
        self, stores: "_Stores", watched_ids: list[int], judged_at_ms: int
    ) -> Iterator[Suspect]:
        """Whose own limit has passed, and who is not known to be silent, nor through its gateway."""
        heard_at_ms = stores.last_seen.get(watched_ids)
        late = [
            i
            for i in watched_ids
            if (limit_ms := self.fleet.limit_ms(i)) is not None
            and i in heard_at_ms
            and heard_at_ms[i] + limit_ms <= judged_at_ms
        ]
        gateway_of, shops = self.fleet.gateway_of, self.fleet.shops
        devices = [i for i in late if i > 0]
        gateways = {-i for i in late if i < 0} | {gateway_of[i] for i in devices if i in gateway_of}
        watches = stores.watches(devices, gateways)
        for i in late:
            if i > 0 and not self.fleet.knows(i, watches.devices[i].gateway_id):
                self.fleet_until_ms = None  # it waits until its gateway is known as well
                continue
            gateway_id = gateway_of.get(i, 0) if i > 0 else -i
            if gateway_id and watches.gateways[gateway_id].silent_since_ms is not None:
                continue
            if i < 0:
                shop = shops[gateway_id]
                yield Suspect(i, shop.interval_ms, devices=shop.devices, device_id=shop.device_id)
            elif watches.devices[i].silent_since_ms is None:
                through_ms = shops[gateway_id].shortest_ms if gateway_id else 0
                yield Suspect(i, self.fleet.interval_ms[i], gateway_id, through_ms)

    def _shard(self, suspect: Suspect) -> int:
        return shard(abs(suspect.watched_id), self.settings.shards)

    def _emit(self, device_shard: int, judged_at_ms: int, suspects: list[Suspect]) -> None:
        self.emitted += 1
        tup_id = f"loader:{self.emitted}"
        self.flying.add(tup_id)
        self.counters["suspects"] += len(suspects)
        self.emit([device_shard, judged_at_ms, pack(suspects)], tup_id=tup_id)


class _Stores:
    """What the Loader reads and writes, connected at the first turn."""

    def __init__(self, spout: LoaderSpout) -> None:
        settings, self._clock = spout.settings, spout.clock
        self.message_log = wiring.message_log(settings, self._clock)
        self._settings = settings
        self.registry: Registry = wiring.registry(settings, self._clock)
        self.last_seen: LastSeen = wiring.last_seen(settings, self._clock)
        self._states: StateStore = wiring.state_store(settings, self._clock)

    def has_forgotten(self) -> bool:
        """Whether the working state is gone, or was never there: the first look writes into it."""
        return not self._states.load([ATTENTION_KEY], now_ms=self._clock.wall_ms())

    def recollection(self) -> Recollection:
        raw_store = wiring.raw_store(self._settings, self._clock)
        alert_log = wiring.alert_log(self._settings, self._clock)
        return Recollection(raw_store, alert_log, self.last_seen, self._states, self._clock)

    def devices(self) -> Iterator[list[Device]]:
        """Pages of all that are registered, in order of id."""
        after_id = 0
        while page := self.registry.list_devices(after_id=after_id, limit=PAGE):
            yield page
            after_id = page[-1].id

    def watches(self, device_ids: list[int], gateway_ids: Iterable[int] = ()) -> Watches:
        now_ms = self._clock.wall_ms()
        return Watches(self._states, device_ids, list(gateway_ids), now_ms=now_ms)

    def overdue(self, before_ms: int, after_id: int) -> Iterator[list[int]]:
        """Pages of those who were not heard since."""
        while page := self.last_seen.overdue(before_ms, after_id=after_id, limit=PAGE):
            yield page
            after_id = page[-1]

    def enrol(self, device_ids: list[int]) -> None:
        """Watch from now on those who are not watched yet."""
        seen = self.last_seen.get(device_ids)
        now_ms = self._clock.wall_ms()
        new = {i: now_ms for i in device_ids if i not in seen}
        if new:
            self.last_seen.enrol(new)

    def forget(self, watched_ids: list[int]) -> None:
        """Watch these no longer."""
        seen = self.last_seen.get(watched_ids)
        if seen:
            self.last_seen.retire(list(seen))
            self._states.delete([watch_key(i) for i in seen])

    def look(self, now_ms: int) -> bool:
        """Whether we have listened long enough without a gap to judge; remembers this look."""
        stored = self._states.load([ATTENTION_KEY], now_ms=now_ms).get(ATTENTION_KEY)
        attention = _decode_attention(stored.value) if stored else Attention(now_ms, now_ms)
        before = replace(attention)
        is_attentive = attention.look(now_ms)
        is_old = now_ms - before.looked_at_ms >= SAVE_EVERY_MS
        if not stored or is_old or attention.since_ms != before.since_ms:
            value = msgspec.json.encode(attention).decode("ascii")
            version = stored.version if stored else 0
            self._states.save([StateChange(ATTENTION_KEY, version, value)], now_ms=now_ms)
        return is_attentive
