"""Where the servers of one state folder live: folders, ports that stay, passwords, certificates."""

import json
import secrets
import socket
from functools import cached_property
from pathlib import Path

from local.services.authority import Authority
from qold.private_files import (
    close_folder,
    create_private,
    locked_folder,
    make_folder,
    read_private,
    write_private,
)

LOOPBACK = "127.0.0.1"


class Place:
    """One installation of the servers; everything lies under its state folder."""

    def __init__(self, state_dir: str | Path) -> None:
        self.state = Path(state_dir).absolute()
        self.secrets = self.state / "secrets"

    @cached_property
    def authority(self) -> Authority:
        close_folder(self.secrets)
        return Authority(self.secrets / "certificates")

    def folder(self, name: str) -> Path:
        """The folder of a server, made if needed, for nobody else to read."""
        path = self.state / "services" / name
        make_folder(path)
        return path

    def port(self, name: str, *, prefer: int = 0) -> int:
        """A port on loopback that was free when it was first asked for, and stays.

        `prefer` is taken if it is free: what other programs expect.
        """
        path = self.state / "services" / "ports.json"
        ports = _read_ports(path)
        if name in ports:
            return ports[name]
        make_folder(path.parent)
        with locked_folder(path.parent):
            ports = _read_ports(path)
            if name not in ports:
                is_free = prefer and not is_listening(prefer)
                ports[name] = prefer if is_free else _free_port(set(ports.values()))
                write_private(path, json.dumps(ports, indent=1))
        return ports[name]

    def password(self, name: str) -> str:
        """A random password, kept in `secrets/<name>.password`."""
        path = self.secrets / f"{name}.password"
        if not path.exists():
            close_folder(self.secrets)
            create_private(path, secrets.token_urlsafe(24))
        return read_private(path).decode("ascii").strip()


def _read_ports(path: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(read_private(path)) if path.exists() else {}
    return found


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        # Below the range that outgoing connections take theirs from, so that it stays free.
        port = 10_000 + port % 22_000
        if port not in taken and not is_listening(port):
            return port
