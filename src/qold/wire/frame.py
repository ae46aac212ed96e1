"""The two frames of the radio link, to bytes and back.

FrameError
├── MalformedFrame   not COBS
├── WrongVersion     a frame of another version
├── WrongType        neither batch nor ack
├── WrongCount       n is not 1 to 32
├── WrongLength      not the length that n says
├── WrongCrc
└── WrongRange       a device id or token nobody can have
"""

import struct
from dataclasses import dataclass
from typing import Self

from cobs import cobs

from qold.wire.crc import crc16

VERSION = 1
TYPE_BATCH = 0x01
TYPE_ACK = 0x06
DELIMITER = b"\x00"

MAX_DEVICE_ID = 2**31 - 1
MAX_DEVICE_TOKEN = 2**53 - 1
MAX_SEQUENCE = 0xFFFF
MAX_ITEMS = 32
MAX_AGE_S = 0xFFFF
MAX_TEMPERATURE_CENTI = 0x7FFF
MAX_BATTERY = 0xFE

FLAG_DOOR = 0x01
FLAG_DEFROST = 0x02

SENSOR_FAULT = -0x8000
BATTERY_UNKNOWN = 0xFF

_BATCH_HEAD = struct.Struct(">BBIQHB")
_ITEM = struct.Struct(">HhBB")
_ACK_HEAD = struct.Struct(">BBIHB")
_CRC = struct.Struct(">H")

MAX_FRAME_BYTES = _BATCH_HEAD.size + MAX_ITEMS * _ITEM.size + _CRC.size
# COBS adds one byte to every 254; without the delimiter.
MAX_ENCODED_BYTES = MAX_FRAME_BYTES + 1


class FrameError(ValueError):
    """Bytes that are not a frame; `expected` and `received` are for people."""

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"expected {expected}, received {received}")
        self.expected = expected
        self.received = received


class MalformedFrame(FrameError):
    """The bytes between two delimiters are not COBS."""


class WrongVersion(FrameError):
    """A frame of a version this code does not know."""


class WrongType(FrameError):
    """Neither a batch nor an ack."""


class WrongCount(FrameError):
    """The number of items is not 1 to 32."""


class WrongLength(FrameError):
    """Shorter or longer than its number of items says."""


class WrongCrc(FrameError):
    """The content was damaged on the way."""


class WrongRange(FrameError):
    """A field has a value that no device has."""


@dataclass(frozen=True, slots=True)
class Item:
    """One measurement; hundredths of °C (None: sensor fault), % (None: unknown), seconds of age.

    `battery` is what the device sent, also above 100: the gateway passes it on and does not judge.
    """

    age_s: int
    temperature_centi: int | None
    battery: int | None
    flags: int = 0

    @property
    def celsius(self) -> float | None:
        """The temperature in °C, two decimals."""
        return None if self.temperature_centi is None else self.temperature_centi / 100

    @property
    def is_door_open(self) -> bool:
        """The door was open."""
        return bool(self.flags & FLAG_DOOR)

    @property
    def is_defrosting(self) -> bool:
        """The appliance was defrosting."""
        return bool(self.flags & FLAG_DEFROST)

    def to_bytes(self) -> bytes:
        """Six bytes; raises WrongRange."""
        _check("age_s", self.age_s, 0, MAX_AGE_S)
        _check("flags", self.flags, 0, 0xFF)
        temperature, battery = self.temperature_centi, self.battery
        if temperature is None:
            temperature = SENSOR_FAULT
        else:
            _check("temperature", temperature, -MAX_TEMPERATURE_CENTI, MAX_TEMPERATURE_CENTI)
        if battery is None:
            battery = BATTERY_UNKNOWN
        else:
            _check("battery", battery, 0, MAX_BATTERY)
        return _ITEM.pack(self.age_s, temperature, battery, self.flags)


@dataclass(frozen=True, slots=True)
class Frame:
    """A batch of 1 to 32 items; item i has the sequence number `sequence + i` modulo 65536."""

    device_id: int
    token: int
    sequence: int
    items: tuple[Item, ...]

    def item_sequence(self, index: int) -> int:
        """The sequence number of the item at `index`."""
        return (self.sequence + index) & MAX_SEQUENCE

    def ack(self) -> "Ack":
        """The ack that covers every item."""
        return Ack(self.device_id, self.sequence, len(self.items))

    def to_bytes(self) -> bytes:
        """The content with its CRC, not yet encoded; raises WrongRange or WrongCount."""
        _check_count(len(self.items))
        _check_device(self.device_id, self.token)
        _check("sequence", self.sequence, 0, MAX_SEQUENCE)
        head = _BATCH_HEAD.pack(
            VERSION, TYPE_BATCH, self.device_id, self.token, self.sequence, len(self.items)
        )
        return _with_crc(head + b"".join(item.to_bytes() for item in self.items))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Raises a FrameError; checked in the order version, type, n, exact length, CRC, ranges."""
        _check_kind(content, TYPE_BATCH)
        count = _count(content, _BATCH_HEAD)
        _check_whole(content, _BATCH_HEAD.size + count * _ITEM.size + _CRC.size)
        _, _, device_id, token, sequence, _ = _BATCH_HEAD.unpack_from(content)
        _check_device(device_id, token)
        body = content[_BATCH_HEAD.size : -_CRC.size]
        items = tuple(
            Item(
                age_s,
                None if temperature == SENSOR_FAULT else temperature,
                None if battery == BATTERY_UNKNOWN else battery,
                flags,
            )
            for age_s, temperature, battery, flags in _ITEM.iter_unpack(body)
        )
        return cls(device_id, token, sequence, items)


@dataclass(frozen=True, slots=True)
class Ack:
    """Every item of the frame of this device and sequence number is stored."""

    device_id: int
    sequence: int
    count: int

    def to_bytes(self) -> bytes:
        """The content with its CRC, not yet encoded; raises WrongRange or WrongCount."""
        _check_count(self.count)
        _check("device id", self.device_id, 1, MAX_DEVICE_ID)
        _check("sequence", self.sequence, 0, MAX_SEQUENCE)
        head = _ACK_HEAD.pack(VERSION, TYPE_ACK, self.device_id, self.sequence, self.count)
        return _with_crc(head)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Raises a FrameError; checked in the order version, type, n, exact length, CRC, ranges."""
        _check_kind(content, TYPE_ACK)
        count = _count(content, _ACK_HEAD)
        _check_whole(content, _ACK_HEAD.size + _CRC.size)
        _, _, device_id, sequence, _ = _ACK_HEAD.unpack_from(content)
        _check("device id", device_id, 1, MAX_DEVICE_ID)
        return cls(device_id, sequence, count)


def encode(frame: Frame | Ack) -> bytes:
    """What goes on the line, with the delimiter; raises WrongRange or WrongCount."""
    return bytes(cobs.encode(frame.to_bytes())) + DELIMITER


def decode(encoded: bytes) -> Frame | Ack:
    """What came between two delimiters; raises a FrameError."""
    try:
        content = bytes(cobs.decode(encoded))
    except cobs.DecodeError as exc:
        raise MalformedFrame("COBS", str(exc)) from exc
    is_ack = len(content) > 1 and content[1] == TYPE_ACK
    return Ack.from_bytes(content) if is_ack else Frame.from_bytes(content)


def _with_crc(content: bytes) -> bytes:
    return content + _CRC.pack(crc16(content))


def _check_kind(content: bytes, kind: int) -> None:
    if len(content) < 2:
        raise WrongLength("2 bytes or more", f"{len(content)}")
    if content[0] != VERSION:
        raise WrongVersion(f"version {VERSION}", f"{content[0]}")
    if content[1] != kind:
        raise WrongType(f"type 0x{kind:02x}", f"0x{content[1]:02x}")


def _count(content: bytes, head: struct.Struct) -> int:
    if len(content) < head.size:
        raise WrongLength(f"{head.size} bytes or more", f"{len(content)}")
    count = content[head.size - 1]
    _check_count(count)
    return count


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_ITEMS:
        raise WrongCount(f"1 to {MAX_ITEMS} items", f"{count}")


def _check_whole(content: bytes, length: int) -> None:
    # The length goes first: a CRC alone accepts a zero appended to a frame.
    if len(content) != length:
        raise WrongLength(f"{length} bytes", f"{len(content)}")
    computed = crc16(content[: -_CRC.size])
    (received,) = _CRC.unpack_from(content, length - _CRC.size)
    if computed != received:
        raise WrongCrc(f"CRC 0x{computed:04x}", f"0x{received:04x}")


def _check_device(device_id: int, token: int) -> None:
    _check("device id", device_id, 1, MAX_DEVICE_ID)
    _check("token", token, 1, MAX_DEVICE_TOKEN)


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        # A token is a secret: its value stays out of messages that reach a log.
        shown = "another value" if name == "token" else str(value)
        raise WrongRange(f"{name} {low} to {high}", shown)
