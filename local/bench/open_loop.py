"""An open loop: reports go out when they are due, however far behind everything is.

A latency counts from when a report was due to when a reading of it can be read from a store: it
holds how late we are ourselves, and the look that found it.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from statistics import quantiles
from typing import NamedTuple

from local.bench.fleet import Fleet
from local.bench.workload import gateway_of
from qold.ports import MessageLog, Unavailable
from qold.records import VERSION, Batch, Credentials, Reading, Report, encode

SAMPLES_S = 5
"""So many reports a second have a reading that is looked for."""

PATIENCE_S = 120.0
PAUSE_S = 0.002
CELSIUS, BATTERY = 4.21, 80


def pause() -> None:
    """Between looks, where topologies run elsewhere."""
    time.sleep(PAUSE_S)


class Sample(NamedTuple):
    """A reading that is looked for; `due_s` from the start."""

    device_id: int
    at_ms: int
    due_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Reports in order, `per_report` readings each, at `rate` readings a second."""

    rate: float
    per_report: int
    reports: Sequence[tuple[str, bytes]]
    samples: Sequence[Sample]

    @property
    def total(self) -> int:
        return len(self.reports) * self.per_report

    def due(self, elapsed_s: float) -> int:
        """How many reports are due by then."""
        return min(len(self.reports), int(elapsed_s * self.rate / self.per_report) + 1)


Look = Callable[[Sample], bool]
"""Whether it can be read; raises `Unavailable`."""


def schedule(
    fleet: Fleet, rate: float, seconds: float, *, per_report: int, before_s: int
) -> Schedule:
    """The devices in turn, gateway by gateway, measured before `before_s`.

    No device has two readings of one second. A gateway with too few devices for a report is left out.
    """
    groups = [
        devices[start : start + per_report]
        for _, mine in groupby(fleet.devices, key=lambda device: gateway_of(device.id))
        for devices in [list(mine)]
        for start in range(0, len(devices) - per_report + 1, per_report)
    ]
    gateways = {gateway.id: gateway for gateway in fleet.gateways}
    count = max(1, round(rate * seconds / per_report))
    first_s = before_s - 1 - (count - 1) // len(groups)
    every = max(1, round(rate / per_report / SAMPLES_S))
    reports, samples = [], []
    for number in range(count):
        devices = groups[number % len(groups)]
        at_s = first_s + number // len(groups)
        reading = Reading(CELSIUS, at_s, BATTERY, number & 0xFFFF)
        batches = [Batch(Credentials(device.id, device.auth), [reading]) for device in devices]
        gateway = gateways[gateway_of(devices[0].id)]
        report = Report(VERSION, Credentials(gateway.id, gateway.auth), batches, at_s)
        reports.append((str(gateway.id), encode(report)))
        if number % every == every - 1:
            due_s = number * per_report / rate
            samples.append(Sample(devices[-1].id, at_s * 1000, due_s))
    return Schedule(rate, per_report, reports, samples)


def run(
    planned: Schedule,
    log: MessageLog,
    topic: str,
    looks: Mapping[str, Look],
    *,
    advance: Callable[[], object],
) -> dict[str, list[float]]:
    """Send all, and look for the samples in each store; their latencies in seconds, in order.

    What cannot be read two minutes after the last report is missing from them. `advance` is called
    between looks, and has to return soon.
    """
    waiting = {name: deque(planned.samples) for name in looks}
    found: dict[str, list[float]] = {name: [] for name in looks}
    sent = 0
    started_s = sent_at_s = time.monotonic()
    while sent < len(planned.reports) or (
        any(waiting.values()) and time.monotonic() < sent_at_s + PATIENCE_S
    ):
        due = planned.due(time.monotonic() - started_s)
        if due > sent:
            with suppress(Unavailable):
                log.append(topic, planned.reports[sent:due])
                sent = due
            sent_at_s = time.monotonic()
        advance()
        for name, look in looks.items():
            _look(waiting[name], look, found[name], started_s)
    return found


def _look(waiting: deque[Sample], look: Look, found: list[float], started_s: float) -> None:
    """For the one that waits longest; one that is not there gives way to the next."""
    if not waiting or waiting[0].due_s > time.monotonic() - started_s:
        return
    sample = waiting.popleft()
    with suppress(Unavailable):
        if look(sample):
            found.append(time.monotonic() - started_s - sample.due_s)
            return
    # Behind those that are due, before those that are not.
    now_s = time.monotonic() - started_s
    due = sum(1 for other in waiting if other.due_s <= now_s)
    waiting.insert(due, sample)


def percentiles(waits: Sequence[float]) -> tuple[float, float]:
    """p50 and p99; infinite where there are too few."""
    if len(waits) < 2:
        return float("inf"), float("inf")
    cuts = quantiles(waits, n=100)
    return cuts[49], cuts[98]
