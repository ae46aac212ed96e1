"""A topology driven through everything that waits on its topics, in a state folder of its own."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from local.bench.measure import Case, Row, Run, Stopwatch, Tell, repeat
from local.bench.workload import Workload, reading_records
from local.log_records import records_of
from local.runner import LocalTopology
from local.topologies import lag, load_topology
from qold import wiring
from qold.clock import SystemClock
from qold.keyring import ensure_keys
from qold.ports import MessageLog
from qold.settings import Settings

PATIENCE_MS = 300_000
APPEND_RECORDS = 500
_STEP_MS = 100

Ledger = Callable[[Settings, Workload], tuple[str, ...]]


class SkippingClock:
    """The system's clocks, moved ahead over waits in which nobody has anything to do."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._skipped_ms = 0

    def wall_ms(self) -> int:
        return self._system.wall_ms() + self._skipped_ms

    def monotonic_ms(self) -> int:
        return self._system.monotonic_ms() + self._skipped_ms

    def skip_to(self, monotonic_ms: int) -> None:
        """Never goes back."""
        self._skipped_ms += max(0, monotonic_ms - self.monotonic_ms())


def measure_topology(
    name: str,
    workload: Workload,
    runs: int,
    tell: Tell,
    *,
    source: float,
    targets: Mapping[str, float],
    ledger: Ledger,
) -> Iterator[Row]:
    """Readings per second that a topology takes from `readings` and stores."""
    case = Case(
        bench=name,
        measured="stored",
        workload=workload.name,
        source=source,
        target=targets.get(workload.name),
    )
    return measure_prepared(
        [case],
        workload,
        runs,
        tell,
        prepare=put_readings,
        once=lambda settings: [drive(name, settings, workload, ledger)[0]],
    )


def measure_prepared(
    cases: Sequence[Case],
    workload: Workload,
    runs: int,
    tell: Tell,
    *,
    prepare: Callable[[Settings, Workload], None],
    once: Callable[[Settings], Sequence[Run]],
) -> Iterator[Row]:
    """`prepare` a state folder, then measure `once` in copies of it."""
    with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
        tell(f"{cases[0]}: putting in {workload.total} readings")
        prepare(settings_of(Path(folder)), workload)
        yield from repeat(
            cases,
            runs,
            lambda state: once(settings_of(state)),
            tell=tell,
            template=Path(folder),
        )


def settings_of(folder: Path) -> Settings:
    """The defaults, whatever the environment says: figures are to be compared."""
    return Settings.load(folder, {})


def open_log(settings: Settings) -> MessageLog:
    """The log of a state folder with every topic, and the keys of its credentials."""
    ensure_keys(settings.secrets_dir)
    log = wiring.message_log(settings, SystemClock())
    log.create_topics(settings.topics())
    return log


def put_readings(settings: Settings, workload: Workload) -> None:
    """What authentication would have written of a workload."""
    log = open_log(settings)
    append_all(log, settings.readings_topic, reading_records(workload))
    log.close()


def append_all(
    log: MessageLog,
    topic: str,
    entries: Sequence[tuple[str, bytes]],
    *,
    at_once: int = APPEND_RECORDS,
) -> None:
    """Append in batches, each durable on its own."""
    for start in range(0, len(entries), at_once):
        log.append(topic, entries[start : start + at_once])


def read_all(settings: Settings, topic: str) -> list[bytes]:
    """The value of every record of a topic."""
    log = wiring.message_log(settings, SystemClock())
    values = [record.value for record in records_of(log, topic, consumer="bench")]
    log.close()
    return values


def drive(
    name: str, settings: Settings, workload: Workload, ledger: Ledger
) -> tuple[Run, LocalTopology]:
    """Start a topology and run it until it has committed everything that was there.

    Returns the run, counted in readings, and the stopped topology. Waits for a window or a retry
    are skipped. What is not done after five minutes of them is left: the ledger will tell.
    """
    clock = SkippingClock()
    log = wiring.message_log(settings, clock)
    conf = replace(settings, poll_wait_ms=0).to_storm_conf()
    topology_class = load_topology(name)
    watch = Stopwatch()
    topology = LocalTopology(topology_class, name=name, conf=conf, clock=clock)
    give_up_at_ms = clock.monotonic_ms() + PATIENCE_MS
    topology.run_until_idle()
    while (topology.in_flight() or lag(log, settings, name)) and (
        clock.monotonic_ms() < give_up_at_ms
    ):
        now_ms = clock.monotonic_ms()
        clock.skip_to(min(topology.next_timer_ms() or now_ms + _STEP_MS, now_ms + _STEP_MS))
        topology.run_until_idle()
    topology.stop()
    run = watch.run(workload.total, lambda: ledger(settings, workload))
    log.close()
    return run, topology
