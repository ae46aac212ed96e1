"""The log spout: one tuple per poll of one partition; commits what is acknowledged without gaps.

Component configuration: `qold.spout.topic` names the setting that holds the topic,
`qold.spout.ordered` keeps one tuple in flight per partition, `qold.spout.start` is where a new
consumer begins (`earliest` or `latest`).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qold import wiring
from qold.component import QoldSpout
from qold.domain.offsets import OffsetBook, retry_delay_ms
from qold.ports import LogReader, MessageLog, Unavailable
from qold.rows import LogRow, pack

AWAY_WAIT_MS = 1000


@dataclass(slots=True)
class _Range:
    """A tuple in flight; its payload stays here until it is acknowledged."""

    partition: int
    first: int
    last: int
    count: int
    size: int
    payload: str
    attempt: int = 1
    retry_at_ms: int | None = None


@dataclass(slots=True)
class _Load:
    """What of a partition is in flight: records, and their bytes."""

    records: int = 0
    size: int = 0

    def add(self, entry: _Range, sign: int = 1) -> None:
        self.records += sign * entry.count
        self.size += sign * entry.size


class LogSpout(QoldSpout):
    """Emits packed `LogRow`s under the id `topic:partition:first-last`; never drops a range."""

    outputs = ["topic", "partition", "first", "last", "attempt", "records"]

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.topic = str(getattr(self.settings, storm_conf["qold.spout.topic"]))
        self.is_ordered = bool(storm_conf.get("qold.spout.ordered", False))
        self.start = storm_conf.get("qold.spout.start", "earliest")
        self.consumer = f"{self.topology}.{self.component_name}"
        self.task_index, self.task_count = _place(context)
        self.message_log: MessageLog | None = None
        self.reader: LogReader | None = None
        self.books: dict[int, OffsetBook] = {}
        self.flying: dict[str, _Range] = {}
        self.loads: dict[int, _Load] = {}
        self.retries: deque[str] = deque()
        self.committed_at_ms = 0
        self.away_until_ms = 0

    def next_tuple(self) -> None:
        """Emit at most one tuple: a retry that is due, else the next records."""
        now_ms = self.clock.monotonic_ms()
        if now_ms < self.away_until_ms:
            return
        try:
            is_idle = not self._retry(now_ms) and not self._poll()
            if is_idle or now_ms - self.committed_at_ms >= self.settings.commit_interval_ms:
                self._commit(now_ms)
        except Unavailable as away:
            self.counters["log_away"] += 1
            self.logger.warning("consumer=%s log away: %s", self.consumer, away)
            self.away_until_ms = now_ms + AWAY_WAIT_MS

    def ack(self, tup_id: str) -> None:
        """A range is done; an id from before a restart is not known and of no matter."""
        done = self.flying.pop(tup_id, None)
        if done is None:
            return
        self.books[done.partition].done(done.first, done.last)
        self.loads[done.partition].add(done, -1)
        self.counters["acked"] += 1

    def fail(self, tup_id: str) -> None:
        """Keep the range for another attempt, with back-off."""
        failed = self.flying.get(tup_id)
        if failed is None or failed.retry_at_ms is not None:
            return
        failed.retry_at_ms = self.clock.monotonic_ms() + retry_delay_ms(failed.attempt)
        self.retries.append(tup_id)
        self.counters["failed"] += 1

    def deactivate(self) -> None:
        """Commit what is done before Storm stops us."""
        try:
            self._commit(self.clock.monotonic_ms())
        except Unavailable as away:
            self.logger.warning("consumer=%s not committed: %s", self.consumer, away)

    def _poll(self) -> bool:
        reader = self._connected()
        open_partitions = [p for p, load in self.loads.items() if self._has_room(load)]
        if not open_partitions:
            if not self.is_ordered:
                self.rest()  # there is much to do until the next is wanted
            return True
        records = reader.poll(
            open_partitions,
            max_records=self.settings.poll_records,
            max_bytes=self.settings.poll_bytes,
            wait_ms=0 if self.flying else self.settings.poll_wait_ms,
        )
        if not records:
            return False
        first, last = records[0], records[-1]
        payload = pack(
            [LogRow(r.offset, r.appended_at_ms, r.value, r.unread_bytes) for r in records]
        )
        size = sum(len(r.value) for r in records)
        entry = _Range(first.partition, first.offset, last.offset, len(records), size, payload)
        book = self.books.setdefault(first.partition, OffsetBook(first.offset))
        book.emitted(entry.first, entry.last)
        self.loads[entry.partition].add(entry)
        self.counters["records"] += len(records)
        self._emit(entry)
        return True

    def _retry(self, now_ms: int) -> bool:
        for _ in range(len(self.retries)):
            entry = self.flying[self.retries[0]]
            if entry.retry_at_ms is not None and entry.retry_at_ms <= now_ms:
                self.retries.popleft()
                entry.attempt += 1
                entry.retry_at_ms = None
                self.counters["replayed"] += 1
                self._emit(entry)
                return True
            self.retries.rotate(-1)
        return False

    def _emit(self, entry: _Range) -> None:
        tup_id = f"{self.topic}:{entry.partition}:{entry.first}-{entry.last}"
        self.flying[tup_id] = entry
        self.emit(
            [self.topic, entry.partition, entry.first, entry.last, entry.attempt, entry.payload],
            tup_id=tup_id,
        )

    def _commit(self, now_ms: int) -> None:
        self.committed_at_ms = now_ms
        moved = {
            partition: offset
            for partition, book in self.books.items()
            if (offset := book.committable()) is not None
        }
        if moved and self.reader is not None:
            self.reader.commit(moved)
            for partition, offset in moved.items():
                self.books[partition].committed(offset)

    def _connected(self) -> LogReader:
        if self.reader is None:
            if self.message_log is None:
                self.message_log = wiring.message_log(self.settings, self.clock)
            partitions = range(self.message_log.partition_count(self.topic))
            mine = [p for p in partitions if p % self.task_count == self.task_index]
            self.reader = self.message_log.reader(self.consumer, self.topic, mine, start=self.start)
            self.loads = {partition: _Load() for partition in mine}
        return self.reader

    def _has_room(self, load: _Load) -> bool:
        """For another tuple; small ones count by what they hold, or a window would wait for few."""
        if self.is_ordered:
            return not load.records
        full = self.settings.partition_in_flight
        return (
            load.records < full * self.settings.poll_records
            and load.size < full * self.settings.poll_bytes
        )


def _place(context: Mapping[str, Any]) -> tuple[int, int]:
    """This task's index among the tasks of its component, and their number."""
    components: Mapping[str, str] = context["task->component"]
    name = context["componentid"]
    tasks = sorted(int(task) for task, component in components.items() if component == name)
    return tasks.index(int(context["taskid"])), len(tasks)
