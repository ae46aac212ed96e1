"""`./qold bench breach`: from a reading outside its limits on the log to the text at the provider.

An open loop in real time: readings are appended when they are due, however far behind the topology
is, and each latency counts from then. The minute in which texts to one phone wait for each other
is taken off; every warm device has a phone of its own.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import quantiles

from local.bench.drive import open_log, settings_of
from local.bench.measure import Case, Row, Run, Stopwatch, Tell, differences
from local.bench.workload import Workload, reading_records
from local.runner import LocalTopology
from local.topologies import load_topology
from qold import wiring
from qold.clock import SystemClock
from qold.domain.model import Contact, Device
from qold.domain.routing import DIGEST_MS
from qold.settings import FILE_NAME, Settings

RATE, SECONDS = 600, 30
MOST_S = 2.0
WARM_EVERY = 100
"""One device of so many is too warm with its only reading."""
COLD_LIMIT, LIMIT_OF_OTHERS = 1.0, 100.0
BATCH_S, IDLE_S, PATIENCE_S = 0.05, 0.005, 60.0
_TEXTS = "sent.jsonl"
_SETTINGS = f'notifier_url = "file:{_TEXTS}"\n'


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """The p99 of latencies, for one reading a device; a backlog is not told while it waits."""
    if workload.readings > 1:
        return
    devices = min(workload.devices, RATE * SECONDS)
    case = Case(
        bench="breach",
        measured=f"appended to handed over, p99 at {RATE}/s",
        workload=workload.name,
        unit="s",
        target=MOST_S,
    )
    taken = []
    for number in range(1, runs + 1):
        tell(f"{case}: run {number} of {runs}, {devices // RATE + DIGEST_MS // 1000} s")
        with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
            now_s = SystemClock().wall_ms() // 1000
            taken.append(_once(Path(folder), replace(workload, devices=devices, end_s=now_s)))
    problems = dict.fromkeys(problem for run in taken for problem in run.problems)
    yield Row(case, tuple(taken), tuple(problems))


def _once(folder: Path, workload: Workload) -> Run:
    (folder / FILE_NAME).write_text(_SETTINGS, "utf-8")
    settings = settings_of(folder)
    _prepare(settings, workload)
    clock = SystemClock()
    log = open_log(settings)
    conf = replace(settings, poll_wait_ms=0).to_storm_conf()
    topology = LocalTopology(load_topology("thresholds"), name="thresholds", conf=conf, clock=clock)
    records = reading_records(workload)
    warm = _warm(workload)
    watch = Stopwatch()
    started_ms, appended = clock.wall_ms(), 0
    give_up_at = time.monotonic() + workload.devices / RATE + DIGEST_MS / 1000 + PATIENCE_S
    next_batch_at = 0.0
    while time.monotonic() < give_up_at and (appended < len(records) or _is_waiting(folder, warm)):
        if appended < len(records) and time.monotonic() >= next_batch_at:
            next_batch_at = time.monotonic() + BATCH_S
            due = min(len(records), (clock.wall_ms() - started_ms) * RATE // 1000)
            log.append(settings.readings_topic, records[appended:due])
            appended = due
        if not topology.step():
            time.sleep(IDLE_S)
    topology.stop()
    log.close()
    run = watch.run(len(records))
    told = _told(folder)
    phones = [_phone(device_id) for device_id in warm]
    problems = differences(phones, [phone for phone, _ in told], things="texts")
    intended = {_phone(i): started_ms + (i - 1) * 1000 // RATE for i in warm}
    waits = [at_ms - intended[phone] - DIGEST_MS for phone, at_ms in told if phone in intended]
    slowest = quantiles(waits, n=100)[98] / 1000 if len(waits) > 1 else float("inf")
    return Run(len(records), slowest, run.cpu_s, problems)


def _prepare(settings: Settings, workload: Workload) -> None:
    clock = SystemClock()
    warm = set(_warm(workload))
    registry = wiring.registry(settings, clock)
    registry.put_devices(
        Device(i, "", True, {"maxTemperature": str(COLD_LIMIT if i in warm else LIMIT_OF_OTHERS)})
        for i in workload.device_ids
    )
    registry.close()
    book = wiring.contact_book(settings, clock)
    for device_id in sorted(warm):
        book.put(device_id, Contact(phone=_phone(device_id)))
    book.close()


def _warm(workload: Workload) -> range:
    """Devices whose limit is below every reading of a workload."""
    return workload.device_ids[:: max(1, min(WARM_EVERY, workload.devices // 2))]


def _phone(device_id: int) -> str:
    return f"+3519{device_id:08d}"


def _is_waiting(folder: Path, warm: range) -> bool:
    path = folder / _TEXTS
    return not path.exists() or path.read_bytes().count(b"\n") < len(warm)


def _told(folder: Path) -> list[tuple[str, int]]:
    """Phone and time (ms) of every text."""
    path = folder / _TEXTS
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return [
        (row["to"], round(datetime.fromisoformat(row["time"]).timestamp() * 1000)) for row in rows
    ]
