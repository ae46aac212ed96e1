"""Device bolt: judges the device credentials of a tuple (source 7.3.2)."""

from collections.abc import Collection, Mapping
from typing import ClassVar

from bolts.credential_bolt import CredentialBolt
from qold.domain.credentials import Kind
from qold.ports import Device, Registry
from qold.rows import SealedBatch, pack, unpacker

_sealed_batches = unpacker(SealedBatch)


class DeviceBolt(CredentialBolt):
    """Passes the readings on unread, each batch with its verdict and without its token."""

    kind: ClassVar[Kind] = "device"

    def judge(self, rows: str) -> str:
        batches = _sealed_batches(rows)
        cache = self.loaded({batch.device_id for batch in batches})
        for batch in batches:
            batch.reason = cache.judge(batch.device_id, batch.token)
            batch.token = cache.digest(batch.device_id, batch.token) if batch.reason else ""
        return pack(batches)

    def look_up(self, registry: Registry, identities: Collection[int]) -> Mapping[int, Device]:
        return registry.devices(identities)
