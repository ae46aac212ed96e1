"""What the alert topology keeps of devices and gateways in the StateStore."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from qold.domain.fleet import watched_gateway
from qold.domain.silence import DeviceWatch, GatewayWatch
from qold.ports import StateChange, StateStore

_encoder = msgspec.json.Encoder()
_decode_device = msgspec.json.Decoder(DeviceWatch).decode
_decode_gateway = msgspec.json.Decoder(GatewayWatch).decode


def watch_key(watched_id: int) -> str:
    """The StateStore key of a device's or gateway's watch."""
    return f"silence:{watched_id}"


class Watches:
    """Those of some devices and gateways: read in one call, written in one call where they changed."""

    def __init__(
        self,
        store: StateStore,
        device_ids: Collection[int],
        gateway_ids: Collection[int],
        *,
        now_ms: int,
    ) -> None:
        """One that is not there yet begins empty. Raises `Unavailable`."""
        self._store = store
        self._now_ms = now_ms
        keys = [watch_key(i) for i in device_ids]
        keys += [watch_key(watched_gateway(i)) for i in gateway_ids]
        self._stored = store.load(keys, now_ms=now_ms)
        self.devices: Mapping[int, DeviceWatch] = {
            i: self._loaded(watch_key(i), _decode_device, DeviceWatch) for i in device_ids
        }
        self.gateways: Mapping[int, GatewayWatch] = {
            i: self._loaded(watch_key(watched_gateway(i)), _decode_gateway, GatewayWatch)
            for i in gateway_ids
        }

    def save(self) -> bool:
        """False when somebody else has changed one meanwhile: read all again. Raises `Unavailable`."""
        watches: dict[int, DeviceWatch | GatewayWatch] = dict(self.devices)
        watches.update((watched_gateway(i), watch) for i, watch in self.gateways.items())
        changes = [
            change
            for watched_id, watch in watches.items()
            if (change := self._change(watch_key(watched_id), watch)) is not None
        ]
        return not changes or not self._store.save(changes, now_ms=self._now_ms)

    def _loaded(self, key: str, decode: Any, empty: Any) -> Any:
        stored = self._stored.get(key)
        return empty() if stored is None else decode(stored.value)

    def _change(self, key: str, watch: DeviceWatch | GatewayWatch) -> StateChange | None:
        stored = self._stored.get(key)
        value = _encoder.encode(watch).decode("ascii")
        if stored is None:
            return StateChange(key, 0, value) if watch != type(watch)() else None
        return StateChange(key, stored.version, value) if value != stored.value else None
