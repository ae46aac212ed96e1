"""The messages on the log, typed and versioned; unknown fields are ignored (docs/wire-format.md).

Seconds on the wire. `encode` and the decoders are the only places where JSON is made or read.
"""

from typing import Any

import msgspec

VERSION = 1
MAX_DEVICE_ID = 2**31 - 1
MIN_CELSIUS, MAX_CELSIUS = -327.67, 327.67


class Reading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One measurement: °C or None for a sensor fault, Unix seconds, % or None for unknown."""

    temp: float | None
    time: int
    batt: int | None
    seq: int | None = None
    door: bool = False
    defrost: bool = False


class DeviceId(msgspec.Struct, frozen=True, gc=False):
    """A device behind authentication: no credentials."""

    id: int


class GatewayId(msgspec.Struct, frozen=True, gc=False):
    """A gateway behind authentication: no credentials."""

    id: int


class ReadingRecord(msgspec.Struct, frozen=True, gc=False):
    """An authenticated reading (topic `readings`, key = device id)."""

    v: int
    device: DeviceId
    gateway: GatewayId
    reading: Reading
    received: int
    origin: str


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """An id and the token it was sent with, a number or text (inventory A11)."""

    id: int
    auth: int | str


class Batch(msgspec.Struct, frozen=True, gc=False):
    """The readings of one device (source ch. 5)."""

    device: Credentials
    readings: list[Reading]


class Report(msgspec.Struct, frozen=True, gc=False):
    """What a gateway publishes: a group of batches (source ch. 5)."""

    v: int
    gateway: Credentials
    batches: list[Batch]
    sent: int | None = None


class ConfigChange(msgspec.Struct, frozen=True, gc=False):
    """A registry row changed; caches drop it (topic `config`, key `device:1` or `gateway:1`)."""

    v: int
    resource: str
    id: int
    time: int


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
decode_report = msgspec.json.Decoder(Report).decode
decode_config_change = msgspec.json.Decoder(ConfigChange).decode
decode_reading_record = msgspec.json.Decoder(ReadingRecord).decode
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are no such record; msgspec names only the first itself."""


class _Versioned(msgspec.Struct, gc=False):
    v: int = VERSION


_decode_version = msgspec.json.Decoder(_Versioned).decode


def is_newer(value: bytes) -> bool:
    """True for a record of a version this code does not know yet."""
    try:
        return _decode_version(value).v > VERSION
    except UNDECODABLE:
        return False


def reading_fault(reading: Reading) -> str | None:
    """Why a reading's values cannot be, or None (types are checked by the decoder)."""
    if reading.temp is not None and not MIN_CELSIUS <= reading.temp <= MAX_CELSIUS:
        return "temp out of range"
    if reading.batt is not None and not 0 <= reading.batt <= 100:
        return "batt out of range"
    if reading.seq is not None and not 0 <= reading.seq <= 0xFFFF:
        return "seq out of range"
    if not -(2**53) < reading.time < 2**53:
        return "time out of range"
    return None


def to_builtins(value: Any) -> Any:
    """Plain dicts and lists with the wire's field names."""
    return msgspec.to_builtins(value)
