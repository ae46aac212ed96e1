"""Reads assigned partitions of one Kafka topic."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from qold.adapters.kafka_client import Cluster, Trouble
from qold.adapters.kafka_cluster import ANSWER_S, WaitingRecords, is_made_anew, next_position
from qold.adapters.kafka_offsets import GroupOffsets
from qold.ports import PartitionOffsets, Record, Rejected, Unavailable

RECEIVE = 5_000
KEPT = 5_000
"""A partition nobody asks for is paused when so many of its records wait here."""

Ends = Callable[[str], Mapping[int, PartitionOffsets]]


class KafkaReader:
    """A LogReader; nothing but its own position decides what it reads next.

    Until it has once seen the end of a partition, a poll waits for the broker whatever `wait_ms`
    says, so that `while poll(…, wait_ms=0)` reads all there is.
    """

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
        self._waiting = WaitingRecords(begin)
        self._at_end: set[int] = set()
        self._paused: set[int] = set()
        self._lost: set[int] = set()
        self._remade: set[int] = set()
        self._offsets = GroupOffsets(consumer, topic, self._trouble)
        self._client = Consumer(
            cluster.configuration(
                **{
                    "group.id": consumer,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",  # so that it is told, and decided here
                    # A trickle comes in a few large tuples a second, not in hundreds of small ones.
                    "fetch.wait.max.ms": 250,
                    "fetch.min.bytes": 256 * 1024,
                    # A partition whose queue was full would otherwise not be asked for a second.
                    "fetch.queue.backoff.ms": 10,
                    "queued.max.messages.kbytes": 16 * 1024,
                    "error_cb": self._trouble,
                    "on_commit": self._offsets.on_commit,
                }
            )
        )
        self._received = self._offsets.positions(self._client, begin)
        self._begin(self._received)

    def poll(
        self, partitions: Collection[int], *, max_records: int, max_bytes: int, wait_ms: int
    ) -> list[Record]:
        asked = sorted(p for p in partitions if p in self._waiting)
        if not asked:
            return []
        self._resume(asked)
        if self._may_be_unfair(asked):
            self._receive(0)
        started = time.monotonic()
        wait_s = wait_ms / 1000
        while not (records := self._waiting.take(asked, max_records, max_bytes)):
            is_end = self._at_end.issuperset(asked)
            left_s = started + (wait_s if is_end else max(wait_s, ANSWER_S)) - time.monotonic()
            has_come = self._receive(max(0.0, left_s))
            if not has_come and (self._trouble.is_away or (left_s <= 0 and not is_end)):
                raise Unavailable(f"{self._topic}: not answered; {self._trouble.take()}")
            if left_s <= 0:
                return self._waiting.take(asked, max_records, max_bytes)
        return records

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        self._offsets.commit(self._client, next_offsets, self._receive)

    def close(self) -> None:
        self._client.close()

    def _begin(self, positions: Mapping[int, int]) -> None:
        self._at_end.difference_update(positions)
        places = [TopicPartition(self._topic, p, offset) for p, offset in positions.items()]
        try:
            self._client.incremental_assign(places)
        except KafkaException as exc:
            raise self._trouble.explained(exc.args[0], self._topic) from exc

    def _receive(self, wait_s: float) -> int:
        """Take in what has come, waiting only while there is nothing; returns how much it was."""
        if self._lost:
            self._go_on()
        messages = self._client.consume(RECEIVE, 0)
        if not messages and wait_s > 0:
            messages = self._client.consume(1, wait_s) + self._client.consume(RECEIVE - 1, 0)
        topic, partition, waiting = self._topic, -1, []
        for message in messages:
            if message.error() is not None:
                self._note(message.partition(), message.error())
                continue
            if message.partition() != partition:
                partition = message.partition()
                waiting = self._waiting[partition]
                self._at_end.discard(partition)
            key = message.key()
            waiting.append(
                Record(
                    topic,
                    partition,
                    message.offset(),
                    key.decode("utf-8", "replace") if key else "",
                    message.value() or b"",
                    self._told_at(message.timestamp()[1]),
                )
            )
        for partition, waiting in self._waiting.items():
            if waiting:
                self._received[partition] = waiting[-1].offset + 1
        return len(messages)

    def _may_be_unfair(self, asked: Collection[int]) -> bool:
        """Whether one that nothing waits of here could miss its turn."""
        if all(self._waiting[p] or p in self._at_end for p in asked):
            return False
        return sum(map(len, self._waiting.values())) < KEPT

    def _resume(self, asked: Collection[int]) -> None:
        """What nobody asks for stops coming once enough of it waits; what is asked for comes."""
        resumed = [p for p in self._paused.intersection(asked) if not self._waiting[p]]
        paused = [
            p
            for p in self._waiting.keys() - self._paused - set(asked)
            if len(self._waiting[p]) > KEPT
        ]
        for change, partitions in ((self._client.resume, resumed), (self._client.pause, paused)):
            if partitions:
                change([TopicPartition(self._topic, p) for p in partitions])
        self._paused = self._paused - set(resumed) | set(paused)

    def _note(self, partition: int, error: Any) -> None:
        match error.code():
            case KafkaError._PARTITION_EOF:
                self._at_end.add(partition)
            case KafkaError._AUTO_OFFSET_RESET | KafkaError.OFFSET_OUT_OF_RANGE:
                self._lost.add(partition)
            case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError.UNKNOWN_TOPIC_ID:
                self._lost.add(partition)
                self._remade.add(partition)
            case _:
                self._trouble(error)

    def _go_on(self) -> None:
        """Partitions whose position is no more: with the oldest record that is retained."""
        try:
            ends = self._ends(self._topic)
        except Rejected as exc:
            raise Unavailable(str(exc)) from exc
        begin = {}
        for partition in sorted(self._lost):
            position, was_gone = self._received[partition], partition in self._remade
            if is_made_anew(position, ends[partition], was_gone=was_gone):
                self._offsets.forget(partition)
            begin[partition] = self._received[partition] = next_position(
                self._consumer,
                f"{self._topic}:{partition}",
                position,
                ends[partition],
                was_gone=was_gone,
            )
        self._client.incremental_unassign([TopicPartition(self._topic, p) for p in begin])
        self._begin(begin)
        self._lost.clear()
        self._remade.clear()
