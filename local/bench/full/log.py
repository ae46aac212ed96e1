"""Records into Kafka, and out of it, in one process."""

from collections.abc import Iterator

from local.bench.drive import append_all
from local.bench.full.installation import Installation
from local.bench.log import Entries, cases_of, ledger
from local.bench.measure import Row, Run, Stopwatch, Tell
from local.bench.workload import Workload, reading_records
from qold import wiring
from qold.clock import SystemClock
from qold.component import collect_garbage_rarely
from qold.settings import Settings

LEAST_RATES = {"in": 250_000, "out": 500_000}
TIMES = 5  # so often the whole workload, so that what is measured takes a second
AT_ONCE = 20_000
"""Records that one call appends; it returns when all are on every replica."""


def measure(installation: Installation, workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Records per second in, each call durable, and out, as a log spout reads them."""
    collect_garbage_rarely()  # as in a spout's process
    cases = cases_of(workload, LEAST_RATES, "full")
    entries = TIMES * reading_records(workload)
    taken: list[tuple[Run, Run]] = []
    for number in range(runs + 1):
        tell(f"{cases[0]}: {f'run {number} of {runs}' if number else 'warm-up'}")
        settings = installation.stage(f"{workload.name}-log-{number}").settings
        taken.append((_write(settings, entries), read_run(settings, entries)))
    for case, each in zip(cases, zip(*taken, strict=True), strict=True):
        problems = dict.fromkeys(problem for run in each for problem in run.problems)
        yield Row(case, tuple(each[1:]), tuple(problems))


def _write(settings: Settings, entries: Entries) -> Run:
    log = wiring.message_log(settings, SystemClock())
    log.append(settings.readings_topic, entries[:1])  # the client connects
    watch = Stopwatch()
    append_all(log, settings.readings_topic, entries[1:], at_once=AT_ONCE)
    run = watch.run(len(entries) - 1)
    log.close()
    return run


def read_run(settings: Settings, entries: Entries) -> Run:
    """Everything, as a log spout reads it; the ledger looks whether it is `entries`."""
    log = wiring.message_log(settings, SystemClock())
    partitions = range(log.partition_count(settings.readings_topic))
    reader = log.reader("bench", settings.readings_topic, partitions)
    how = {"max_records": settings.poll_records, "max_bytes": settings.poll_bytes, "wait_ms": 0}
    found = reader.poll(partitions, **how)  # likewise
    first = len(found)
    watch = Stopwatch()
    while records := reader.poll(partitions, **how):
        found += records
    run = watch.run(len(found) - first, lambda: ledger(entries, found))
    reader.close()
    log.close()
    return run
