"""Sockets on which a process listens, as the kernel has them."""

import contextlib
import os
from pathlib import Path

_LISTEN = "0A"
# 127.0.0.1 and ::ffff:127.0.0.1, in the byte order of /proc/net.
_LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def loopback_ports(pid: int) -> set[int]:
    """TCP ports of a process; fails if one of them is open beyond 127.0.0.1."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            own.add(os.readlink(entry))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in own:
                host, _, port = fields[1].rpartition(":")
                assert host in _LOOPBACK, f"process {pid} listens on {fields[1]}"
                found.add(int(port, 16))
    return found
