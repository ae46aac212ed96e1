"""Kafka's record batches (format 2): found by their headers, unpacked one at a time within a limit."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cramjam

from qold.domain.log_limits import MAX_BATCH_BYTES, MAX_VALUE_BYTES

FORMAT = 2
_HEAD = struct.Struct("!qiibIhiqqqhii")
# Base offset and length, which the length itself does not count.
_BEFORE_LENGTH = 12
_CODEC, _CONTROL = 0x07, 0x20
_XERIAL = b"\x82SNAPPY\x00"
# Magic, version and compatible version of snappy-java's stream, before its chunks.
_XERIAL_HEAD_BYTES = 16
# Most bytes of a variable-length integer of 32 bits: a longer one is broken.
_VARINT_BYTES = 5


class Oversized(Exception):
    """The batch cannot be unpacked within the limit."""


class Broken(Exception):
    """The bytes are no records of format 2."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch as the broker stores it; `payload` is compressed by `codec`."""

    first: int
    last: int
    appended_at_ms: int
    count: int
    codec: int
    is_control: bool
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Entry:
    """One record; `value` is None where it is larger than `MAX_VALUE_BYTES`, its size is `size`."""

    offset: int
    key: bytes
    value: bytes | None
    size: int


def batches(content: memoryview) -> Iterator[Batch]:
    """The whole batches of an answer, whose last one the broker may have cut; raises `Broken`."""
    while len(content) >= _HEAD.size:
        first, length, _, magic, _, attributes, delta, _, latest, _, _, _, count = (
            _HEAD.unpack_from(content)
        )
        size = _BEFORE_LENGTH + length
        if magic != FORMAT or size < _HEAD.size:
            raise Broken(f"a batch of format {magic}, {size} bytes")
        if size > len(content):
            return
        yield Batch(
            first,
            first + delta,
            latest,
            count,
            attributes & _CODEC,
            bool(attributes & _CONTROL),
            content[_HEAD.size : size],
        )
        content = content[size:]


class Unpacker:
    """Unpacks batches; its buffer is all that a compressed batch may fill."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def entries(self, batch: Batch) -> Iterator[Entry]:
        """Records in order, each made when it is asked for; raises `Oversized` or `Broken`.

        The iterator keeps the unpacked bytes, at most `MAX_BATCH_BYTES`.
        """
        payload = self._unpacked(batch) if batch.codec else batch.payload
        return _records(payload, batch)

    def _unpacked(self, batch: Batch) -> memoryview:
        if not self._buffer:
            self._buffer = bytearray(MAX_BATCH_BYTES)
        unpack = _UNPACK.get(batch.codec)
        if unpack is None:
            raise Oversized(f"codec {batch.codec}")
        try:
            size = unpack(batch.payload, memoryview(self._buffer))
        except (cramjam.DecompressionError, ValueError) as exc:
            raise Oversized(str(exc)) from exc
        return memoryview(bytes(memoryview(self._buffer)[:size]))


def _snappy(payload: memoryview, buffer: memoryview) -> int:
    """Raw, as librdkafka writes it, or in the chunks of snappy-java."""
    if bytes(payload[: len(_XERIAL)]) != _XERIAL:
        return _snappy_block(payload, buffer)
    filled, rest = 0, payload[_XERIAL_HEAD_BYTES:]
    while rest:
        if len(rest) < 4:
            raise ValueError("a cut chunk")
        size = int.from_bytes(rest[:4])
        filled += _snappy_block(rest[4 : 4 + size], buffer[filled:])
        rest = rest[4 + size :]
    return filled


def _snappy_block(payload: memoryview, buffer: memoryview) -> int:
    return cramjam.snappy.decompress_raw_into(payload, buffer)


_UNPACK: Mapping[int, Callable[[memoryview, memoryview], int]] = {
    1: cramjam.gzip.decompress_into,
    2: _snappy,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}


def _records(content: memoryview, batch: Batch) -> Iterator[Entry]:
    at = 0
    for _ in range(batch.count):
        length, at = _varint(content, at)
        after = at + length
        if length < 1 or after > len(content):
            raise Broken("a record longer than its batch")
        _, place = _varint(content, at + 1)  # behind the attributes: the time of its producer
        delta, place = _varint(content, place)
        key, place = _field(content, place, after)
        value, place = _field(content, place, after)
        offset = batch.first + delta
        if not batch.first <= offset <= batch.last:
            raise Broken("a record outside of its batch")
        is_oversized = len(value) > MAX_VALUE_BYTES
        yield Entry(offset, bytes(key), None if is_oversized else bytes(value), len(value))
        at = after


def _field(content: memoryview, at: int, after: int) -> tuple[memoryview, int]:
    """Bytes behind their length; null is empty."""
    length, at = _varint(content, at)
    if length < 0:
        return content[:0], at
    if at + length > after:
        raise Broken("a field longer than its record")
    return content[at : at + length], at + length


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """A zigzag integer and the place behind it."""
    number = shift = 0
    for byte in content[at : at + 2 * _VARINT_BYTES]:
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
    raise Broken("a number without an end")
