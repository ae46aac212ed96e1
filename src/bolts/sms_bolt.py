"""SMS bolt: tells a person (source 7.3.4)."""

from collections.abc import Mapping
from typing import Any

from bolts.delivery_bolt import DeliveryBolt
from qold import wiring
from qold.domain.model import Message
from qold.ports import Notifier
from qold.texts import render


class SmsBolt(DeliveryBolt):
    """One text per message, under the message's id."""

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        super().setup(storm_conf, context)
        self.notifier: Notifier | None = None

    def hand_over(self, message: Message) -> None:
        if self.notifier is None:
            self.notifier = wiring.notifier(self.settings, self.clock)
        text = render(message, now_ms=self.clock.wall_ms(), zone=self.settings.zone)
        self.notifier.send(message_id=message.id, to=message.address, text=text)
