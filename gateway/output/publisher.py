"""The outbox to the uplink, oldest first; a row goes when it was acknowledged."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from gateway.clock import Clock
from gateway.events import Events, Kind
from gateway.outbox import Outbox, Row, Span
from gateway.outbox_file import OutboxUnavailable
from gateway.output.reports import Envelope, Message
from gateway.output.uplink import Uplink, UplinkUnavailable
from gateway.settings import GatewaySettings
from gateway.status import StatusFile

BATCH_ROWS = 5_000
BACKOFF_FIRST_MS = 1_000
BACKOFF_LAST_MS = 60_000
# Shorter outages mend themselves and are nobody's business.
UPLINK_AWAY_MS = 900_000
_WAIT_S = 0.05

log = logging.getLogger(__name__)


@dataclass(slots=True)
class OutputCounters:
    """Since the start: readings and messages the uplink acknowledged, attempts that failed."""

    readings: int = 0
    messages: int = 0
    failures: int = 0


class Output:
    """Publishes what is due; single threaded. `rng` gives the back-off its jitter."""

    def __init__(
        self,
        settings: GatewaySettings,
        clock: Clock,
        uplink: Uplink,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._uplink = uplink
        # Seeded by the gateway, so that a fleet does not come back in step.
        self._rng = rng or random.Random(settings.gateway_id)
        self._key = str(settings.gateway_id)
        self._envelope = Envelope(
            settings.gateway_id, settings.token, max_readings=settings.max_report_readings
        )
        self._outbox = Outbox(settings, clock)
        self._events = Events(self._outbox, clock, settings.events_topic)
        self._status = StatusFile(settings.status_folder, "output", clock)
        self._look_every_ms = min(settings.poll_ms, settings.linger_ms)
        self._look_at_ms = clock.monotonic_ms()
        self._waiting: tuple[int, int] | None = None
        self._acknowledged_ids: list[int] = []
        self._backoff_ms = BACKOFF_FIRST_MS
        self._away_since_ms: int | None = None
        self._error = ""
        self.counters = OutputCounters()

    def step(self) -> bool:
        """Publish and delete what is due; True when something was acknowledged. Never waits."""
        now_ms = self._clock.monotonic_ms()
        acknowledged = 0
        if now_ms >= self._look_at_ms:
            self._look_at_ms = now_ms + self._look_every_ms
            try:
                acknowledged = self._publish_due(now_ms)
            except (OutboxUnavailable, UplinkUnavailable) as exc:
                self._back_off(exc)
        self._events.flush()
        self._status.write_when_due(self._facts)
        return acknowledged > 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Step until `stop()`, resting between looks."""
        while not stop():
            if not self.step():
                time.sleep(_WAIT_S)

    def next_look_ms(self) -> int:
        """Monotonic time before which `step` sends nothing."""
        return self._look_at_ms

    def pending(self) -> int:
        """How many messages wait in the outbox, at most. Raises OutboxUnavailable."""
        return _count(self._outbox.span())

    def close(self) -> None:
        """Release the uplink and the file."""
        self._uplink.close()
        self._outbox.close()

    def _publish_due(self, now_ms: int) -> int:
        self._delete_acknowledged()
        span = self._outbox.span()
        if span is None or not self._is_due(span, now_ms):
            return 0
        rows = self._outbox.oldest(BATCH_ROWS)
        acknowledged = 0
        for topic in dict.fromkeys(row.topic for row in rows):
            acknowledged += self._publish(topic, [row for row in rows if row.topic == topic])
        self._come_back(now_ms)
        if len(rows) == BATCH_ROWS:
            self._look_at_ms = now_ms
        return acknowledged

    def _publish(self, topic: str, rows: list[Row]) -> int:
        sent = self._clock.wall_ms() // 1000
        messages = list(self._envelope.messages(rows, sent=sent))
        durable = self._uplink.publish(
            topic, [message.value for message in messages], key=self._key
        )
        self._settle(messages[:durable])
        if durable < len(messages):
            raise UplinkUnavailable(f"{topic}: {durable} of {len(messages)} messages accepted")
        return durable

    def _settle(self, messages: list[Message]) -> None:
        self.counters.messages += len(messages)
        self.counters.readings += sum(message.reading_count for message in messages)
        self._acknowledged_ids += [row_id for message in messages for row_id in message.row_ids]
        self._delete_acknowledged()

    def _delete_acknowledged(self) -> None:
        """Before anything else is read: what the outbox could not delete is not sent again."""
        if self._acknowledged_ids:
            self._outbox.delete(self._acknowledged_ids)
            self._acknowledged_ids.clear()

    def _is_due(self, span: Span, now_ms: int) -> bool:
        if self._waiting is None or self._waiting[0] != span.first_id:
            self._waiting = (span.first_id, now_ms)
        linger_ms = self._settings.linger_ms
        return (
            now_ms - self._waiting[1] >= linger_ms
            or _count(span) >= self._settings.max_report_readings
            # After a restart the wait goes on where it was.
            or self._clock.wall_ms() - span.first_timestamp * 1000 >= max(linger_ms, 1000)
        )

    def _back_off(self, reason: Exception) -> None:
        now_ms = self._clock.monotonic_ms()
        self.counters.failures += 1
        if self._away_since_ms is None:
            self._away_since_ms = now_ms
        if str(reason) != self._error:
            self._error = str(reason)
            log.warning("gateway_id=%s cannot send: %s", self._key, reason)
        self._look_at_ms = now_ms + round(self._backoff_ms * self._rng.uniform(0.5, 1.0))
        self._backoff_ms = min(BACKOFF_LAST_MS, 2 * self._backoff_ms)

    def _come_back(self, now_ms: int) -> None:
        if self._away_since_ms is None:
            return
        away_ms = now_ms - self._away_since_ms
        log.info("gateway_id=%s sends again after %s ms", self._key, away_ms)
        if away_ms >= UPLINK_AWAY_MS:
            self._events.tell(Kind.UPLINK_BACK, seconds=away_ms // 1000)
        self._away_since_ms = None
        self._error = ""
        self._backoff_ms = BACKOFF_FIRST_MS

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "gateway": self._settings.gateway_id,
            "counters": asdict(self.counters),
            "error": self._error,
        }
        try:
            span = self._outbox.span()
        except OutboxUnavailable as exc:
            facts["error"] = str(exc)
        else:
            facts["pending"] = _count(span)
            facts["oldest_timestamp"] = None if span is None else span.first_timestamp
        return facts


def _count(span: Span | None) -> int:
    return 0 if span is None else span.last_id - span.first_id + 1
