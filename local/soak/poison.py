"""Poison: record batches that no honest client sends, of each kind that may stop a reader."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import cramjam

from local.simulator.record_batches import batch, gzip_of, record, varint, zstd_of

MIB = 2**20
# Bytes that a bomb unpacks to: 0.9 MB of gzip at its highest ratio, 1 to 1 032.
BOMB_BYTES = 900 * MIB
# The same for LZ4, whose ratio ends at 1 to 255, and for snappy, which copies 64 bytes by three.
LZ4_BYTES, SNAPPY_BYTES = 200 * MIB, 18 * MIB
# Head of an LZ4 frame with independent blocks of 4 MiB, with its check byte, and its end.
LZ4_HEAD, LZ4_END = bytes.fromhex("04224d18607073"), bytes(4)
LZ4_BLOCK = 4 * MIB
# Attribute of a batch: only a transaction coordinator may write one.
CONTROL = 0x20
# More than the broker's message.max.bytes, and than the largest value that is read.
LARGE_BYTES = 5 * MIB


@dataclass(frozen=True, slots=True)
class Poison:
    """A batch of one record; `reason` of its one refusal, empty where the record is a deletion."""

    name: str
    make: Callable[[], bytes]
    reason: str = "malformed"


def poisons(rng: random.Random, *, is_compacted: bool = False) -> list[Poison]:
    """One of each kind; on a compacted topic a null value deletes, and is refused by no reader."""
    return [
        Poison("gzip bomb", _gzip_bomb, "oversized"),
        Poison("zstd bomb", _zstd_bomb, "oversized"),
        Poison("lz4 bomb", _lz4_bomb, "oversized"),
        Poison("snappy bomb", _snappy_bomb, "oversized"),
        Poison("5 MiB", _large, "oversized"),
        Poison("5 MiB in zstd", lambda: _packed(b" " * LARGE_BYTES), "oversized"),
        Poison("2 M brackets", lambda: _packed(b"[" * 2_000_000)),
        Poison("surrogates", lambda: _packed(b'{"v":1,"\\ud800":"\\udfff","gateway":"\\ud800"}')),
        Poison("surrogates as bytes", lambda: _packed(b'"\xed\xa0\x80"')),
        Poison(
            "null value", lambda: batch(record(None)), reason="" if is_compacted else "malformed"
        ),
        Poison("no key", lambda: batch(record(b"true", key=None))),
        Poison("control batch", lambda: batch(record(b"\0\0\0\1"), attributes=CONTROL)),
        Poison("newer version", lambda: _packed(b'{"v":2,"news":true}'), "newer-version"),
        Poison("random bytes", lambda: batch(record(rng.randbytes(1_000)))),
    ]


@cache
def _gzip_bomb() -> bytes:
    return batch(gzip_of(_bomb(BOMB_BYTES)), codec="gzip")


@cache
def _zstd_bomb() -> bytes:
    return batch(_zstd_of(_bomb(BOMB_BYTES)), codec="zstd")


@cache
def _lz4_bomb() -> bytes:
    return batch(_lz4_of(LZ4_BYTES), codec="lz4")


@cache
def _snappy_bomb() -> bytes:
    packed = cramjam.snappy.compress_raw(b"".join(_bomb(SNAPPY_BYTES)))
    return batch(bytes(packed), codec="snappy")


@cache
def _large() -> bytes:
    return batch(record(b" " * LARGE_BYTES))


def _packed(value: bytes) -> bytes:
    return batch(zstd_of(record(value)), codec="zstd")


def _bomb(size: int) -> Iterator[bytes]:
    """One record whose value is so many zero bytes, in parts."""
    head = _head(size)
    yield varint(len(head) + size + 1) + head
    chunk = bytes(MIB)
    for _ in range(size // MIB):
        yield chunk
    yield varint(0)  # headers


def _head(size: int) -> bytes:
    return b"\0" + varint(0) + varint(0) + varint(1) + b"7" + varint(size)


def _zstd_of(parts: Iterator[bytes]) -> bytes:
    compressor = cramjam.zstd.Compressor()
    for part in parts:
        compressor.compress(part)
    return bytes(compressor.finish())


def _lz4_of(size: int) -> bytes:
    """A bomb as LZ4 frame, of which all blocks but the first and the last are the same."""
    head = _head(size)
    head = varint(len(head) + size + 1) + head
    first = _lz4_block(head + bytes(LZ4_BLOCK - len(head)))
    block = _lz4_block(bytes(LZ4_BLOCK))
    # What the head took of the first block, and the number of headers: all zero bytes.
    last = _lz4_block(bytes(len(head) + 1))
    return LZ4_HEAD + first + block * (size // LZ4_BLOCK - 1) + last + LZ4_END


def _lz4_block(content: bytes) -> bytes:
    packed = bytes(cramjam.lz4.compress_block(content, store_size=False))
    return len(packed).to_bytes(4, "little") + packed
