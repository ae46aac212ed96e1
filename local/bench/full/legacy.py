"""Authenticated readings on Kafka to the stand-in of the old API, one a request, on Storm."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

from local.bench.drive import append_all
from local.bench.full.installation import Installation
from local.bench.full.topologies import APPEND, consume, parted, row_of
from local.bench.legacy import LEAST_RATES, ledger, stand_in
from local.bench.measure import Case, Row, Tell
from local.bench.workload import Workload, reading_records
from local.services.server import READINGS
from qold import wiring
from qold.clock import SystemClock

SHARE = 10
"""One reading of so many: each costs a request."""


def measure(installation: Installation, workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Readings per second that the stand-in, a process of its own, has taken; of a backlog."""
    if workload.readings < SHARE:
        return
    workload = parted(replace(workload, readings=workload.readings // SHARE), runs)
    case = Case(
        bench="legacy",
        measured="taken",
        workload=workload.name,
        target=LEAST_RATES.get(workload.name),
        profile="full",
    )
    with stand_in() as netloc:
        url = f"qold-hw-api+http://{netloc}/readings"
        stage = installation.stage(f"{workload.name}-legacy", legacy_url=url)
        topic = stage.settings.readings_topic
        log = wiring.message_log(stage.settings, SystemClock())
        for part in range(workload.parts):
            append_all(log, topic, reading_records(workload, part), at_once=APPEND)
        log.close()
        looks, left = consume(installation, "legacy", stage, "readings", topic, case, tell)
        with urllib.request.urlopen(f"http://{netloc}{READINGS}") as answer:
            problems = ledger(json.load(answer), workload)
    if left:
        problems += (f"{left} records not consumed",)
    yield row_of(case, looks, workload, runs, problems)
