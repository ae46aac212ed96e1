"""What waits to be told: messages that are due, and alerts that nobody has planned (design: delivery)."""

from collections.abc import Mapping
from typing import Any

from streamparse import Stream

from qold import wiring
from qold.component import QoldSpout
from qold.domain.model import Channel
from qold.ports import AlertLog, Unavailable
from qold.rows import pack, shard

LOOK_MS = 500
LEASE_MS = 120_000
UNPLANNED_MS = 30_000
EXPIRY_MS = 24 * 3_600_000
ALERTS, MESSAGES = 100, 20
CHANNELS: tuple[Channel, ...] = ("sms", "analytics")


class PendingAlertsSpout(QoldSpout):
    """The one way to the providers, for the first attempt as for every other.

    A tuple that fails or is lost needs nothing: its messages are due again when their lease is over.
    One tuple of each channel is in flight, so that a slow provider is not given more than it takes.
    """

    outputs = [
        Stream(["device_shard", "alerts"], name="alerts"),
        Stream(["messages"], name="sms"),
        Stream(["messages"], name="analytics"),
    ]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.alert_log: AlertLog | None = None
        self.look_at_ms = 0
        self.look_for_lost_at_ms = 0
        self.emitted = 0
        self.flying: dict[str, str] = {}

    def next_tuple(self) -> None:
        """Claim what is due, at most twice a second."""
        monotonic_ms = self.clock.monotonic_ms()
        if monotonic_ms < self.look_at_ms:
            self.rest()
            return
        self.look_at_ms = monotonic_ms + LOOK_MS
        try:
            if self.alert_log is None:
                self.alert_log = wiring.alert_log(self.settings, self.clock)
            now_ms = self.clock.wall_ms()
            if monotonic_ms >= self.look_for_lost_at_ms:
                self._look_for_lost(self.alert_log, now_ms)
                self.look_for_lost_at_ms = monotonic_ms + UNPLANNED_MS
            self._look(self.alert_log, now_ms)
        except Unavailable as away:
            self.counters["alert_log_away"] += 1
            self.logger.warning("alert log away: %s", away)

    def ack(self, tup_id: str) -> None:
        """The channel is free again."""
        self.flying.pop(tup_id, None)

    def fail(self, tup_id: str) -> None:
        """Likewise; its messages are in the alert log."""
        self.flying.pop(tup_id, None)

    def _look_for_lost(self, alert_log: AlertLog, now_ms: int) -> None:
        expired = alert_log.expire(before_ms=now_ms - EXPIRY_MS, now_ms=now_ms)
        if expired:
            self.counters["expired"] += expired
            self.logger.error("deliveries=%d were never delivered and are given up", expired)
        if "alerts" in self.flying.values():
            return
        before_ms = now_ms - UNPLANNED_MS
        for alert in alert_log.unplanned(self.topology, before_ms=before_ms, limit=ALERTS):
            identity = int("0" + "".join(filter(str.isdigit, alert.subject)))
            where = shard(identity, self.settings.shards)
            self._emit([where, pack([alert])], "alerts")

    def _look(self, alert_log: AlertLog, now_ms: int) -> None:
        for channel in CHANNELS:
            if channel in self.flying.values():
                continue
            messages = alert_log.claim(
                self.topology, channel, now_ms=now_ms, lease_ms=LEASE_MS, limit=MESSAGES
            )
            if messages:
                self._emit([pack(messages)], channel)

    def _emit(self, values: list[Any], stream: str) -> None:
        self.emitted += 1
        tup_id = f"pending:{self.emitted}"
        self.flying[tup_id] = stream
        self.emit(values, stream=stream, tup_id=tup_id)
