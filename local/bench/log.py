"""`./qold bench log`: records into the embedded log, and out of it."""

from collections.abc import Iterator, Mapping

from local.bench.drive import append_all, open_log, settings_of
from local.bench.measure import Case, Profile, Row, Run, Stopwatch, Tell, differences, repeat
from local.bench.workload import Workload, reading_records
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Record
from qold.settings import Settings

SOURCE_IN, SOURCE_OUT = 24_472, 9_722  # source E.1
LEAST_RATE = 50_000

Entries = list[tuple[str, bytes]]


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Records per second in, each batch durable, and out, as a log spout reads them."""
    cases = cases_of(workload, {"in": LEAST_RATE, "out": LEAST_RATE})
    entries = reading_records(workload)
    yield from repeat(cases, runs, lambda folder: _once(settings_of(folder), entries), tell=tell)


def cases_of(
    workload: Workload, targets: Mapping[str, float], profile: Profile = "embedded"
) -> list[Case]:
    """In, and out."""
    return [
        Case(
            bench="log",
            measured=measured,
            workload=workload.name,
            unit="records/s",
            source=source,
            target=targets[measured],
            profile=profile,
        )
        for measured, source in (("in", SOURCE_IN), ("out", SOURCE_OUT))
    ]


def _once(settings: Settings, entries: Entries) -> list[Run]:
    log = open_log(settings)
    watch = Stopwatch()
    append_all(log, settings.readings_topic, entries)
    written = watch.run(len(entries))
    log.close()
    watch = Stopwatch()
    found = read(settings)
    return [written, watch.run(len(entries), lambda: ledger(entries, found))]


def read(settings: Settings) -> list[Record]:
    """Every record, polled as a log spout does."""
    log = wiring.message_log(settings, SystemClock())
    partitions = range(log.partition_count(settings.readings_topic))
    reader = log.reader("bench", settings.readings_topic, partitions)
    found: list[Record] = []
    while records := reader.poll(
        partitions,
        max_records=settings.poll_records,
        max_bytes=settings.poll_bytes,
        wait_ms=0,
    ):
        found += records
    log.close()
    return found


def ledger(entries: Entries, found: list[Record]) -> tuple[str, ...]:
    """What is wrong with the records that came out; empty when they are exact."""
    return differences(entries, [(r.key, r.value) for r in found], things="records")
