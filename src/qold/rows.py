"""The packed tuple: many rows ride as one base64 msgpack string (docs/adr/0001).

Storm would escape every quote of embedded JSON on both sides of the pipe; base64 has none.
"""

from binascii import a2b_base64, b2a_base64
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from qold.domain.limits import Limits
from qold.domain.model import Alert, DeviceExcursions
from qold.domain.thresholds import ThresholdState

T = TypeVar("T")


class LogRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One log record on its way from the log spout to the first bolt; `unread_bytes` as in `Record`."""

    offset: int
    appended_at_ms: int
    value: bytes
    unread_bytes: int = 0


class ReadingRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One authenticated reading; `message` is its record's JSON where a topology asks for it."""

    device_id: int
    measured_at_ms: int
    temp: float | None
    batt: int | None
    seq: int | None
    flags: int
    received_at_ms: int
    origin: str
    message: bytes = b""
    gateway_id: int = 0


class EventRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One event of a gateway."""

    gateway_id: int
    kind: str
    data: dict[str, str | int | float | bool | None]
    at_ms: int
    received_at_ms: int


class Observation(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What was seen of a part of the system, and how.

    `lag`: `count` records wait for consumer `name`, which is at `position`. `topic`: it has had
    `count` records. `store`: `problem` is empty when it answers.
    """

    what: str
    name: str
    count: int = 0
    position: int = 0
    problem: str = ""


class Suspect(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Who may be silent: a device's id, or a gateway's as `watched_gateway` spells it.

    `interval_ms` is the device's, or the longest of the gateway's `devices`; `gateway_interval_ms` is
    the shortest of those of the gateway it is heard through. `gateway_id` is whom a
    device is heard through, 0 where that is nobody or nobody who is watched; `device_id` is one of
    a gateway's devices.
    """

    watched_id: int
    interval_ms: int
    gateway_id: int = 0
    gateway_interval_ms: int = 0
    devices: int = 0
    device_id: int = 0


class LegacyRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One reading as the legacy API spells it, and its offset on the log."""

    offset: int
    device_id: int
    temperature: str
    battery: str
    t: str


class PointRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One value on its way to the reading store."""

    device_id: int
    measured_at_ms: int
    value: float | int


class ClaimedReading(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A reading of a report, before anybody has vouched for it; `index` counts in its report."""

    index: int
    temp: float | None
    time: int
    batt: int | None
    seq: int | None
    door: bool
    defrost: bool


class ClaimedBatch(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one report claims about one device; after the Device bolt `token` is empty or its digest.

    `reason` is empty or why the device is refused; then there is a digest.
    """

    offset: int
    appended_at_ms: int
    gateway_id: int
    device_id: int
    token: str
    readings: list[ClaimedReading]
    reason: str = ""


class SealedBatch(msgspec.Struct, gc=False, array_like=True):
    """A `ClaimedBatch` whose readings are passed on unread."""

    offset: int
    appended_at_ms: int
    gateway_id: int
    device_id: int
    token: str
    readings: msgspec.Raw
    reason: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record to append to the log."""

    key: str
    value: bytes


class Refusal(Entry, frozen=True, gc=False, array_like=True):
    """A record for `reports.rejected`, and what its budget is decided by (`domain.refusal_budget`).

    `readings` is how many of them it stands for, `gateway_id` 0 where none could be read.
    """

    index: int
    reason: str
    readings: int
    gateway_id: int
    appended_at_ms: int
    is_proven: bool = False


class ClaimedGateway(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The gateway credentials of one report; after the Gateway bolt as in `ClaimedBatch`.

    `refusals` are those of the report itself, which wait for the verdict on their gateway.
    """

    offset: int
    gateway_id: int
    token: str
    reason: str = ""
    refusals: list[Refusal] = []


class LimitsRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The limits of one device, on their way beside its readings."""

    device_id: int
    limits: Limits


class Verdict(msgspec.Struct, array_like=True):
    """What the readings of one device came to; `version` is the one its state was loaded with."""

    device_id: int
    version: int
    state: ThresholdState
    alerts: list[Alert]
    excursions: list[DeviceExcursions]


_encode = msgspec.msgpack.Encoder().encode


def pack(rows: Sequence[Any]) -> str:
    """Rows as one ASCII string."""
    return b2a_base64(_encode(rows), newline=False).decode("ascii")


def unpacker(row_type: type[T]) -> Callable[[str], list[T]]:
    """The inverse of `pack` for one type of row; raises `msgspec.DecodeError`."""
    decode = msgspec.msgpack.Decoder(list[row_type]).decode  # type: ignore[valid-type]  # a variable, on purpose

    def unpack(packed: str) -> list[T]:
        return decode(a2b_base64(packed))

    return unpack


def by_device(rows: Sequence[ReadingRow]) -> dict[int, list[ReadingRow]]:
    """The readings of each device, in their order."""
    grouped: dict[int, list[ReadingRow]] = defaultdict(list)
    for row in rows:
        grouped[row.device_id].append(row)
    return grouped


def shard(device_id: int, shards: int) -> int:
    """The grouping key of a device: `device_id mod shards`, or the id itself with shards 0."""
    return device_id % shards if shards else device_id
