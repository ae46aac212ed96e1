"""Who is watched, and how often they should speak."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from qold.domain.silence import device_limit_ms, gateway_limit_ms

EVERY_GATEWAY = -(2**31)
"""Before every watched id."""


def watched_gateway(gateway_id: int) -> int:
    """A gateway's id among those of devices, so that both are kept, and read, as one."""
    return -gateway_id


@dataclass(slots=True)
class Shop:
    """The devices heard through a gateway: how many, longest and shortest interval, one of them."""

    devices: int = 0
    interval_ms: int = 0
    shortest_ms: int = 0
    device_id: int = 0


@dataclass(slots=True)
class Fleet:
    """The active devices by id, and the active gateways they are heard through."""

    gateways: frozenset[int] = frozenset()
    interval_ms: dict[int, int] = field(default_factory=dict)
    gateway_of: dict[int, int] = field(default_factory=dict)
    shops: dict[int, Shop] = field(default_factory=dict)

    def knows(self, device_id: int, gateway_id: int | None) -> bool:
        """False for a device that has come to an active gateway since it was added."""
        return gateway_id not in self.gateways or self.gateway_of.get(device_id) == gateway_id

    def add(self, device_id: int, interval_ms: int, gateway_id: int | None) -> None:
        """An active device, and the gateway it was last heard through, which counts while active."""
        self.interval_ms[device_id] = interval_ms
        if gateway_id is not None and gateway_id in self.gateways:
            self.gateway_of[device_id] = gateway_id
            shop = self.shops.setdefault(gateway_id, Shop())
            shop.devices += 1
            shop.device_id = shop.device_id or device_id
            shop.interval_ms = max(shop.interval_ms, interval_ms)
            shop.shortest_ms = min(shop.shortest_ms or interval_ms, interval_ms)

    def device_limit_ms(self) -> int | None:
        """The shortest time after which any device is silent; None without devices."""
        return min(map(device_limit_ms, set(self.interval_ms.values())), default=None)

    def gateway_limit_ms(self) -> int | None:
        """Likewise of gateways."""
        intervals: Iterable[int] = {shop.interval_ms for shop in self.shops.values()}
        return min(map(gateway_limit_ms, intervals), default=None)

    def limit_ms(self, watched_id: int) -> int | None:
        """After what time a device or gateway is silent, None for one that is not watched."""
        if watched_id > 0:
            interval_ms = self.interval_ms.get(watched_id)
            return None if interval_ms is None else device_limit_ms(interval_ms)
        shop = self.shops.get(-watched_id)
        return None if shop is None else gateway_limit_ms(shop.interval_ms)
