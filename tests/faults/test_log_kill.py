"""kill -9 of processes that append to the embedded log, and of those that read it.

QOLD_KILLS sets how many moments are tried (10; a long run takes 100), QOLD_SEED which ones.
"""

import logging
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from qold.adapters.log.sqlite import SqliteLog
from qold.clock import SystemClock
from tests.support import log_workers
from tests.support.commands import ROOT, environment
from tests.support.log_workers import TOPIC
from tests.support.processes import Processes, processes, wait_until

KILLS = int(os.environ.get("QOLD_KILLS", "10"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
PARTITIONS = 4
WRITERS = {"writer": "write", "other": "write", "gateway": "publish"}
READERS = {"fast": 1000, "slow": 100}

log = logging.getLogger(__name__)


def worker(role: str, *arguments: object) -> list[str]:
    return [sys.executable, log_workers.__file__, role, *map(str, arguments)]


class Workers:
    """Writers and readers of one log; each start of a writer is a generation with its own name."""

    def __init__(self, folder: Path, running: Processes) -> None:
        self.path = folder / "log.db"
        self._running = running
        self._generation: Counter[str] = Counter()

    def start(self, name: str) -> None:
        self._generation[name] += 1
        if name in READERS:
            command = worker("read", self.path, name, READERS[name])
        else:
            command = worker(WRITERS[name], self.path, self.generation(name))
        self._running.start(self.generation(name), command)

    def kill(self, name: str) -> None:
        generation = self.generation(name)
        assert self._running.is_running(generation), self._running.log_tail(generation)
        assert self._running.stop(generation, signal.SIGKILL) == -signal.SIGKILL

    def generation(self, name: str) -> str:
        return f"{name}-{self._generation[name]}"

    def told(self, name: str) -> list[str]:
        """What the generation that runs now has told."""
        return self._running.output(self.generation(name)).splitlines()

    def acknowledged(self) -> Counter[str]:
        """By generation of a writer: how many appends returned."""
        return Counter(
            {
                generation: len(self._running.output(generation).splitlines())
                for name in WRITERS
                for generation in self._generations(name)
            }
        )

    def reader_lines(self, name: str) -> list[list[str]]:
        """All that a reader's generations told, in order."""
        told = "".join(self._running.output(generation) for generation in self._generations(name))
        return [line.split() for line in told.splitlines()]

    def _generations(self, name: str) -> list[str]:
        return [f"{name}-{number + 1}" for number in range(self._generation[name])]


class Auditor:
    """Reads everything once; `appends` are the values seen of each append, in order."""

    def __init__(self, message_log: SqliteLog) -> None:
        self.appends: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.sizes: dict[tuple[str, int], int] = {}
        self.next_offsets = dict.fromkeys(range(PARTITIONS), 0)
        self._last: dict[tuple[int, str], tuple[int, int]] = {}
        self._reader = message_log.reader("auditor", TOPIC, range(PARTITIONS))

    def catch_up(self) -> None:
        """Read what has come; offsets are contiguous, each writer's values in their order."""
        partitions = range(PARTITIONS)
        while records := self._reader.poll(
            partitions, max_records=5000, max_bytes=2**24, wait_ms=0
        ):
            for record in records:
                assert record.offset == self.next_offsets[record.partition]
                self.next_offsets[record.partition] += 1
                writer, *numbers = record.value.decode().split()[:4]
                number, index, size = map(int, numbers)
                place = record.partition, writer
                assert self._last.get(place, (-1, -1)) < (number, index), "out of order, or twice"
                self._last[place] = number, index
                self.appends[writer, number].append(index)
                self.sizes[writer, number] = size

    def counts(self) -> Counter[str]:
        """By generation of a writer: how many appends are there."""
        return Counter(writer for writer, _ in self.appends)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with processes(tmp_path) as running:
        yield Workers(tmp_path, running)


@pytest.fixture
def message_log(tmp_path: Path) -> Iterator[SqliteLog]:
    message_log = SqliteLog(tmp_path / "log.db", clock=SystemClock())
    message_log.create_topics({TOPIC: PARTITIONS})
    yield message_log
    message_log.close()


@pytest.mark.timeout(60 + 5 * KILLS)
def test_kill_9_loses_no_append_and_moves_no_reader(
    workers: Workers, message_log: SqliteLog
) -> None:
    """An append is there whole or not at all, and it is there if it returned."""
    rng = random.Random(SEED)
    auditor = Auditor(message_log)
    names = [*WRITERS, *READERS]
    for name in names:
        workers.start(name)
    for number in range(KILLS):
        victim = names[number] if number < len(names) else rng.choice(names)
        goal = rng.randrange(30)  # 0: while it starts
        wait_until(lambda v=victim, g=goal: len(workers.told(v)) >= g, f"{victim} works")
        workers.kill(victim)
        returned = workers.acknowledged()
        auditor.catch_up()
        assert not returned - auditor.counts(), "an append that returned is lost"
        workers.start(victim)
    for name in WRITERS:
        workers.kill(name)
    auditor.catch_up()
    check_appends(auditor, workers.acknowledged())
    ends = auditor.next_offsets
    for name in READERS:
        wait_until(lambda n=name: message_log.committed(n, TOPIC) == ends, f"{name} has it all")
        workers.kill(name)
        check_reader(workers.reader_lines(name), ends)
    log.info("killed %d times over %d appends", KILLS, len(auditor.appends))


def check_appends(auditor: Auditor, returned: Counter[str]) -> None:
    there = auditor.counts()
    for writer, count in returned.items():
        # One more may be there than was told: killed between the commit and the telling.
        assert there[writer] in (count, count + 1), writer
    for append, indices in auditor.appends.items():
        assert sorted(indices) == list(range(auditor.sizes[append])), append


def check_reader(lines: list[list[str]], ends: dict[int, int]) -> None:
    """It goes on where it committed: nothing left out, again only what it had not committed."""
    committed = dict.fromkeys(ends, 0)
    read_to = dict.fromkeys(ends, 0)
    is_new = dict.fromkeys(ends, False)
    for kind, *numbers in lines:
        if kind == "start":
            is_new = dict.fromkeys(ends, True)
            continue
        partition, first, after = map(int, numbers)
        if kind == "committed":
            committed[partition] = after
            continue
        # Killed between the commit and the telling, it goes on behind what it had read.
        expected = (
            {read_to[partition], committed[partition]}
            if is_new[partition]
            else {read_to[partition]}
        )
        assert first in expected
        is_new[partition] = False
        read_to[partition] = after
    assert read_to == ends


def test_a_process_that_leaves_takes_nothing_away(tmp_path: Path, message_log: SqliteLog) -> None:
    """The last to close a SQLite file deletes its WAL; it must not think it is when we write on."""
    other = SqliteLog(tmp_path / "log.db", clock=SystemClock())
    written = 0
    for _ in range(3):
        for connection in (message_log, other):
            connection.append(TOPIC, [("k", b"v")])
            written += 1
        done = subprocess.run(
            worker("look", tmp_path / "log.db"),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == written
    other.close()
