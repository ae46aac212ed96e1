"""How much memory processes take, with all below them."""

import contextlib
from collections.abc import Mapping
from pathlib import Path


def resident_mb(pids: Mapping[str, int]) -> dict[str, int]:
    """MB of memory of each process and its descendants; one that is gone is left out."""
    memory_kb, children = _processes()
    found = {}
    for name, pid in pids.items():
        if pid in memory_kb:
            below = [pid]
            for parent in below:  # grows while it is walked
                below += children.get(parent, [])
            found[name] = sum(memory_kb[each] for each in below) // 1024
    return found


def peak_mb(pid: int) -> int:
    """The most MB that a process has taken since it started, 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


def _processes() -> tuple[dict[int, int], dict[int, list[int]]]:
    """Memory of each process in kB without what it shares twice, and its children."""
    memory_kb: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, StopIteration):
                status = (entry / "status").read_text("utf-8", "replace")
                values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
                pid = int(entry.name)
                memory_kb[pid] = int(values.get("VmRSS", "0 kB").split()[0])
                children.setdefault(int(values["PPid"]), []).append(pid)
    return memory_kb, children
