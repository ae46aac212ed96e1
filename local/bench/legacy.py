"""`./qold bench legacy`: authenticated records in, requests to the stand-in of the old API out."""

import json
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from local.bench.drive import drive, measure_prepared, put_readings
from local.bench.measure import Case, Row, Run, Tell, differences
from local.bench.workload import Workload
from local.programs import ROOT, Keeper, Program
from local.services.server import READINGS
from qold.settings import Settings

LEAST_RATES = {"backlog": 3_000}
START_WITHIN_S = 60
_LOOK_S = 0.05


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Readings per second that the stand-in, a process of its own, has taken."""
    case = Case(
        bench="legacy",
        measured="taken",
        workload=workload.name,
        target=LEAST_RATES.get(workload.name),
    )
    return measure_prepared(
        [case], workload, runs, tell, prepare=put_readings, once=lambda s: [_once(s, workload)]
    )


def ledger(taken: Sequence[dict[str, str]], workload: Workload) -> tuple[str, ...]:
    """What is wrong with what was taken; empty when it is exact and in order for each device."""
    expected = (
        (str(device_id), f"{reading.temp:.2f}", str(reading.batt), str(reading.time))
        for device_id in workload.device_ids
        for reading in workload.readings_of(device_id)
    )
    found = [tuple(it[name] for name in ("id", "temperature", "battery", "t")) for it in taken]
    problems = differences(expected, found, things="readings")
    latest: dict[str, int] = {}
    late = 0
    for it in taken:
        late += int(it["t"]) < latest.get(it["id"], 0)
        latest[it["id"]] = int(it["t"])
    return (*problems, f"{late} readings out of order") if late else problems


def _once(settings: Settings, workload: Workload) -> Run:
    with stand_in() as netloc:
        url = f"qold-hw-api+http://{netloc}/readings"

        def judge(settings: Settings, workload: Workload) -> tuple[str, ...]:
            with urllib.request.urlopen(f"http://{netloc}{READINGS}") as answer:
                return ledger(json.load(answer), workload)

        return drive("legacy", replace(settings, legacy_url=url), workload, judge)[0]


@contextmanager
def stand_in() -> Iterator[str]:
    """A stand-in with nothing handed over yet; where it listens."""
    with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
        keeper = Keeper(Path(folder))
        environ = {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
        keeper.add(Program("stand-in", (sys.executable, "-m", "local.services"), environ))
        try:
            yield _netloc(Path(folder) / "stand-in.log")
        finally:
            keeper.stop()


def _netloc(log: Path) -> str:
    give_up_s = time.monotonic() + START_WITHIN_S
    while time.monotonic() < give_up_s:
        found = re.search(r"at http://(\S+)", log.read_text("utf-8") if log.exists() else "")
        if found:
            return found[1]
        time.sleep(_LOOK_S)
    raise TimeoutError(f"the stand-in did not start: {log.read_text('utf-8')}")
