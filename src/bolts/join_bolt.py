"""Join bolt: pairs the verdicts on devices and gateways of one message (source 7.3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from streamparse import Stream

from qold.component import HELD, QoldBolt
from qold.domain.credentials import is_proven
from qold.domain.readings import is_time_credible
from qold.records import VERSION, DeviceId, GatewayId, Reading, ReadingRecord, encode, to_builtins
from qold.rejections import by_gateway, rejection
from qold.rows import (
    ClaimedBatch,
    ClaimedGateway,
    ClaimedReading,
    Entry,
    Refusal,
    pack,
    unpacker,
)

_batches = unpacker(ClaimedBatch)
_gateways = unpacker(ClaimedGateway)


@dataclass(slots=True)
class _Half:
    tup: Any
    held_since_ms: int


class JoinBolt(QoldBolt):
    """Emits what both vouch for on `readings`, the rest with its reason on `rejected`.

    A reading is refused for the first reason that holds: its device, its gateway, its time.
    """

    outputs = [
        Stream(["device_shard", "entries"], name="readings"),
        Stream(["gateway_shard", "message_id", "entries"], name="rejected"),
    ]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.timeout_ms = 1000 * int(storm_conf["topology.message.timeout.secs"])
        self.halves: dict[tuple[str, int], _Half] = {}

    def handle(self, tup: Any) -> object | None:
        key = (tup.values.message_id, tup.values.device_shard)
        other = self.halves.pop(key, None)
        if other is None:
            self._hold(key, tup)
            return HELD
        if other.tup.values.attempt == tup.values.attempt and other.tup.component != tup.component:
            self._join(other.tup, tup)
            self.ack(other.tup)
            return None
        older, newer = sorted((other.tup, tup), key=lambda half: half.values.attempt)
        self.counters["halves_of_older_attempts"] += 1
        self._hold(key, newer)
        self.ack(older)
        return HELD

    def tick(self) -> None:
        """Let go of halves whose message has timed out; the spout sends them again."""
        limit_ms = self.clock.monotonic_ms() - self.timeout_ms
        for key, half in list(self.halves.items()):
            if half.held_since_ms <= limit_ms:
                self.counters["halves_timed_out"] += 1
                del self.halves[key]
                self.fail(half.tup)

    def _hold(self, key: tuple[str, int], tup: Any) -> None:
        self.halves[key] = _Half(tup, self.clock.monotonic_ms())

    def _join(self, one: Any, other: Any) -> None:
        device_half, gateway_half = (one, other) if one.component == "device_bolt" else (other, one)
        message_id = device_half.values.message_id
        source = message_id.rpartition(":")[0]
        verdicts = {gateway.offset: gateway for gateway in _gateways(gateway_half.values.rows)}
        readings: list[Entry] = []
        rejected = [
            replace(refusal, is_proven=is_proven("gateway", verdict.reason))
            for verdict in verdicts.values()
            for refusal in verdict.refusals
        ]
        for batch in _batches(device_half.values.rows):
            self._decide(batch, verdicts[batch.offset], source, readings, rejected)
        device_shard = device_half.values.device_shard
        anchors = [one, other]
        self.counters["authenticated"] += len(readings)
        if readings:
            self.emit([device_shard, pack(readings)], stream="readings", anchors=anchors)
        for gateway_shard, refusals in by_gateway(rejected, self.settings.shards).items():
            head = [gateway_shard, message_id]
            self.emit([*head, pack(refusals)], stream="rejected", anchors=anchors)

    def _decide(
        self,
        batch: ClaimedBatch,
        verdict: ClaimedGateway,
        source: str,
        readings: list[Entry],
        rejected: list[Refusal],
    ) -> None:
        reason = batch.reason or verdict.reason
        report = f"{source}:{batch.offset}"
        device, gateway = DeviceId(batch.device_id), GatewayId(batch.gateway_id)
        key = str(batch.device_id)
        received = batch.appended_at_ms // 1000
        for claimed in batch.readings:
            credible = is_time_credible(claimed.time * 1000, batch.appended_at_ms)
            if reason or not credible:
                why = reason or "bad-time"
                self.counters[f"rejected.{why}"] += 1
                message = _message(batch, verdict, claimed)
                rejected.append(
                    rejection(
                        why,
                        report,
                        claimed.index,
                        batch.gateway_id,
                        batch.appended_at_ms,
                        is_proven=is_proven("gateway", verdict.reason),
                        message=message,
                    )
                )
            else:
                record = ReadingRecord(
                    VERSION,
                    device,
                    gateway,
                    _reading(claimed),
                    received,
                    f"{report}:{claimed.index}",
                )
                readings.append(Entry(key, encode(record)))


def _reading(claimed: ClaimedReading) -> Reading:
    return Reading(
        claimed.temp, claimed.time, claimed.batt, claimed.seq, claimed.door, claimed.defrost
    )


def _message(
    batch: ClaimedBatch, verdict: ClaimedGateway, claimed: ClaimedReading
) -> dict[str, Any]:
    return {
        "gateway": _credentials(verdict.gateway_id, verdict.token),
        "device": _credentials(batch.device_id, batch.token),
        "reading": to_builtins(_reading(claimed)),
        "received": batch.appended_at_ms // 1000,
    }


def _credentials(identity: int, digest: str) -> dict[str, Any]:
    # Whoever was vouched for has no digest.
    return {"id": identity, "auth": digest} if digest else {"id": identity}
