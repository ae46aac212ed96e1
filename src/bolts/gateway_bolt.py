"""Gateway bolt: judges the gateway credentials of a tuple (source 7.3.2)."""

from collections.abc import Collection, Mapping
from typing import ClassVar

from bolts.credential_bolt import CredentialBolt
from qold.domain.credentials import CredentialCache, Kind
from qold.ports import Gateway, Registry
from qold.rows import ClaimedGateway, pack, unpacker

_claimed_gateways = unpacker(ClaimedGateway)


class GatewayBolt(CredentialBolt):
    """One verdict per report; grouped by device shard as in the source, so the Join bolt can pair."""

    kind: ClassVar[Kind] = "gateway"

    def judge(self, rows: str) -> str:
        claimed = _claimed_gateways(rows)
        cache = self.loaded({gateway.gateway_id for gateway in claimed})
        return pack([_judged(cache, gateway) for gateway in claimed])

    def look_up(self, registry: Registry, identities: Collection[int]) -> Mapping[int, Gateway]:
        return registry.gateways(identities)


def _judged(cache: CredentialCache, gateway: ClaimedGateway) -> ClaimedGateway:
    reason = cache.judge(gateway.gateway_id, gateway.token)
    digest = cache.digest(gateway.gateway_id, gateway.token) if reason else ""
    return ClaimedGateway(gateway.offset, gateway.gateway_id, digest, reason, gateway.refusals)
