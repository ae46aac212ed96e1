"""What SMS bolt and Keen bolt share: hand a message over and note what became of it."""

from collections.abc import Mapping
from typing import Any

from qold import wiring
from qold.component import QoldBolt
from qold.domain.model import Message
from qold.domain.routing import retry_delay_ms
from qold.ports import AlertLog, Rejected, Unavailable
from qold.rows import unpacker

_messages = unpacker(Message)


class DeliveryBolt(QoldBolt):
    """A message is settled after the provider has it; what it cannot take now is due again later.

    A provider that is away is left alone for a while, longer each time, and the other messages wait
    for it without a call: each would last until its timeout.
    """

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.alert_log: AlertLog | None = None
        self.failures = 0
        self.away_until_ms = 0

    def hand_over(self, message: Message) -> None:
        """Give a message to the provider; raises like `Notifier`."""
        raise NotImplementedError

    def handle(self, tup: Any) -> None:
        if self.alert_log is None:
            self.alert_log = wiring.alert_log(self.settings, self.clock)
        for message in _messages(tup.values.messages):
            self._deliver(message, self.alert_log)

    def _deliver(self, message: Message, alert_log: AlertLog) -> None:
        now_ms = self.clock.wall_ms()
        left_ms = self.away_until_ms - self.clock.monotonic_ms()
        if left_ms > 0:
            alert_log.retry(message.id, at_ms=now_ms + left_ms, detail="the provider is away")
            self.counters["put_off"] += 1
            return
        try:
            self.hand_over(message)
        except Rejected as refusal:
            self.failures = 0
            alert_log.settle(message.id, "refused", now_ms=now_ms, detail=str(refusal))
            self.counters["refused"] += 1
            self.logger.error("message=%s refused: %s", message.id, refusal)
        except Unavailable as away:
            self.failures += 1
            wait_ms = retry_delay_ms(self.failures)
            self.away_until_ms = self.clock.monotonic_ms() + wait_ms
            at_ms = self.clock.wall_ms() + wait_ms
            alert_log.retry(message.id, at_ms=at_ms, detail=str(away))
            self.counters["away"] += 1
            self.logger.warning("message=%s is told later: %s", message.id, away)
        else:
            self.failures = 0
            alert_log.settle(message.id, "delivered", now_ms=now_ms)
            self.counters["delivered"] += 1
