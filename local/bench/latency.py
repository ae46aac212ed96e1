"""`./qold bench latency`: from when a report is due on the log to where its readings can be read.

Authentication, raw and datapoints work at once in this process. Their peak is measured first, then
an open loop at 600/s, and one at 80 % of the peak.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from local.bench.drive import APPEND_RECORDS, append_all, open_log, settings_of
from local.bench.fleet import Fleet, register
from local.bench.measure import Case, Profile, Row, Run, Stopwatch, Tell
from local.bench.open_loop import (
    CELSIUS,
    PATIENCE_S,
    Look,
    Sample,
    pause,
    percentiles,
    run,
    schedule,
)
from local.bench.patience import patiently
from local.bench.workload import DEVICES_PER_GATEWAY, Workload
from local.runner import LocalTopology
from local.topologies import lag, load_topology
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog
from qold.settings import Settings

RATE, SECONDS = 600, 30
SHARE_OF_PEAK = 0.8
MOST_S = {RATE: 6.0}
"""Of a reading to its store, at the rate that the source requires (T3.9)."""

CHAIN = ("authentication", "raw", "datapoints")
STORES = ("raw", "datapoints")
APART_S = 3600
"""Between the readings of one part and the next: what is measured twice in a second is stored once."""

_STEPS = 20
PEAK_S = 4.0
"""So much is put in, at ten times the rate of the source, to measure the peak."""


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """p99 and p50 for each store, once; only for one reading a device."""
    if workload.readings > 1:
        return
    with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
        settings = replace(settings_of(Path(folder)), poll_wait_ms=0)
        log = open_log(settings)
        fleet = register(settings, workload)
        clock = SystemClock()
        conf = settings.to_storm_conf()
        topologies = [
            LocalTopology(load_topology(name), name=name, conf=conf, clock=clock) for name in CHAIN
        ]

        def advance() -> None:
            for topology in topologies:
                topology.step()

        tell("latency: measuring the peak")
        first = schedule(
            fleet,
            10 * RATE,
            PEAK_S,
            per_report=min(DEVICES_PER_GATEWAY, workload.devices),
            before_s=clock.wall_ms() // 1000 - 2 * APART_S,
        )
        append_all(log, settings.reports_topic, first.reports, at_once=APPEND_RECORDS)
        watch = Stopwatch()
        while any(lag(log, settings, name) for name in CHAIN[:2]):
            for _ in range(_STEPS):
                advance()
        peak = first.total / watch.run(1).wall_s
        yield from rows(
            settings, log, fleet, peak, workload, first.total, tell, "embedded", advance
        )
        for topology in topologies:
            topology.stop()
        log.close()


def rows(
    settings: Settings,
    log: MessageLog,
    fleet: Fleet,
    peak: float,
    workload: Workload,
    stored: int,
    tell: Tell,
    profile: Profile,
    advance: Callable[[], object] = pause,
) -> Iterator[Row]:
    """The open loops, through topologies that run; `stored` readings are there already."""
    clock = SystemClock()
    for name, rate, per_report, ago_s in (
        (f"{RATE}/s", RATE, 1, APART_S),
        ("80 % of peak", SHARE_OF_PEAK * peak, min(DEVICES_PER_GATEWAY, workload.devices), 0),
    ):
        tell(f"latency: {rate:.0f} readings/s for {SECONDS} s")
        before_s = clock.wall_ms() // 1000 - ago_s
        planned = schedule(fleet, rate, SECONDS, per_report=per_report, before_s=before_s)
        stores = Stores(settings)
        watch = Stopwatch()
        found = run(planned, log, settings.reports_topic, stores.looks, advance=advance)
        spent = watch.run(planned.total)
        stored += planned.total
        lost = stored - stores.count(stored, advance)
        stores.close()
        for store in STORES:
            case = Case(
                bench="latency",
                measured=f"due to readable in {store}, p99 at {name}"
                + ("" if rate == RATE else f" ({int(rate)}/s)"),
                workload=workload.name,
                unit="s",
                target=MOST_S.get(round(rate)),
                profile=profile,
            )
            missing = len(planned.samples) - len(found[store])
            problems = tuple(
                f"{count} of {of} {what} missing"
                for count, of, what in (
                    (missing, len(planned.samples), "samples"),
                    (lost, stored, "raw rows"),
                )
                if count
            )
            p50_s, p99_s = percentiles(found[store])
            yield Row(case, (Run(planned.total, p99_s, spent.cpu_s, problems, p50_s),), problems)


class Stores:
    """Where readings can be read."""

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self._raw = wiring.raw_store(settings, clock)
        self._readings = wiring.reading_store(settings, clock)
        self.looks: dict[str, Look] = {"raw": self._in_raw, "datapoints": self._in_readings}

    def count(self, expected: int, advance: Callable[[], object]) -> int:
        """Raw rows, once they are as many as expected, or two minutes later."""
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            found = patiently(self._raw.count)
            if found == expected or time.monotonic() > give_up_at:
                return found
            advance()

    def close(self) -> None:
        self._raw.close()
        self._readings.close()

    def _in_raw(self, sample: Sample) -> bool:
        return any(self._raw.read(sample.device_id, sample.at_ms, sample.at_ms + 1))

    def _in_readings(self, sample: Sample) -> bool:
        moment = sample.at_ms
        found = self._readings.query("Temperature", sample.device_id, moment, moment + 1)
        return [point.value for point in found] == [CELSIUS]
