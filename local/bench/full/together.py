"""All topologies at once, fed steadily: whether they keep up."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from statistics import mean

from local.bench.drive import append_all
from local.bench.full.installation import Installation, Stage
from local.bench.full.ledgers import rows_of
from local.bench.full.processes import OURSELVES, ProcessTimes
from local.bench.full.topologies import APPEND, Prepared
from local.bench.full.watch import PATIENCE_S
from local.bench.measure import Case, Figures, Row, Run, Tell
from local.bench.open_loop import CELSIUS, Schedule, schedule
from local.bench.patience import patiently
from local.bench.workload import DEVICES_PER_GATEWAY
from local.topologies import consumed_topics, topology_names
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog, Unavailable

SECTION = "all-at-once"
RATE, MINUTES = 5_000, 10.0
LOOK_EVERY_S = 10.0
PAUSE_S = 0.02
APART_S = 2  # of two rounds: in the last second of one some devices have begun anew
SAMPLED = 100
_END_MS = 2**53
BREATH_S = 10.0
"""A lag of so many seconds comes and goes: a compaction, a pause to collect garbage."""


def grows(lags: Sequence[int], rate: float) -> bool:
    """Whether the last third of the looks is far behind the one before."""
    third = len(lags) // 3
    if third == 0:
        return False
    return mean(lags[-third:]) > 2 * mean(lags[-2 * third : -third]) + BREATH_S * rate


def measure(
    installation: Installation, prepared: Prepared, tell: Tell, *, rate: float, minutes: float
) -> Iterator[Figures]:
    """Readings a second through every topology, the lag, and the CPU time of all processes."""
    workload, fleet = prepared.workload, prepared.fleet
    name = f"{workload.name}-together"
    stage = installation.stage_with_people(
        name,
        "raw_url",
        "alert_log_url",
        registry_url=prepared.stage.settings.registry_url,
    )
    case = Case(
        bench="all-at-once",
        measured=f"{len(topology_names())} topologies, {minutes:g} min",
        workload=workload.name,
        target=rate,
        profile="full",
        section=SECTION,
    )
    log = wiring.message_log(stage.settings, SystemClock())
    running: dict[str, str] = {}
    try:
        for topology in topology_names():
            tell(f"{case}: submitting {topology}")
            running[topology] = installation.submit(topology, stage)
        lag = lag_teller(log, stage, running)
        per_report = min(DEVICES_PER_GATEWAY, workload.devices)
        round_s = len(fleet.devices) / rate
        rounds = max(1, round(60 * minutes / round_s))
        first_s = SystemClock().wall_ms() // 1000 - APART_S * rounds - 1
        planned = [
            partial(
                schedule,
                fleet,
                rate,
                round_s,
                per_report=per_report,
                before_s=first_s + APART_S * number,
            )
            for number in range(rounds + 1)
        ]
        tell(f"{case}: starting")
        warm_up = planned[0]()
        append_all(log, stage.settings.reports_topic, warm_up.reports, at_once=APPEND)
        wait_for(lag, tell, case)
        times = ProcessTimes(installation.place.state)
        before = times.cpu_s(installation.pids())
        started_s = time.monotonic()
        topic = stage.settings.reports_topic
        told = partial(_tell_of, tell, case)
        total, lags = _feed(log, topic, planned[1:], round_s, lag, told)
        left = wait_for(lag, tell, case)
        wall_s = time.monotonic() - started_s
        after = times.cpu_s(installation.pids())
    finally:
        for each in running.values():
            installation.kill(each)
    problems = ledger(stage, total + warm_up.total, [device.id for device in fleet.devices])
    if left:
        problems += (f"{left} records not consumed",)
    if grows(lags, rate):
        problems += (f"the lag grows: {', '.join(map(str, lags[:: max(1, len(lags) // 12)]))}",)
    where = {
        kind: 1e6 * (seconds - before.get(kind, 0.0)) / total for kind, seconds in after.items()
    }
    spent_s = sum(us for kind, us in where.items() if kind != OURSELVES) * total / 1e6
    yield Row(case, (Run(total, wall_s, spent_s),), problems, where).figures()
    behind = Case(
        bench="all-at-once",
        measured=f"furthest behind at {rate:g}/s",
        workload=workload.name,
        unit="s",
        profile="full",
        section=SECTION,
    )
    yield Row(behind, (Run(total, max(lags, default=0) / rate, spent_s),), problems).figures()


def _tell_of(tell: Tell, case: Case, text: str) -> None:
    tell(f"{case}: {text}")


def lag_teller(log: MessageLog, stage: Stage, running: Iterable[str]) -> Callable[[], int]:
    """Tells how many records the one furthest behind has not committed; -1 while the log does not say."""
    consumers = [
        (consumer, topic)
        for topology in running
        for consumer, topic in consumed_topics(stage.settings, topology).items()
    ]

    def lag() -> int:
        with suppress(Unavailable):
            ends = {topic: log.offsets(topic) for _, topic in consumers}
            return max(
                sum(end.next for end in ends[topic].values())
                - sum(log.committed(consumer, topic).values())
                for consumer, topic in consumers
            )
        return -1

    return lag


def wait_for(lag: Callable[[], int], tell: Tell, case: Case) -> int:
    """Until nothing is left, or nothing moves any more; returns what is left."""
    left, moved_at = lag(), time.monotonic()
    while left and time.monotonic() < moved_at + PATIENCE_S:
        time.sleep(1.0)
        now = lag()
        if now != left:
            moved_at = time.monotonic()
            tell(f"{case}: {now} records to go")
        left = now
    return left


def _feed(
    log: MessageLog,
    topic: str,
    planned: Sequence[Callable[[], Schedule]],
    round_s: float,
    lag: Callable[[], int],
    told: Callable[[str], None],
) -> tuple[int, list[int]]:
    """Send every schedule when it is due; returns the readings, and the lag at each look."""
    total, lags = 0, []
    started_s = looked_at = time.monotonic()
    for number, make in enumerate(planned):
        now, sent = make(), 0
        while sent < len(now.reports):
            due = now.due(time.monotonic() - started_s - number * round_s)
            if due > sent:
                patiently(partial(log.append, topic, now.reports[sent:due]))
                sent = due
            if time.monotonic() > looked_at + LOOK_EVERY_S:
                looked_at = time.monotonic()
                lags.append(lag())
                told(f"{total + sent * now.per_report} readings, {lags[-1]} records behind")
            time.sleep(PAUSE_S)
        total += now.total
    return total, lags


def ledger(stage: Stage, total: int, device_ids: Sequence[int]) -> tuple[str, ...]:
    """Every row counted and nothing refused; of some devices every point there is a row for."""
    raw = wiring.raw_store(stage.settings, SystemClock())
    readings = wiring.reading_store(stage.settings, SystemClock())
    log = wiring.message_log(stage.settings, SystemClock())
    found = patiently(raw.count)
    problems: tuple[str, ...] = ()
    if found != total:
        problems += (f"{found} rows instead of {total}",)
    refused = sum(end.next for end in log.offsets(stage.settings.rejected_topic).values())
    if refused:
        problems += (f"{refused} readings refused",)
    for device_id in device_ids[:: max(1, len(device_ids) // SAMPLED)]:
        wanted = [row.measured_at_ms for row in patiently(partial(rows_of, raw, device_id))]
        give_up_at = time.monotonic() + BREATH_S
        points = [-1]
        while points != wanted and time.monotonic() < give_up_at:
            points = [
                point.measured_at_ms
                for point in patiently(
                    partial(readings.query, "Temperature", device_id, 0, _END_MS)
                )
                if point.value == CELSIUS
            ]
        if points != wanted:
            problems += (f"device {device_id}: {len(points)} points, {len(wanted)} rows",)
    for store in (raw, readings, log):
        store.close()
    return problems
