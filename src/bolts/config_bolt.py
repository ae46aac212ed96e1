"""Config bolt: the limits of every device beside its readings (source 7.3.4)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from qold import wiring
from qold.component import QoldBolt
from qold.config_changes import ConfigChanges, is_first_task
from qold.domain.limits import Limits, read_limits
from qold.ports import Registry, Unavailable
from qold.rows import LimitsRow, pack, unpacker

KEPT_MS = 600_000
AWAY_MS = 30_000
SPREAD = 8
MAX_DEVICES = 200_000


class _Owner(msgspec.Struct, gc=False, array_like=True):
    """A reading row, of which only the device matters here."""

    device_id: int


_owners = unpacker(_Owner)


@dataclass(frozen=True, slots=True)
class _Known:
    limits: Limits
    expires_at_ms: int


class ConfigBolt(QoldBolt):
    """Asks the registry again after ten minutes, spread over devices, and at once on `config`."""

    outputs = ["device_shard", "rows", "limits"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.registry: Registry | None = None
        self.known: dict[int, _Known] = {}
        letters = self.dead_letters if is_first_task(context) else None
        self.changes = ConfigChanges(self.counters, letters)

    def handle(self, tup: Any) -> None:
        values = tup.values
        if "records" in getattr(values, "_fields", ()):
            self._follow(values)
            return
        device_ids = dict.fromkeys(owner.device_id for owner in _owners(values.rows))
        self._load(device_ids)
        limits = [LimitsRow(device_id, self.known[device_id].limits) for device_id in device_ids]
        self.emit([values.device_shard, values.rows, pack(limits)])

    def _load(self, device_ids: Collection[int]) -> None:
        now_ms = self.clock.monotonic_ms()
        missing = [
            device_id
            for device_id in device_ids
            if (known := self.known.get(device_id)) is None or known.expires_at_ms <= now_ms
        ]
        if not missing:
            return
        try:
            if self.registry is None:
                self.registry = wiring.registry(self.settings, self.clock)
            found = self.registry.devices(missing)
        except Unavailable:
            if any(device_id not in self.known for device_id in missing):
                raise
            self.counters["registry_away"] += 1
            for device_id in missing:  # what was known holds on, for nobody may go unwatched
                self.known[device_id] = _Known(self.known[device_id].limits, now_ms + AWAY_MS)
            return
        self.counters["registry_reads"] += 1
        for device_id in missing:
            device = found.get(device_id)
            limits, problems = read_limits(device.config if device else {})
            for problem in problems:
                self.counters["limits_unreadable"] += 1
                self.logger.warning("device_id=%d limit not used: %s", device_id, problem)
            spread_ms = device_id % SPREAD * KEPT_MS // (4 * SPREAD)
            self.known.pop(device_id, None)
            self.known[device_id] = _Known(limits, now_ms + KEPT_MS - spread_ms)
        while len(self.known) > max(MAX_DEVICES, len(device_ids)):
            del self.known[next(iter(self.known))]

    def _follow(self, values: Any) -> None:
        for change in self.changes.read(values):
            if change.resource == "device":
                self.known.pop(change.id, None)
