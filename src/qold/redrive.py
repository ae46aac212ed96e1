"""Refused readings whose cause has been mended: checked again, then published (design: Refused)."""

import hmac
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from qold.clock import Clock
from qold.domain.credentials import REASONS, Kind, key_id_of
from qold.domain.readings import is_time_credible
from qold.ports import Device, Gateway, MessageLog, Record, Registry, StateChange, StateStore
from qold.records import VERSION, DeviceId, GatewayId, Reading, ReadingRecord, encode
from qold.settings import Settings

BATCH = 500
REMEMBERED_MS = 8 * 24 * 3600 * 1000


class _Claim(msgspec.Struct):
    id: int
    auth: str = ""


class _Message(msgspec.Struct):
    gateway: _Claim
    device: _Claim
    reading: Reading
    received: int


class Rejected(msgspec.Struct):
    """A record of `reports.rejected`; `message` is absent where no reading can be driven again.

    `counts` are readings by what was wrong, where one record stands for many.
    """

    v: int
    reason: str
    source: str
    index: int
    gateway: int | None = None
    detail: str = ""
    readings: int = 1
    proven: bool = False
    counts: dict[str, int] = {}
    message: dict[str, Any] | None = None


@dataclass(slots=True)
class Redriven:
    """What came of it, in readings; `still` counts by today's reason."""

    published: int = 0
    earlier: int = 0
    still: Counter[str] = field(default_factory=Counter)


def read_rejected(log: MessageLog, settings: Settings) -> Iterator[tuple[Record, Rejected]]:
    """Everything that `reports.rejected` still holds, in order of append per partition."""
    topic = settings.rejected_topic
    partitions = range(log.partition_count(topic))
    reader = log.reader("rejected-list", topic, partitions)
    while records := reader.poll(partitions, max_records=BATCH, max_bytes=2**24, wait_ms=0):
        for record in records:
            yield record, msgspec.json.decode(record.value, type=Rejected)
    reader.close()


class Redrive:
    """Checks refusals against today's registry; what holds goes to `readings`, once."""

    def __init__(
        self,
        log: MessageLog,
        registry: Registry,
        states: StateStore,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._log = log
        self._registry = registry
        self._states = states
        self._settings = settings
        self._clock = clock

    def run(self, reason: str) -> Redriven:
        """Drive the refusals of one reason again; a second run publishes nothing twice."""
        result = Redriven()
        waiting: list[tuple[Rejected, _Message]] = []
        for _, rejected in read_rejected(self._log, self._settings):
            if rejected.reason != reason:
                continue
            try:
                message = msgspec.convert(rejected.message, _Message)
            except msgspec.ValidationError:
                result.still[reason] += rejected.readings
                continue
            waiting.append((rejected, message))
            if len(waiting) == BATCH:
                self._drive(waiting, result)
                waiting = []
        self._drive(waiting, result)
        return result

    def _drive(self, waiting: list[tuple[Rejected, _Message]], result: Redriven) -> None:
        now_ms = self._clock.wall_ms()
        keys = [_key(rejected) for rejected, _ in waiting]
        done = self._states.load(keys, now_ms=now_ms)
        devices = self._registry.devices({message.device.id for _, message in waiting})
        gateways = self._registry.gateways({message.gateway.id for _, message in waiting})
        entries, marks = [], []
        for key, (rejected, message) in zip(keys, waiting, strict=True):
            if key in done:
                result.earlier += 1
                continue
            reason = (
                _judge("device", devices.get(message.device.id), message.device, rejected.reason)
                or _judge(
                    "gateway", gateways.get(message.gateway.id), message.gateway, rejected.reason
                )
                or _judge_time(message)
            )
            if reason:
                result.still[reason] += 1
                continue
            entries.append((str(message.device.id), encode(_record(rejected, message))))
            marks.append(StateChange(key, 0, "", now_ms + REMEMBERED_MS))
        if entries:
            self._log.append(self._settings.readings_topic, entries)
            self._states.save(marks, now_ms=now_ms)
        result.published += len(entries)


def _judge(kind: Kind, row: Device | Gateway | None, claim: _Claim, refused_for: str) -> str:
    unknown, bad_token, inactive = REASONS[kind]
    if row is None:
        return unknown
    if claim.auth and not _is_right(row, claim.auth, refused_for == inactive):
        return bad_token
    return "" if row.active else inactive


def _is_right(row: Device | Gateway, digest: str, was_right: bool) -> bool:
    # A token is told wrong before its owner is told inactive. Only that proof counts for a
    # bcrypt hash, which cannot be compared with a digest.
    return was_right if key_id_of(row.auth) is None else hmac.compare_digest(digest, row.auth)


def _judge_time(message: _Message) -> str:
    is_credible = is_time_credible(message.reading.time * 1000, message.received * 1000)
    return "" if is_credible else "bad-time"


def _record(rejected: Rejected, message: _Message) -> ReadingRecord:
    return ReadingRecord(
        VERSION,
        DeviceId(message.device.id),
        GatewayId(message.gateway.id),
        message.reading,
        message.received,
        f"{rejected.source}:{rejected.index}",
    )


def _key(rejected: Rejected) -> str:
    return f"redriven:{rejected.source}:{rejected.index}"
