"""Reads assigned partitions of one Kafka topic."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from qold.adapters.kafka_client import Cluster, Trouble, answered, settled
from qold.adapters.kafka_cluster import ANSWER_S, WaitingRecords, is_made_anew, next_position
from qold.ports import PartitionOffsets, Record, Rejected, Unavailable

RECEIVE = 5_000
COMMIT_LOOK_S = 0.02
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
        self._commits: list[KafkaError | None] = []
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
                    "on_commit": lambda error, places: self._commits.append(error),
                }
            )
        )
        self._committed = committed_offsets(self._client, self._trouble, topic, begin)
        self._received = {p: self._committed.get(p, offset) for p, offset in begin.items()}
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
        moved = {p: o for p, o in next_offsets.items() if o > self._committed.get(p, -1)}
        if not moved:
            return
        places = [TopicPartition(self._topic, p, offset) for p, offset in moved.items()]
        with answered(self._trouble, self._consumer):
            settled(lambda: self._commit(places))
        self._committed.update(moved)

    def close(self) -> None:
        self._client.close()

    def _commit(self, places: list[TopicPartition]) -> None:
        # Waiting for it inside the client has no limit of time.
        self._commits.clear()
        self._client.commit(offsets=places, asynchronous=True)
        give_up_at = time.monotonic() + ANSWER_S
        while not self._commits:
            if time.monotonic() > give_up_at:
                raise TimeoutError
            self._receive(COMMIT_LOOK_S)
        if error := self._commits[-1]:
            raise KafkaException(error)

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
                self._committed.pop(partition, None)
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


class CommittedOffsets:
    """What the cluster has of one consumer, asked for again and again over the same connections."""

    def __init__(self, cluster: Cluster, consumer: str) -> None:
        self._trouble = Trouble()
        self._client = Consumer(
            cluster.configuration(**{"group.id": consumer, "error_cb": self._trouble})
        )

    def of(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, where one is committed; begin anew with another one after `Unavailable`."""
        with answered(self._trouble, topic):
            self._client.poll(0)  # lets go of what error_cb was to hear since the last time
        self._trouble.take()
        return committed_offsets(self._client, self._trouble, topic, partitions)

    def close(self) -> None:
        self._client.close()


def committed_offsets(
    client: Consumer, trouble: Trouble, topic: str, partitions: Iterable[int]
) -> dict[int, int]:
    """What the cluster has of a consumer, which is the group of the client.

    An admin client could ask, too, but ends the process where a coordinator has moved (librdkafka
    2.16: it has no group of its own to tell).
    """
    places = [TopicPartition(topic, p) for p in partitions]

    def ask() -> dict[int, int]:
        found = client.committed(places, timeout=ANSWER_S)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    with answered(trouble, topic):
        return settled(ask) if places else {}
