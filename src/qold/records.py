"""The messages on the log, typed and versioned; unknown fields are ignored (docs/wire-format.md).

Seconds on the wire. The decoders check types and ranges; a struct made here is not checked. `encode` and the decoders are the only places where JSON is made or read.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

VERSION = 1
MAX_DEVICE_ID = 2**31 - 1

Identity = Annotated[int, Meta(ge=1, le=MAX_DEVICE_ID)]
Celsius = Annotated[float, Meta(ge=-327.67, le=327.67)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Sequence = Annotated[int, Meta(ge=0, le=0xFFFF)]
Seconds = Annotated[int, Meta(gt=-(2**53), lt=2**53)]


class Reading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One measurement: °C or None for a sensor fault, Unix seconds, % or None for unknown."""

    temp: Celsius | None
    time: Seconds
    batt: Percent | None
    seq: Sequence | None = None
    door: bool = False
    defrost: bool = False


class DeviceId(msgspec.Struct, frozen=True, gc=False):
    """A device behind authentication: no credentials."""

    id: Identity


class GatewayId(msgspec.Struct, frozen=True, gc=False):
    """A gateway behind authentication: no credentials."""

    id: Identity


class ReadingRecord(msgspec.Struct, frozen=True, gc=False):
    """An authenticated reading (topic `readings`, key = device id)."""

    v: int
    device: DeviceId
    gateway: GatewayId
    reading: Reading
    received: Seconds
    origin: str


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """An id and the token it was sent with, a number or text (inventory A11)."""

    id: Identity
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


# An event's text: an error of the operating system has some hundred characters; 32 values of it
# stay far below the largest record.
_DataName = Annotated[str, Meta(max_length=64)]
_DataText = Annotated[str, Meta(max_length=4096)]
# What msgpack carries from bolt to bolt.
_DataInteger = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_DataValue = _DataText | _DataInteger | float | bool | None


class Event(msgspec.Struct, frozen=True, gc=False):
    """What a gateway tells about itself; `data` says how much of it, by kind."""

    kind: Annotated[str, Meta(min_length=1, max_length=64)]
    time: Seconds
    data: Annotated[dict[_DataName, _DataValue], Meta(max_length=32)] = {}


class ClaimedEvent(msgspec.Struct, frozen=True, gc=False):
    """What a gateway publishes on `gateway.events`."""

    v: int
    gateway: Credentials
    event: Event


class EventRecord(msgspec.Struct, frozen=True, gc=False):
    """An authenticated event (topic `events`, key = gateway id)."""

    v: int
    gateway: GatewayId
    event: Event
    received: Seconds
    origin: str


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
decode_claimed_event = msgspec.json.Decoder(ClaimedEvent).decode
decode_event_record = msgspec.json.Decoder(EventRecord).decode
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


def to_builtins(value: Any) -> Any:
    """Plain dicts and lists with the wire's field names."""
    return msgspec.to_builtins(value)
