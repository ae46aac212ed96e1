"""Health spout: looks every 30 s at consumers, topics of refusals and stores; judges nothing.

Component configuration: `qold.health.consumers` lists [consumer, setting of its topic].
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qold import wiring
from qold.component import QoldSpout
from qold.ports import MessageLog, Port, PortError, Unavailable
from qold.rows import Observation, pack

LOOK_EVERY_MS = 30_000
STORES: tuple[tuple[str, Callable[..., Port]], ...] = (
    ("registry", wiring.registry),
    ("raw store", wiring.raw_store),
    ("reading store", wiring.reading_store),
    ("state store", wiring.state_store),
    ("last seen", wiring.last_seen),
    ("alert log", wiring.alert_log),
    ("directory", wiring.directory),
    ("notifier", wiring.notifier),
    ("analytics", wiring.analytics),
    ("legacy API", wiring.legacy_api),
)


class HealthSpout(QoldSpout):
    """One tuple a look. One that fails needs nothing: the next look sees what is still so."""

    outputs = ["device_shard", "looked_at_ms", "rows"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.consumers = [
            (self.settings.topology_prefix + consumer, str(getattr(self.settings, topic)))
            for consumer, topic in storm_conf["qold.health.consumers"]
        ]
        self.message_log: MessageLog | None = None
        self.stores: dict[str, Port] = {}
        self.seen: list[Observation] = []
        self.look: Iterator[None] | None = None
        self.look_at_ms = 0
        self.looks = 0

    def next_tuple(self) -> None:
        """Go on with a look by one store, which may take 10 s; emit it when it is whole."""
        now_ms = self.clock.monotonic_ms()
        if self.look is None:
            if now_ms < self.look_at_ms:
                self.rest()
                return
            self.look_at_ms = now_ms + LOOK_EVERY_MS
            self.seen = []
            self.look = self._look()
        if next(self.look, self) is self:
            self.look = None
            self.looks += 1
            rows = pack(self.seen)
            self.emit([0, self.clock.wall_ms(), rows], tup_id=f"health:{self.looks}")

    def _look(self) -> Iterator[None]:
        if self.message_log is None:
            self.message_log = wiring.message_log(self.settings, self.clock)
        try:
            self._look_at_log(self.message_log)
        except PortError as away:
            self.seen = [Observation("store", "log", problem=str(away))]
        else:
            self.seen.append(Observation("store", "log"))
        yield
        for name, connect in STORES:
            if name not in self.stores:
                self.stores[name] = connect(self.settings, self.clock)
            try:
                self.stores[name].ping()
            except Unavailable as away:
                self.seen.append(Observation("store", name, problem=str(away)))
            else:
                self.seen.append(Observation("store", name))
            yield

    def _look_at_log(self, log: MessageLog) -> None:
        topics = log.topics()
        for consumer, topic in self.consumers:
            committed = log.committed(consumer, topic) if topic in topics else {}
            if not committed:
                continue  # such a topology does not run here
            offsets = log.offsets(topic)
            positions = [max(committed.get(p, 0), found.first) for p, found in offsets.items()]
            lag = sum(found.next for found in offsets.values()) - sum(positions)
            self.seen.append(Observation("lag", consumer, lag, sum(positions)))
        for topic in topics:
            if topic.endswith(".dlq") or topic == self.settings.rejected_topic:
                count = sum(found.next for found in log.offsets(topic).values())
                self.seen.append(Observation("topic", topic, count))
