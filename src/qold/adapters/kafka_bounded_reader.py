"""Reads topics that others than our services write, with a limit of what a batch may unpack to.

librdkafka unpacks every batch of an answer before it hands over the first record, without a limit
for gzip, snappy and lz4: 1 MB from a gateway took 4 GB. Here an answer stays packed, and one batch
of each partition is unpacked at a time (docs/adr/0029).
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping

from confluent_kafka import Consumer, KafkaError

from qold.adapters.kafka_batches import Batch, Broken, Entry, Oversized, Unpacker, batches
from qold.adapters.kafka_client import Cluster, Trouble
from qold.adapters.kafka_cluster import ANSWER_S, LOOK_S, is_made_anew, next_position
from qold.adapters.kafka_fetch import Fetched, Fetcher
from qold.adapters.kafka_offsets import GroupOffsets
from qold.ports import PartitionOffsets, Record, Rejected, Unavailable

Ends = Callable[[str], Mapping[int, PartitionOffsets]]


class BoundedKafkaReader:
    """A LogReader; as `KafkaReader`, it reads to the end before a poll without waiting returns []."""

    def __init__(
        self,
        cluster: Cluster,
        consumer: str,
        topic: str,
        begin: Mapping[int, int],
        *,
        ends: Ends,
        told_at: Callable[[int], int] = int,
    ) -> None:
        """Reads the partitions of `begin`, from there where nothing is committed.

        `told_at` makes our time of the broker's, both in ms.
        """
        self._told_at = told_at
        self._consumer, self._topic = consumer, topic
        self._ends = ends
        self._trouble = Trouble()
        self._offsets = GroupOffsets(consumer, topic, self._trouble)
        self._client = Consumer(
            cluster.configuration(
                **{
                    "group.id": consumer,
                    "enable.auto.commit": False,
                    "error_cb": self._trouble,
                    "on_commit": self._offsets.on_commit,
                }
            )
        )
        self._positions = self._offsets.positions(self._client, begin)
        self._fetcher = Fetcher(cluster, self._client, topic, self._trouble)
        self._partitions = {p: _Partition(topic, p, told_at) for p in begin}
        self._at_end: set[int] = set()
        self._lost: dict[int, bool] = {}
        self._last = -1

    def poll(
        self, partitions: Collection[int], *, max_records: int, max_bytes: int, wait_ms: int
    ) -> list[Record]:
        asked = sorted(p for p in partitions if p in self._partitions)
        started = time.monotonic()
        while asked:
            self._ask()
            self._keep(self._fetcher.answers(0.0))
            if records := self._take(asked, max_records, max_bytes):
                return records
            is_end = self._at_end.issuperset(asked)
            wait_s = wait_ms / 1000 if is_end else max(wait_ms / 1000, ANSWER_S)
            left_s = started + wait_s - time.monotonic()
            if is_end and left_s <= 0:
                break
            if left_s <= 0 or self._trouble.is_away:
                raise Unavailable(f"{self._topic}: not answered; {self._trouble.take()}")
            self._ask()
            self._keep(self._fetcher.answers(left_s))
        return []

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        self._offsets.commit(self._client, next_offsets, self._client.poll)

    def close(self) -> None:
        self._fetcher.close()
        self._client.close()

    def _ask(self) -> None:
        """For what has nothing here; a partition that no poll names waits with one answer."""
        if self._lost:
            self._go_on()
        hungry = {
            p: self._positions[p]
            for p, partition in self._partitions.items()
            if partition.is_empty and not self._fetcher.is_asked(p)
        }
        if not hungry:
            return
        try:
            self._fetcher.ask(hungry, is_waiting=self._at_end.issuperset(hungry))
        except Rejected:
            self._lost.update(dict.fromkeys(hungry, True))
            self._go_on()

    def _keep(self, answers: list[Fetched]) -> None:
        is_refused = False
        for fetched in answers:
            match fetched.error:
                case 0:
                    self._keep_batches(fetched)
                case KafkaError.OFFSET_OUT_OF_RANGE:
                    self._lost.setdefault(fetched.partition, False)
                case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError.UNKNOWN_TOPIC_ID:
                    self._lost[fetched.partition] = True
                case code:
                    is_refused = True
                    self._trouble(KafkaError(code))
        if is_refused:
            self._fetcher.forget()
            time.sleep(LOOK_S)  # a leader is being chosen, or a right is missing

    def _keep_batches(self, fetched: Fetched) -> None:
        partition = fetched.partition
        position = self._positions[partition]
        after = self._partitions[partition].keep(fetched.content, position)
        self._positions[partition] = after
        if after >= fetched.end:
            self._at_end.add(partition)
        else:
            self._at_end.discard(partition)

    def _take(self, asked: list[int], max_records: int, max_bytes: int) -> list[Record]:
        """Records of the next partition in turn that has some."""
        behind = [p for p in asked if p > self._last]
        for number in (*behind, *asked[: len(asked) - len(behind)]):
            if records := self._partitions[number].take(max_records, max_bytes):
                self._last = number
                return records
        return []

    def _go_on(self) -> None:
        """Move partitions whose position is gone to the oldest record that is retained."""
        self._fetcher.forget()
        try:
            ends = self._ends(self._topic)
        except Rejected as exc:
            raise Unavailable(str(exc)) from exc
        for partition, was_gone in self._lost.items():
            position = self._positions[partition]
            if is_made_anew(position, ends[partition], was_gone=was_gone):
                self._offsets.forget(partition)
            self._at_end.discard(partition)
            self._positions[partition] = next_position(
                self._consumer,
                f"{self._topic}:{partition}",
                position,
                ends[partition],
                was_gone=was_gone,
            )
        self._lost.clear()


class _Partition:
    """What was fetched of one partition and not taken yet."""

    def __init__(self, topic: str, number: int, told_at: Callable[[int], int]) -> None:
        self._topic, self._number, self._told_at = topic, number, told_at
        self._unpacker = Unpacker()
        self._packed: deque[Batch] = deque()
        self._records: Iterator[Record] = iter(())
        self._next: Record | None = None
        self._position = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        self._advance()
        return self._next is None

    def keep(self, content: memoryview, position: int) -> int:
        """Keep the batches of an answer; returns the offset behind them."""
        self._position = position
        try:
            for batch in batches(content):
                if batch.last >= position:
                    self._packed.append(batch)
                    position = batch.last + 1
        except Broken as exc:
            raise Unavailable(f"{self._topic}:{self._number}:{position}: {exc}") from exc
        return position

    def take(self, max_records: int, max_bytes: int) -> list[Record]:
        """The next records, at least one if there is any."""
        records: list[Record] = []
        size = 0
        while len(records) < max_records:
            self._advance()
            if self._next is None:
                break
            size += len(self._next.value)
            if records and size > max_bytes:
                break
            records.append(self._next)
            self._next = None
        return records

    def _advance(self) -> None:
        while self._next is None:
            self._next = next(self._records, None)
            if self._next is None:
                if not self._packed:
                    return
                self._records = self._unpacked(self._packed.popleft())

    def _unpacked(self, batch: Batch) -> Iterator[Record]:
        if batch.is_control:
            return
        time_ms = self._told_at(batch.appended_at_ms)
        after = batch.first
        try:
            for entry in self._unpacker.entries(batch):
                after = entry.offset + 1
                if entry.offset >= self._position:
                    yield self._record(entry, time_ms)
        except (Oversized, Broken):
            # What cannot be unpacked leaves one record for all of its offsets.
            if after <= batch.last:
                size = max(1, len(batch.payload))
                yield Record(self._topic, self._number, batch.last, "", b"", time_ms, size)

    def _record(self, entry: Entry, time_ms: int) -> Record:
        is_whole = entry.value is not None
        return Record(
            self._topic,
            self._number,
            entry.offset,
            entry.key.decode("utf-8", "replace"),
            entry.value or b"",
            time_ms,
            0 if is_whole else entry.size,
        )
