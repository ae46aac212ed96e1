"""The log on Kafka: idempotent producer, partitions assigned by hand, offsets committed by hand.

A record's partition is crc32 of its key modulo the partitions, as in the embedded log. An append
that was not answered may be there nevertheless; appended again, its records are there twice.
"""

import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from qold.adapters.kafka_bounded_reader import BoundedKafkaReader
from qold.adapters.kafka_client import ENDED, Cluster, Trouble, answered, end_of, settled
from qold.adapters.kafka_cluster import (
    ANSWER_S,
    LOOK_S,
    MAX_VALUE_BYTES,
    topic_config,
    wait_until_known,
)
from qold.adapters.kafka_offsets import CommittedOffsets
from qold.adapters.kafka_reader import KafkaReader
from qold.domain.offsets import begin_at
from qold.ports import LogReader, PartitionOffsets, Rejected, Start, Unavailable

CHUNK = 10_000
# A whole append may wait for its last answer so long; a single message has `ANSWER_S`.
FLUSH_S = 9.5

T = TypeVar("T")


class KafkaLog:
    """A MessageLog on a cluster; `compacted` topics are created so that they keep their last values.

    `bounded` topics are unpacked by a reader that limits what a batch may fill, because librdkafka
    does not (docs/adr/0029). `told_at` makes our time of the broker's, both in ms.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        compacted: Collection[str] = (),
        bounded: Container[str] = (),
        told_at: Callable[[int], int] = int,
    ) -> None:
        self._cluster = cluster
        self._told_at = told_at
        self._compacted = frozenset(compacted)
        self._bounded = bounded
        self._trouble = Trouble()
        self._admin_client: AdminClient | None = None
        self._producer: Any = None
        self._known: set[str] = set()
        self._committed: dict[str, CommittedOffsets] = {}
        self._failures: list[KafkaError] = []

    def append(self, topic: str, entries: Sequence[tuple[str, bytes]]) -> None:
        if not entries:
            return
        if any(len(value) > MAX_VALUE_BYTES for _, value in entries):
            raise Rejected("too-large", f"{topic}: more than {MAX_VALUE_BYTES} bytes")
        if topic not in self._known:
            self.partition_count(topic)
            self._known.add(topic)
        self._failures.clear()
        producer = self._producing()
        try:
            for start in range(0, len(entries), CHUNK):
                self._send(producer, topic, entries[start : start + CHUNK])
            if waiting := producer.flush(FLUSH_S):
                self._failures.append(KafkaError(KafkaError._TIMED_OUT, f"{waiting} unanswered"))
        except BufferError as exc:
            self._drop_producer()
            raise Unavailable(f"{topic}: {exc}") from exc
        except ENDED as exc:
            self._failures.insert(0, end_of(exc))  # the others follow from it
        if self._failures:
            # What follows begins with a clean client, whatever state this one is in.
            self._drop_producer()
            self._known.discard(topic)
            raise self._trouble.explained(self._failures[0], topic)
        self._trouble.take()

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        missing = partitions.keys() - self.topics().keys()
        if not missing:
            return
        wanted = [
            NewTopic(
                topic,
                num_partitions=partitions[topic],
                config=topic_config(is_compacted=topic in self._compacted),
            )
            for topic in sorted(missing)
        ]
        made = self._admin.create_topics(
            wanted, request_timeout=ANSWER_S, operation_timeout=ANSWER_S
        )
        for topic, future in made.items():
            try:
                self._result(future, topic)
            except Unavailable as exc:
                cause: Any = exc.__cause__
                if cause.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        wait_until_known(self, missing)

    def topics(self) -> Mapping[str, int]:
        found = self._metadata()
        return {name: found[name] for name in sorted(found) if not name.startswith("__")}

    def partition_count(self, topic: str) -> int:
        count = self._metadata(topic).get(topic, 0)
        if not count:
            raise Rejected("unknown-topic", topic)
        return count

    def offsets(self, topic: str) -> Mapping[int, PartitionOffsets]:
        places = [TopicPartition(topic, p) for p in range(self.partition_count(topic))]
        first = self._list_offsets(places, OffsetSpec.earliest())
        after = self._list_offsets(places, OffsetSpec.latest())
        return {p: PartitionOffsets(first[p], after[p]) for p in sorted(first)}

    def committed(self, consumer: str, topic: str) -> Mapping[int, int]:
        partitions = range(self.partition_count(topic))
        if consumer not in self._committed:
            self._committed[consumer] = CommittedOffsets(self._cluster, consumer)
        try:
            return self._committed[consumer].of(topic, partitions)
        except Unavailable:
            self._committed.pop(consumer).close()
            raise

    def reader(
        self,
        consumer: str,
        topic: str,
        partitions: Collection[int],
        *,
        start: Start = "earliest",
    ) -> LogReader:
        begin = begin_at(self.offsets(topic), partitions, start)
        kind = BoundedKafkaReader if topic in self._bounded else KafkaReader
        return kind(self._cluster, consumer, topic, begin, ends=self.offsets, told_at=self._told_at)

    def ping(self) -> None:
        self._metadata()

    def close(self) -> None:
        self._drop_producer()
        while self._committed:
            self._committed.popitem()[1].close()
        self._admin_client = None

    @property
    def _admin(self) -> AdminClient:
        if self._admin_client is None:
            self._admin_client = AdminClient(self._cluster.configuration(error_cb=self._trouble))
        return self._admin_client

    def _producing(self) -> Any:
        if self._producer is None:
            self._trouble.last_words = ""
            self._producer = Producer(
                self._cluster.configuration(
                    **{
                        "enable.idempotence": True,
                        "partitioner": "consistent",
                        "compression.type": "zstd",
                        "linger.ms": 5,
                        "message.max.bytes": 2 * MAX_VALUE_BYTES,
                        "message.timeout.ms": round(ANSWER_S * 1000),
                        # Only failures cost a call of Python; `flush` counts the others.
                        "delivery.report.only.error": True,
                        "error_cb": self._trouble,
                        "logger": self._trouble,
                    }
                )
            )
        return self._producer

    def _send(self, producer: Any, topic: str, entries: Sequence[tuple[str, bytes]]) -> None:
        messages: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in entries]
        give_up_at = time.monotonic() + ANSWER_S
        while messages:
            if producer.produce_batch(topic, messages, on_delivery=self._failed) == len(messages):
                return
            messages = [message for message in messages if "_error" in message]
            errors: list[Any] = [message.pop("_error") for message in messages]
            full = [error for error in errors if error.code() == KafkaError._QUEUE_FULL]
            if len(full) < len(errors) or time.monotonic() > give_up_at:
                self._failures += errors
                return
            producer.poll(LOOK_S)

    def _failed(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._failures.append(error)

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=False)
            with suppress(*ENDED):  # one that came to its end says so once more
                producer.flush(0)

    def _metadata(self, topic: str | None = None) -> dict[str, int]:
        """Partitions of every topic there is, or of one."""
        admin = self._admin
        with answered(self._trouble, self._cluster.servers):
            try:
                found = admin.list_topics(topic, timeout=ANSWER_S).topics
            finally:
                admin.poll(0)  # for what error_cb has to say
        for name, told in found.items():
            if told.error is not None and told.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise self._trouble.explained(told.error, name)
        return {name: len(told.partitions) for name, told in found.items()}

    def _list_offsets(self, places: Sequence[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        def ask() -> dict[int, int]:
            asked = self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=ANSWER_S)
            return {
                place.partition: future.result(ANSWER_S).offset for place, future in asked.items()
            }

        with answered(self._trouble, places[0].topic):
            return settled(ask)

    def _result(self, future: "Future[T]", what: str) -> T:
        with answered(self._trouble, what):
            try:
                return future.result(ANSWER_S + 1)
            finally:
                self._admin.poll(0)
