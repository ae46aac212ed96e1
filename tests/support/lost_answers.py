"""Stands between a log and its only broker, and loses an answer to a write when told to."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from local.services.place import LOOPBACK, Place

PRODUCE = 0


class LostAnswers:
    """TLS on both sides, as a service towards the broker; what it listens at is `url`."""

    def __init__(self, url: str, state: Path) -> None:
        scheme, _, server = url.partition("://")
        authority = Place(state).authority
        own = authority.certificate("between", unit="brokers", hosts=(LOOPBACK,))
        shown = authority.certificate("qold", unit="services")
        self._inner = ssl.create_default_context(cafile=str(own.ca))
        self._inner.load_cert_chain(shown.chain, shown.key)
        self._outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._outer.load_cert_chain(own.chain, own.key)
        self._broker = (LOOPBACK, int(server.rpartition(":")[2]))
        self._listening = socket.create_server((LOOPBACK, 0))
        self.url = f"{scheme}://{LOOPBACK}:{self._listening.getsockname()[1]}"
        self._open: list[ssl.SSLSocket] = []
        self._to_lose = 0
        self.lost = 0

    def lose_next(self) -> None:
        """Break the connection in the place of the next answer to a write."""
        self._to_lose += 1

    def __enter__(self) -> "LostAnswers":
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in `accept` is not woken by `close`.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            connection.close()

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            with suppress(OSError):
                client = self._outer.wrap_socket(raw, server_side=True)
                broker = self._inner.wrap_socket(
                    socket.create_connection(self._broker), server_hostname=LOOPBACK
                )
                self._open += [client, broker]
                writes: set[bytes] = set()
                self._spawn(self._ask, client, broker, writes)
                self._spawn(self._answer, broker, client, writes)

    def _ask(self, client: ssl.SSLSocket, broker: ssl.SSLSocket, writes: set[bytes]) -> None:
        while frame := _frame(client):
            (key,) = struct.unpack_from("!h", frame, 4)
            if key == PRODUCE and self._to_lose:
                self._to_lose -= 1
                writes.add(bytes(frame[8:12]))
            if not _sent(broker, frame):
                break
        _hang_up(client, broker)

    def _answer(self, broker: ssl.SSLSocket, client: ssl.SSLSocket, writes: set[bytes]) -> None:
        mine = int(self.url.rpartition(":")[2])
        while frame := _frame(broker):
            if bytes(frame[4:8]) in writes:
                self.lost += 1
                break
            # Where it says that it is to be found.
            here, there = (
                LOOPBACK.encode() + struct.pack("!i", p) for p in (mine, self._broker[1])
            )
            if not _sent(client, frame.replace(there, here)):
                break
        _hang_up(client, broker)


def _frame(connection: ssl.SSLSocket) -> bytes:
    """One request or answer with its length, nothing at the end."""
    content = b""
    with suppress(OSError):
        size = 4
        while len(content) < size:
            if not (some := connection.recv(size - len(content))):
                return b""
            content += some
            if len(content) == 4:
                size += struct.unpack("!i", content)[0]
        return content
    return b""


def _sent(connection: ssl.SSLSocket, frame: bytes) -> bool:
    with suppress(OSError):
        connection.sendall(frame)
        return True
    return False


def _hang_up(*connections: ssl.SSLSocket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
