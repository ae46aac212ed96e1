"""Gateway event bolt: judges what gateways tell about themselves (source 7.3.2, T3.6)."""

from typing import Any

from streamparse import Stream

from bolts.gateway_bolt import GatewayBolt
from qold.dead_letters import describe
from qold.domain.credentials import CredentialCache, is_proven
from qold.records import (
    UNDECODABLE,
    VERSION,
    ClaimedEvent,
    EventRecord,
    GatewayId,
    decode_claimed_event,
    encode,
    is_newer,
    to_builtins,
)
from qold.rejections import by_gateway, rejection, unread
from qold.reports import MAX_TOKEN_LENGTH
from qold.rows import Entry, LogRow, Refusal, pack, shard, unpacker

_log_rows = unpacker(LogRow)


class GatewayEventBolt(GatewayBolt):
    """Emits what is vouched for on `events`, without its token, the rest on `rejected`."""

    outputs = [
        Stream(["device_shard", "entries"], name="events"),
        Stream(["gateway_shard", "message_id", "entries"], name="rejected"),
    ]

    def judge_tuple(self, values: Any) -> None:
        place = f"{values.topic}:{values.partition}"
        claims: list[tuple[LogRow, ClaimedEvent]] = []
        events: dict[int, list[Entry]] = {}
        rejected: list[Refusal] = []
        for row in _log_rows(values.records):
            if row.unread_bytes:
                rejected.append(unread(f"{place}:{row.offset}", row))
                self.counters["rejected.oversized"] += 1
                continue
            claimed = _claimed(row)
            if claimed is None:
                reason = "newer-version" if is_newer(row.value) else "malformed"
                rejected.append(_unreadable(reason, f"{place}:{row.offset}", row))
                self.counters[f"rejected.{reason}"] += 1
            else:
                claims.append((row, claimed))
        cache = self.loaded({claimed.gateway.id for _, claimed in claims})
        for row, claimed in claims:
            gateway_id = claimed.gateway.id
            reason = cache.judge(gateway_id, str(claimed.gateway.auth))
            origin = f"{place}:{row.offset}"
            if reason:
                rejected.append(_refused(reason, origin, row, claimed, cache))
                self.counters[f"rejected.{reason}"] += 1
                continue
            record = EventRecord(
                VERSION, GatewayId(gateway_id), claimed.event, row.appended_at_ms // 1000, origin
            )
            entries = events.setdefault(shard(gateway_id, self.settings.shards), [])
            entries.append(Entry(str(gateway_id), encode(record)))
        for gateway_shard, entries in events.items():
            self.counters["events"] += len(entries)
            self.emit([gateway_shard, pack(entries)], stream="events")
        message_id = f"{place}:{values.first}-{values.last}"
        for gateway_shard, refusals in by_gateway(rejected, self.settings.shards).items():
            self.emit([gateway_shard, message_id, pack(refusals)], stream="rejected")


def _claimed(row: LogRow) -> ClaimedEvent | None:
    try:
        claimed = decode_claimed_event(row.value)
    except UNDECODABLE:
        return None
    token = str(claimed.gateway.auth)
    is_plain = len(token) <= MAX_TOKEN_LENGTH and token.isascii()
    return claimed if claimed.v == VERSION and is_plain else None


def _unreadable(reason: str, origin: str, row: LogRow) -> Refusal:
    described = describe(row.value)
    return rejection(
        reason,
        origin,
        0,
        None,
        row.appended_at_ms,
        detail="a gateway event",
        sha256=described["sha256"],
        length=described["length"],
        error_position=described.get("error_position"),
    )


def _refused(
    reason: str, origin: str, row: LogRow, claimed: ClaimedEvent, cache: CredentialCache
) -> Refusal:
    gateway_id = claimed.gateway.id
    digest = cache.digest(gateway_id, str(claimed.gateway.auth))
    message = {
        "gateway": {"id": gateway_id, "auth": digest},
        "event": to_builtins(claimed.event),
    }
    return rejection(
        reason,
        origin,
        0,
        gateway_id,
        row.appended_at_ms,
        is_proven=is_proven("gateway", reason),
        message=message,
    )
