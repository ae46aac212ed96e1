"""Which sockets the processes of a tree listen on, as Linux lists them."""

import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local.services.guard import descendants

# States in /proc/net: TCP's LISTEN, and a UDP socket that takes datagrams from every sender.
_TABLES = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
_LOCAL, _STATE, _INODE = 1, 3, 9  # columns


@dataclass(frozen=True, order=True, slots=True)
class Listener:
    """A socket that takes what others send; `name` is the command of its process."""

    pid: int
    name: str
    protocol: str
    address: str
    port: int

    @property
    def is_beyond_loopback(self) -> bool:
        found = ipaddress.ip_address(self.address)
        inner = getattr(found, "ipv4_mapped", None) or found
        return not inner.is_loopback

    def __str__(self) -> str:
        return (
            f"{self.name} (process {self.pid}) on {self.protocol} {self.address} port {self.port}"
        )


def listeners(pid: int) -> list[Listener]:
    """Those of a process and of every process below it."""
    sockets = {inode: found for table in _TABLES for inode, found in _listening(table)}
    return sorted(
        Listener(owner, _name(owner), *sockets[inode])
        for owner in (pid, *descendants(pid))
        for inode in _inodes(owner) & sockets.keys()
    )


def beyond_loopback(pid: int) -> list[Listener]:
    """Those that another machine could reach."""
    return [found for found in listeners(pid) if found.is_beyond_loopback]


def listening_ports() -> set[int]:
    """Every TCP port that some process of this machine listens on."""
    return {port for table in ("tcp", "tcp6") for _, (_, _, port) in _listening(table)}


def _listening(table: str) -> Iterator[tuple[int, tuple[str, str, int]]]:
    try:
        lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
    except FileNotFoundError:
        return  # a kernel without IPv6
    for line in lines:
        words = line.split()
        if words[_STATE] == _TABLES[table]:
            address, _, port = words[_LOCAL].partition(":")
            found = (table.removesuffix("6"), _address(address), int(port, 16))
            yield int(words[_INODE]), found


def _address(text: str) -> str:
    """The kernel prints words of four bytes in this machine's order."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    packed = b"".join(struct.pack("=I", word) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _inodes(pid: int) -> set[int]:
    """The sockets that a process has open; none once it has ended."""
    found = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if match := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry.path)):
                    found.add(int(match[1]))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "?"
