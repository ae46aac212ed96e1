"""The log on a Kafka up to 3.9, with pykafka: for installations that keep to it (docs/adr/0003).

Every answer is seen before `append` returns, and nothing is sent twice unless the broker said that
it did not take it. An append whose answer is lost may be there nevertheless; appended again, its
records are there twice, also where `kafka://` would have noticed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from zlib import crc32

from qold.adapters.kafka_cluster import (
    ANSWER_S,
    MAX_VALUE_BYTES,
    topic_config,
    wait_until_known,
)
from qold.adapters.pykafka_client import (
    LEADER_NOT_AVAILABLE,
    TOPIC_EXISTS,
    UNKNOWN_TOPIC,
    PykafkaCluster,
    Refusal,
    refuse,
    settled,
)
from qold.adapters.pykafka_protocol import protocol, unpack_from
from qold.adapters.pykafka_reader import PykafkaReader, committed_offsets
from qold.domain.offsets import begin_at
from qold.ports import LogReader, PartitionOffsets, Rejected, Start

CHUNK_BYTES = 800_000
"""Of a partition in one request: the broker makes one batch of it, of at most 1 MB by default."""
_MESSAGE_HEAD_BYTES = 34
_EARLIEST, _LATEST = -2, -1
_ALL_IN_SYNC = -1
_COPIES = 3

Waiting = dict[int, list[protocol.Message]]


class PykafkaLog:
    """A MessageLog on a cluster; `compacted` topics are created so that they keep their last values."""

    def __init__(self, cluster: PykafkaCluster, *, compacted: Collection[str] = ()) -> None:
        self._cluster = cluster
        self._compacted = frozenset(compacted)

    def append(self, topic: str, entries: Sequence[tuple[str, bytes]]) -> None:
        if not entries:
            return
        if any(len(value) > MAX_VALUE_BYTES for _, value in entries):
            raise Rejected("too-large", f"{topic}: more than {MAX_VALUE_BYTES} bytes")
        count = len(settled(lambda: self._cluster.leaders(topic)))
        for waiting in _chunks(entries, count):
            settled(partial(self._send, topic, waiting))

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        missing = sorted(partitions.keys() - self.topics().keys())
        if missing:
            settled(lambda: self._create({topic: partitions[topic] for topic in missing}))
            wait_until_known(self, missing)

    def topics(self) -> Mapping[str, int]:
        found = {
            name.decode(): len(topic.partitions)
            for name, topic in self._cluster.metadata().topics.items()
        }
        return {name: found[name] for name in sorted(found) if not name.startswith("__")}

    def partition_count(self, topic: str) -> int:
        told = self._cluster.metadata([topic]).topics[topic.encode()]
        if told.err == UNKNOWN_TOPIC or not told.partitions:
            raise Rejected("unknown-topic", topic)
        return len(told.partitions)

    def offsets(self, topic: str) -> Mapping[int, PartitionOffsets]:
        self.partition_count(topic)
        first = settled(lambda: self._list_offsets(topic, _EARLIEST))
        after = settled(lambda: self._list_offsets(topic, _LATEST))
        return {p: PartitionOffsets(first[p], after[p]) for p in sorted(first)}

    def committed(self, consumer: str, topic: str) -> Mapping[int, int]:
        partitions = range(self.partition_count(topic))
        return committed_offsets(self._cluster, consumer, topic, partitions)

    def reader(
        self,
        consumer: str,
        topic: str,
        partitions: Collection[int],
        *,
        start: Start = "earliest",
    ) -> LogReader:
        begin = begin_at(self.offsets(topic), partitions, start)
        return PykafkaReader(self._cluster.another(), consumer, topic, begin, ends=self.offsets)

    def ping(self) -> None:
        self._cluster.metadata()

    def close(self) -> None:
        self._cluster.close()

    def _send(self, topic: str, waiting: Waiting) -> None:
        """Send what waits and take out what the log has; raises `Refusal` where something is left."""
        leaders = self._cluster.leaders(topic)
        code = 0
        for leader in {leaders[partition] for partition in waiting}:
            request = protocol.ProduceRequest(
                required_acks=_ALL_IN_SYNC, timeout=round(ANSWER_S * 1000) - 1000
            )
            for partition in [p for p in waiting if leaders[p] == leader]:
                for message in waiting[partition]:
                    request.add_message(message, topic.encode(), partition)
            with self._cluster.exchange():
                answer = self._cluster.of(leader).call(request, protocol.ProduceResponse)
            for partition, told in answer.topics[topic.encode()].items():
                code = told.err or code
                if not told.err:
                    del waiting[partition]
        if code:
            self._cluster.forget(topic)
            raise Refusal(code, topic)

    def _create(self, partitions: Mapping[str, int]) -> None:
        metadata = self._cluster.metadata()
        controller = metadata.brokers.get(metadata.controller_id)
        if controller is None:
            raise Refusal(LEADER_NOT_AVAILABLE, "controller")
        request = protocol.CreateTopicsRequest(
            [
                protocol.CreateTopicRequest(
                    topic.encode(),
                    count,
                    min(_COPIES, len(metadata.brokers)),
                    [],
                    [(name.encode(), value.encode()) for name, value in self._config(topic)],
                )
                for topic, count in partitions.items()
            ],
            timeout=round(ANSWER_S * 1000) - 1000,
        )
        with self._cluster.exchange():
            errors = self._cluster.of(controller).call(
                request, lambda answer: unpack_from("[Sh]", answer)
            )
        for name, code in errors:
            refuse(0 if code == TOPIC_EXISTS else code, name.decode())

    def _config(self, topic: str) -> Iterable[tuple[str, str]]:
        yield from topic_config(is_compacted=topic in self._compacted).items()
        # What others send with zstd comes in a form that can be read here.
        yield "compression.type", "gzip"

    def _list_offsets(self, topic: str, when: int) -> dict[int, int]:
        leaders = self._cluster.leaders(topic)
        found = {}
        for leader in set(leaders.values()):
            asked = [
                protocol.PartitionOffsetRequest(topic.encode(), partition, when, 1)
                for partition, broker in leaders.items()
                if broker == leader
            ]
            with self._cluster.exchange():
                answer = self._cluster.of(leader).call(
                    protocol.ListOffsetRequest(asked), protocol.ListOffsetResponse
                )
            for partition, told in answer.topics[topic.encode()].items():
                if told.err:
                    self._cluster.forget(topic)
                    raise Refusal(told.err, f"{topic}:{partition}")
                found[partition] = told.offset[0]
        return found


def _chunks(entries: Sequence[tuple[str, bytes]], partitions: int) -> Iterable[Waiting]:
    """What one round of requests carries, in order; at least one record of a partition."""
    chunk: Waiting = {}
    sizes = dict.fromkeys(range(partitions), 0)
    for key, value in entries:
        encoded = key.encode()
        partition = crc32(encoded) % partitions
        size = _MESSAGE_HEAD_BYTES + len(encoded) + len(value)
        if sizes[partition] and sizes[partition] + size > CHUNK_BYTES:
            yield chunk
            chunk, sizes = {}, dict.fromkeys(sizes, 0)
        sizes[partition] += size
        chunk.setdefault(partition, []).append(protocol.Message(value, partition_key=encoded))
    yield chunk
