"""Record batches made byte by byte, as a hostile producer sends them: Kafka's Produce v7."""

import socket
import ssl
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cramjam

from local.services.authority import Certificate

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
# Bytes of an answer at most.
LARGE_ANSWER = 2**20


def varint(number: int) -> bytes:
    """Zigzag, as records carry their numbers."""
    left = (number << 1) ^ (number >> 63)
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def record(
    value: bytes | None, *, key: bytes | None = b"7", delta: int = 0, headers: int = 0
) -> bytes:
    """One record of a batch; None is null."""
    body = b"\0" + varint(0) + varint(delta)
    for part in (key, value):
        body += varint(-1) if part is None else varint(len(part)) + part
    body += varint(headers) + b"\0\0" * headers
    return varint(len(body)) + body


def batch(payload: bytes, *, codec: str = "none", count: int = 1, attributes: int = 0) -> bytes:
    """A batch around the bytes of its records, which are compressed already."""
    body = struct.pack("!hiqqqhii", attributes | CODECS[codec], count - 1, 0, 0, -1, -1, -1, count)
    body += payload
    rest = struct.pack("!ibI", -1, 2, crc32c(body)) + body
    return struct.pack("!qi", 0, len(rest)) + rest


def gzip_of(parts: Iterable[bytes]) -> bytes:
    """Compressed part by part, so that a bomb takes no memory here."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(map(compressor.compress, parts)) + compressor.flush()


def identity_of(shown: Certificate) -> tuple[Path, Path, Path]:
    """Authority, certificate and key of a client."""
    return shown.ca, shown.chain, shown.key


def zstd_of(content: bytes) -> bytes:
    """Compressed as a gateway's client does."""
    return bytes(cramjam.zstd.compress(content))


class Answer(NamedTuple):
    """The broker's error code, and the offset of the batch's first record where it is 0."""

    code: int
    offset: int


class RawProducer:
    """Sends batches to the broker at `host:port`; `identity` is (ca, certificate, key)."""

    def __init__(self, address: str, identity: tuple[Path, Path, Path]) -> None:
        host, _, port = address.rpartition(":")
        ca, certificate, key = identity
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(certificate, key)
        plain = socket.create_connection((host, int(port)), timeout=60)
        self._socket = context.wrap_socket(plain, server_hostname=host)

    def send(self, topic: str, partition: int, records: bytes) -> Answer:
        """Send a batch and wait for its answer; OSError where the broker hung up."""
        name = topic.encode()
        request = (
            struct.pack("!hhih", 0, 7, 1, 1)
            + b"x"
            + struct.pack("!hhi", -1, -1, 30_000)
            + struct.pack("!ih", 1, len(name))
            + name
            + struct.pack("!iii", 1, partition, len(records))
            + records
        )
        self._socket.sendall(struct.pack("!i", len(request)) + request)
        (size,) = struct.unpack("!i", self._exactly(4))
        if size > LARGE_ANSWER:
            raise ConnectionError(f"an answer of {size} bytes")
        answer = self._exactly(size)
        return Answer(*struct.unpack_from("!hq", answer, 4 + 4 + 2 + len(name) + 4 + 4))

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self._socket.recv(size - len(content))
            if not part:
                raise ConnectionResetError("the broker closed the connection")
            content += part
        return content


def crc32c(content: bytes) -> int:
    """Castagnoli's, which the standard library lacks."""
    register = 0xFFFFFFFF
    for byte in content:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF


def _table() -> list[int]:
    found = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
        found.append(register)
    return found


_TABLE = _table()
