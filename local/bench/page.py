"""docs/benchmarks.md, and benchmarks.json beside it, which keeps what the page was made from."""

import os
import platform
import re
import sqlite3
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from local.bench.measure import Figures
from local.bench.sections import SECTIONS
from local.bench.table import shares, table

ROOT = Path(__file__).resolve().parents[2]
_PAGE_WIDTH = 118
_LIBRARIES = ("streamparse", "msgspec", "peewee", "confluent-kafka", "cassandra-driver", "redis")
_SERVERS = {
    "Storm": "storm/storm-client",
    "Kafka": r"kafka/kafka_[\d.]+",
    "Cassandra": "cassandra/cassandra-all",
    "KairosDB": "kairosdb/kairosdb",
}
LOCKS = ROOT / "local" / "services" / "locks"
_HEAD = "# How fast is it?\n"
_WHERE = "\nWhere the time goes, in microseconds of CPU for each reading:\n"


class Measurement(msgspec.Struct):
    """What one command measured for one section of the page."""

    command: str
    machine: str
    runs: int
    rows: list[Figures]


def data_path(page: Path) -> Path:
    """Where the figures of a page are."""
    return page.with_suffix(".json")


def read(path: Path) -> dict[str, Measurement]:
    """Figures by section; raises `msgspec.DecodeError` for a file that holds something else."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Measurement])


def write(page: Path, measured: Mapping[str, Measurement]) -> None:
    """Put the sections into the page and its figures; the others stay as they are."""
    whole = read(data_path(page)) | dict(measured)
    packed = msgspec.json.format(msgspec.json.encode(whole), indent=1)
    data_path(page).write_bytes(packed + b"\n")
    page.write_text(render(whole), "utf-8")


def render(measured: Mapping[str, Measurement]) -> str:
    """The page."""
    parts = [_HEAD]
    for name, section in SECTIONS.items():
        if found := measured.get(name):
            told = f"`{found.command}` measured this on {found.machine}."
            wrapped = textwrap.fill(told, _PAGE_WIDTH, break_on_hyphens=False)
            spent = shares(found.rows)
            parts += [
                f"\n## {section.title}\n\n{wrapped}\n\n{table(found.rows)}\n",
                f"{_WHERE}\n{spent}\n" if spent else "",
                f"\n{section.notes.format(runs=found.runs)}",
            ]
    return "".join(parts)


def describe_machine(now_ms: int, *, with_servers: bool = False) -> str:
    """Processor, memory, disk, versions, day, and how busy it is, in one line."""
    cores = len(os.sched_getaffinity(0))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = [
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        *(f"{name} {version(name)}" for name in _LIBRARIES),
        *(_servers() if with_servers else ()),
    ]
    qold = (ROOT / "VERSION").read_text("utf-8").strip()
    day = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"
    return (
        f"{cores} cores of {_processor()} with {memory_gb:.0f} GB, {_filesystem()}, Linux"
        f" {platform.release().partition('-')[0]}, {', '.join(versions)}, Qold {qold}, on {day}"
        f" (load average then: {os.getloadavg()[0]:.1f})"
    )


def _servers() -> Iterator[str]:
    for name, artifact in _SERVERS.items():
        jars = (LOCKS / f"{name.lower()}.sha256").read_text("utf-8")
        if found := re.search(rf"/{artifact}/([^/]+)/", jars):
            yield f"{name} {found[1]}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _filesystem() -> str:
    """The kind of file system on which temporary folders lie; TMPDIR moves them."""
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    around = [mount for mount in mounts if folder.is_relative_to(mount[0])]
    return max(around, key=lambda mount: len(mount[0]))[1]
