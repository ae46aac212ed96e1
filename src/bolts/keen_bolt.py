"""Keen bolt: alerts as events for dashboards (source 7.3.5)."""

from collections.abc import Mapping
from typing import Any

from bolts.delivery_bolt import DeliveryBolt
from qold import wiring
from qold.domain.model import Message
from qold.ports import Analytics
from qold.records import to_builtins


class KeenBolt(DeliveryBolt):
    """An event per alert, under the alert's id."""

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        super().setup(storm_conf, context)
        self.analytics: Analytics | None = None

    def hand_over(self, message: Message) -> None:
        if self.analytics is None:
            self.analytics = wiring.analytics(self.settings, self.clock)
        self.analytics.record(message.address, [to_builtins(alert) for alert in message.alerts])
