"""Gauges of an attack: memory of the processes, growth of the log's disk and of the refusals."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from local.log_records import records_of
from local.memory import peak_mb
from local.soak.attack import Attack
from local.soak.installation import Installation
from qold.domain.refusal_budget import BYTES_EACH, HOUR_MS
from qold.ports import MessageLog
from qold.settings import Settings

MIB = 2**20
# Seconds between two looks. A peak is the kernel's own, so only what dies between two is missed.
LOOK_S = 1.0
# MiB of a Python component: 60 after its start, a report of 4 MiB as Python objects (90 for empty
# lists), one unpacked batch of 8 MiB for each partition. A bomb of 900 MiB took 3 000 and more.
COMPONENT_MB = 256
# MiB of a Storm worker: its heap of 256, as much again for the JVM, threads and network buffers.
WORKER_MB = 512
# MiB that the log's folders may grow by, compressed: the budgets of refusals (20), bombs for `config`
# (3), and a quarter of an hour of honest readings at 600/s (30).
LOG_MB = 64
# Gateway ids whose budget an attack uses up: its own, and the one that it claims.
ACCOUNTS = 2
# `over-budget` records: one a minute for each of these, and for what claims no id.
OVERRUNS_PER_HOUR = 60 * (ACCOUNTS + 1)


@dataclass(slots=True)
class Figures:
    """What an attack came to. Memory in MiB is the peak of one process since that process started."""

    taken: int = 0
    refused: int = 0
    component: str = ""
    component_mb: int = 0
    worker_mb: int = 0
    broker_mb: int = 0
    log_mb: float = 0.0
    rejected: int = 0
    rejected_bytes: int = 0
    rejected_most: int = 0
    """Records of `reports.rejected` by the attack, their bytes, and the most that is allowed."""
    restarted: int = 0
    """Workers, components and brokers that ended. Only told: Storm may also move a worker."""

    def exceeded(self) -> list[str]:
        """Bounds that do not hold, with the figure."""
        bounds = (
            (self.component_mb, COMPONENT_MB, f"MiB in {self.component}"),
            (self.worker_mb, WORKER_MB, "MiB in a worker"),
            (self.log_mb, LOG_MB, "MiB more of log"),
            (self.rejected, self.rejected_most, "refusals written"),
            (self.rejected_bytes, self.rejected_most * BYTES_EACH, "bytes of refusals written"),
        )
        return [f"{found:g} {what}, at most {most}" for found, most, what in bounds if found > most]


@dataclass(slots=True)
class Gauges:
    """Looks from `with` on until its end, in a thread of its own; then `read`."""

    installation: Installation
    log: MessageLog
    attack: Attack
    _figures: Figures = field(default_factory=Figures)
    _first: dict[int, str] = field(default_factory=dict)
    _gone: set[int] = field(default_factory=set)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _log_bytes: int = 0
    _rejected_from: int = 0
    _began_ms: int = 0

    def __enter__(self) -> Self:
        settings = self.installation.settings
        self._log_bytes = _log_bytes(settings)
        self._rejected_from = self.log.offsets(settings.rejected_topic)[0].next
        self._first = {pid: name for name, pid in self._processes()}
        self._thread = threading.Thread(target=self._watch, name="gauges", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def read(self, *, taken: int, refused: int, from_ms: int, until_ms: int) -> Figures:
        """The figures of an attack that lasted so long, with what the broker took and refused."""
        figures, settings = self._figures, self.installation.settings
        figures.taken, figures.refused = taken, refused
        figures.restarted = len(self._gone)
        figures.log_mb = round((_log_bytes(settings) - self._log_bytes) / MIB, 1)
        for value in self._refusals(settings):
            figures.rejected += 1
            figures.rejected_bytes += len(value)
        figures.rejected_most = most_refusals(settings, from_ms, until_ms) + len(self.attack.poison)
        return figures

    def _refusals(self, settings: Settings) -> Iterator[bytes]:
        start = {0: self._rejected_from}
        for record in records_of(self.log, settings.rejected_topic, consumer="soak", start=start):
            if self.attack.owns(json.loads(record.value)):
                yield record.value

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self._look()
        self._look()

    def _look(self) -> None:
        figures = self._figures
        found = self._processes()
        self._gone |= self._first.keys() - {pid for _, pid in found}
        for name, pid in found:
            size = peak_mb(pid)
            if name.startswith("kafka"):
                figures.broker_mb = max(figures.broker_mb, size)
            elif "." not in name:
                figures.worker_mb = max(figures.worker_mb, size)
            elif size > figures.component_mb:
                figures.component, figures.component_mb = name.rpartition(".")[2], size

    def _processes(self) -> list[tuple[str, int]]:
        """Components by module and class, workers by topology and number, brokers."""
        every = self.installation
        servers = [found for found in every.pids().items() if found[0].startswith("kafka")]
        components = [*every.components("spouts"), *every.components("bolts")]
        return [*servers, *every.workers(), *components]


def most_refusals(settings: Settings, from_ms: int, until_ms: int) -> int:
    """Records that one attack may add to `reports.rejected` in this time (docs/adr/0030)."""
    hours = until_ms // HOUR_MS - from_ms // HOUR_MS + 1
    return hours * (ACCOUNTS * settings.rejections_per_hour + OVERRUNS_PER_HOUR)


def _log_bytes(settings: Settings) -> int:
    total = 0
    for data in Path(settings.state_dir).glob("services/kafka*/data"):
        for path in data.rglob("*"):
            with contextlib.suppress(OSError):  # a segment that was deleted
                total += path.lstat().st_blocks * 512
    return total
