"""The packed tuple: many rows ride as one base64 msgpack string (docs/adr/0001).

Storm would escape every quote of embedded JSON on both sides of the pipe; base64 has none.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class LogRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One log record on its way from the log spout to the first bolt."""

    offset: int
    appended_at_ms: int
    value: bytes


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
    """What one report claims about one device; after the Device bolt `token` is its digest.

    `reason` is empty or why the device is refused.
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


class ClaimedGateway(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The gateway credentials of one report; after the Gateway bolt `token` is their digest."""

    offset: int
    gateway_id: int
    token: str
    reason: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record to append to the log."""

    key: str
    value: bytes


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


def shard(device_id: int, shards: int) -> int:
    """The grouping key of a device: `device_id mod shards`, or the id itself with shards 0."""
    return device_id % shards if shards else device_id
