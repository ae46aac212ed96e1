"""What another user of the machine gets from a port of ours, from each of the machine's addresses."""

import fcntl
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from local.services.listening import beyond_loopback, listeners
from tests.support.stranger import as_stranger

CALL_S = 60.0
_SIOCGIFADDR = 0x8915


def loopback_ports(pid: int) -> set[int]:
    """Ports on which a process and those below it listen; fails if one is open beyond loopback."""
    assert not beyond_loopback(pid)
    return {found.port for found in listeners(pid)}


def own_addresses() -> list[str]:
    """Two of loopback, and those that other machines know this one by."""
    found = ["127.0.0.1", "127.0.0.2"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without IPv4
            found.append(socket.inet_ntoa(answer[20:24]))
    return sorted(set(found))


def answers(ports: Iterable[int], question: bytes) -> dict[tuple[int, str], bytes]:
    """The first bytes that each port sends, by port and the address it is asked from; b"" for none.

    A port that keeps the connection and says nothing has b"?".
    """
    return {
        (port, source): _ask(port, source, question) for port in ports for source in own_addresses()
    }


def answers_to_stranger(ports: Iterable[int], question: bytes) -> dict[tuple[int, str], bytes]:
    """The same for a user who owns nothing here."""
    wanted = list(ports)
    return as_stranger(lambda: answers(wanted, question))


def send_as_stranger_and_hang_up(port: int, content: bytes, times: int) -> None:
    """Connect, send and close, without a look at the answer; what the kernel takes is on its way."""

    def act() -> None:
        for _ in range(times):
            with socket.socket() as connection:
                connection.settimeout(CALL_S)
                # A server that refuses may close between any two of our calls.
                with suppress(ConnectionError):
                    connection.connect(("127.0.0.1", port))
                    connection.sendall(content)

    as_stranger(act)


def _ask(port: int, source: str, question: bytes) -> bytes:
    # Without a look-up of names: a stranger cannot load the module that it takes.
    with socket.socket() as connection:
        connection.settimeout(CALL_S)
        connection.bind((source, 0))
        try:
            connection.connect(("127.0.0.1", port))
            connection.sendall(question)
            return connection.recv(64)
        except TimeoutError:
            return b"?"
        except ConnectionError:
            return b""
