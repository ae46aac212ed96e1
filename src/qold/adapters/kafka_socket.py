"""A connection to one Kafka broker for requests that no client library sends; failures in words."""

import select
import socket
import ssl
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from qold.adapters.kafka_cluster import ANSWER_S, OwnCertificate
from qold.ports import Unavailable


def tls_context(certificates: Path) -> ssl.SSLContext:
    """Mutual TLS with the certificate of a service; raises `Unavailable`."""
    own = OwnCertificate.of(certificates)
    try:
        context = ssl.create_default_context(cafile=str(own.ca))
        context.load_cert_chain(own.chain, own.key)
    except OSError as exc:
        raise Unavailable(f"{own.chain}: {exc}") from exc
    return context


def readable(connections: Collection["BrokerSocket"], wait_s: float) -> list["BrokerSocket"]:
    """Those with an answer, or an end; waits while there is none."""
    decrypted = {connection for connection in connections if connection.has_decrypted()}
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(0 if decrypted else wait_s * 1000)}
    return [c for c in connections if c in decrypted or c.fileno() in ready]


class BrokerSocket:
    """Requests and answers in their frames; `max_answer_bytes` is the most an answer may have."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, *, max_answer_bytes: int
    ) -> None:
        self.name = f"{host}:{port}"
        self._max_answer_bytes = max_answer_bytes
        with self._in_words():
            self._socket = socket.create_connection((host, port), timeout=ANSWER_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def send_bytes(self, frame: bytes) -> None:
        """Send a request with its length in front."""
        with self._in_words():
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(frame)

    def receive_bytes(self, *, after_s: float = 0.0) -> memoryview:
        """The oldest answer behind its correlation id; the broker may wait `after_s` with it."""
        give_up_at = time.monotonic() + after_s + ANSWER_S
        with self._in_words():
            (size,) = struct.unpack("!i", self._exactly(4, give_up_at))
            if not 4 <= size <= self._max_answer_bytes:
                raise Unavailable(f"{self.name}: no Kafka, or a door for TLS")
            content = self._exactly(size, give_up_at)
        return memoryview(content)[4:]

    def fileno(self) -> int:
        """Descriptor, for select."""
        return self._socket.fileno()

    def has_decrypted(self) -> bool:
        """Whether bytes wait behind the descriptor, where select does not see them."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:
        # A reader that is dropped without `close` releases its connections as librdkafka's does.
        if hasattr(self, "_socket"):
            self.close()

    def _exactly(self, size: int, give_up_at: float) -> bytearray:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            self._socket.settimeout(max(0.001, give_up_at - time.monotonic()))
            if not (count := self._socket.recv_into(view)):
                raise Unavailable(f"{self.name}: the broker closed the connection")
            view = view[count:]
        return content

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            raise Unavailable(f"{self.name}: no answer") from exc
        except (OSError, ValueError) as exc:  # ValueError: a certificate that is none
            raise Unavailable(f"{self.name}: {exc}") from exc
