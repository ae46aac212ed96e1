"""Reads assigned partitions of one topic of a Kafka up to 3.9, with pykafka's protocol."""

import time
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qold.adapters.kafka_cluster import LOOK_S, WaitingRecords, is_made_anew, next_position
from qold.adapters.pykafka_client import (
    OFFSET_OUT_OF_RANGE,
    UNKNOWN_TOPIC,
    UNREADABLE_COMPRESSION,
    Connection,
    PykafkaCluster,
    Refusal,
    refuse,
    settled,
)
from qold.adapters.pykafka_protocol import (
    MessageSetDecodeFailure,
    protocol,
    unpack_from,
)
from qold.domain.log_limits import MAX_BATCH_BYTES, MAX_VALUE_BYTES
from qold.ports import PartitionOffsets, Record, Rejected, Unavailable

FETCH_BYTES, MAX_FETCH_BYTES = 2**20, 2**26
"""Of a partition in one answer; more is asked for where a batch does not fit."""
WAIT_MS, SHARED_WAIT_MS = 1000, 50
"""How long a broker may wait for something to send; shorter where another may have it sooner."""
_COMPRESSION, _APPEND_TIME = 0x07, 0x08
# zlib's window size that takes a header of gzip.
_ANY_HEAD = 32 + 15
_NO_GENERATION, _NO_MEMBER, _NOW = -1, b"", -1

Ends = Callable[[str], Mapping[int, PartitionOffsets]]


class PykafkaReader:
    """A LogReader; nothing but its own position decides what it reads next."""

    def __init__(
        self,
        cluster: PykafkaCluster,
        consumer: str,
        topic: str,
        begin: Mapping[int, int],
        *,
        ends: Ends,
    ) -> None:
        """Reads the partitions of `begin`, from there where nothing is committed."""
        self._cluster, self._consumer, self._topic = cluster, consumer, topic
        self._ends = ends
        self._waiting = WaitingRecords(begin)
        self._fetch_bytes = dict.fromkeys(begin, FETCH_BYTES)
        self._committed = committed_offsets(cluster, consumer, topic, begin)
        self._received = {p: self._committed.get(p, offset) for p, offset in begin.items()}

    def poll(
        self, partitions: Collection[int], *, max_records: int, max_bytes: int, wait_ms: int
    ) -> list[Record]:
        asked = sorted(p for p in partitions if p in self._waiting)
        if not asked:
            return []
        give_up_at = time.monotonic() + wait_ms / 1000
        hungry = [p for p in asked if not self._waiting[p]]
        if hungry:
            self._fetch(hungry, 0)
        while not (records := self._waiting.take(asked, max_records, max_bytes)):
            left_ms = round((give_up_at - time.monotonic()) * 1000)
            if left_ms <= 0:
                return []
            self._fetch(asked, left_ms)
        return records

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        moved = {p: o for p, o in next_offsets.items() if o > self._committed.get(p, -1)}
        if not moved:
            return
        request = protocol.OffsetCommitRequest(
            self._consumer.encode(),
            _NO_GENERATION,
            _NO_MEMBER,
            [
                protocol.PartitionOffsetCommitRequest(self._topic.encode(), p, offset, _NOW, b"")
                for p, offset in moved.items()
            ],
        )

        def ask() -> None:
            with self._cluster.exchange():
                answer = _coordinator(self._cluster, self._consumer).call(
                    request, protocol.OffsetCommitResponse
                )
            for partition, told in answer.topics[self._topic.encode()].items():
                refuse(told.err, f"{self._consumer} of {self._topic}:{partition}")

        settled(ask)
        self._committed.update(moved)

    def close(self) -> None:
        self._cluster.close()

    def _fetch(self, partitions: Collection[int], wait_ms: int) -> None:
        """Take in what comes of these partitions, waiting only while there is nothing."""
        lost: dict[int, bool] = {}
        stale = settled(lambda: self._ask(partitions, wait_ms, lost))
        if lost:
            self._go_on(lost)
        if stale:
            time.sleep(LOOK_S)  # it is sent again at once, however long one is ready to wait

    def _ask(self, partitions: Collection[int], wait_ms: int, lost: dict[int, bool]) -> bool:
        """Whether what came was no record, or one that was here; raises `Refusal`."""
        topic = self._topic.encode()
        try:
            leaders = self._cluster.leaders(self._topic)
        except Rejected:
            lost.update(dict.fromkeys(partitions, True))
            return False
        asked: dict[Any, list[int]] = {}
        for partition in partitions:
            asked.setdefault(leaders[partition], []).append(partition)
        wait_ms = min(wait_ms, WAIT_MS if len(asked) == 1 else SHARED_WAIT_MS)
        came: dict[int, Any] = {}
        with self._cluster.exchange():
            connections = [self._cluster.of(leader) for leader in asked]
            for connection, some in zip(connections, asked.values(), strict=True):
                connection.send(
                    protocol.FetchRequest(
                        [
                            protocol.PartitionFetchRequest(
                                topic, p, self._received[p], self._fetch_bytes[p]
                            )
                            for p in some
                        ],
                        timeout=wait_ms,
                        min_bytes=1,
                        api_version=Fetched.API_VERSION,
                    )
                )
            for connection in connections:
                answer = connection.receive(Fetched, after_s=wait_ms / 1000)
                came.update(answer.topics[topic])
        is_stale = False
        for partition, told in came.items():
            if told.err in (OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC):
                lost[partition] = told.err == UNKNOWN_TOPIC
            elif told.err:
                self._cluster.forget(self._topic)
                raise Refusal(told.err, f"{self._topic}:{partition}")
            elif told.messages is not None:
                is_stale |= not self._keep(partition, told.messages)
        return is_stale

    def _keep(self, partition: int, messages: list[Any]) -> bool:
        """Whether there was one to keep: a batch brings records that were here before it, too."""
        position = self._received[partition]
        new = [
            self._record(partition, message) for message in messages if message.offset >= position
        ]
        if new:
            self._waiting[partition] += new
            self._received[partition] = new[-1].offset + 1
            self._fetch_bytes[partition] = FETCH_BYTES
        elif self._fetch_bytes[partition] < MAX_FETCH_BYTES:
            self._fetch_bytes[partition] *= 2
        return bool(new)

    def _record(self, partition: int, message: Any) -> Record:
        value = message.value or b""
        unread_bytes = message.unread_bytes if isinstance(message, _Unread) else 0
        if len(value) > MAX_VALUE_BYTES:
            unread_bytes, value = len(value), b""
        return Record(
            self._topic,
            partition,
            message.offset,
            (message.partition_key or b"").decode("utf-8", "replace"),
            value,
            message.timestamp,
            unread_bytes,
        )

    def _go_on(self, lost: Mapping[int, bool]) -> None:
        """Partitions whose position is no more, and whether their topic was: with the oldest record."""
        self._cluster.forget(self._topic)
        try:
            ends = self._ends(self._topic)
        except Rejected as exc:
            raise Unavailable(str(exc)) from exc
        for partition, was_gone in lost.items():
            position = self._received[partition]
            if is_made_anew(position, ends[partition], was_gone=was_gone):
                self._committed.pop(partition, None)
            self._received[partition] = next_position(
                self._consumer,
                f"{self._topic}:{partition}",
                position,
                ends[partition],
                was_gone=was_gone,
            )


@dataclass(frozen=True, slots=True)
class _Unread:
    """A batch that was not unpacked, as a message without content."""

    offset: int
    timestamp: int
    unread_bytes: int
    partition_key: bytes = b""
    value: bytes = b""


class Fetched(protocol.FetchResponseV2):  # type: ignore[misc]  # Any: no types upstream
    """An answer with the time of each append, where pykafka's own ends in an `UnboundLocalError`.

    The messages of a partition are None where there are none.
    """

    def _unpack_message_set(
        self, content: memoryview, partition_id: int = -1, broker_version: str = ""
    ) -> list[Any] | None:
        if not content:
            return None
        try:
            messages = protocol.MessageSet.decode(
                memoryview(content), partition_id=partition_id
            ).messages
        except MessageSetDecodeFailure:
            return []  # the first of them is larger than what was asked for
        return [single for message in messages for single in _unwrapped(message)]


def _unwrapped(message: Any) -> Iterable[Any]:
    attributes, message.compression_type = message.compression_type, 0
    match attributes & _COMPRESSION:
        case 0:
            return (message,)
        case 1:
            unpacked = _unpacked(message.value)
            if unpacked is None:
                return (_Unread(message.offset, message.timestamp, len(message.value)),)
            inner: list[Any] = protocol.MessageSet.decode(memoryview(unpacked)).messages
            # Theirs count from the first, the outer one is that of the last.
            ahead = message.offset - inner[-1].offset
            for single in inner:
                single.offset += ahead
                if attributes & _APPEND_TIME:
                    single.timestamp = message.timestamp
            return inner
        case _:
            raise Refusal(UNREADABLE_COMPRESSION, "a batch")


def _unpacked(packed: bytes) -> bytes | None:
    """The messages of a batch, or None where they are more than a reader takes."""
    decompressor = zlib.decompressobj(_ANY_HEAD)
    unpacked = decompressor.decompress(packed, MAX_BATCH_BYTES + 1)
    return unpacked if len(unpacked) <= MAX_BATCH_BYTES else None


def committed_offsets(
    cluster: PykafkaCluster, consumer: str, topic: str, partitions: Iterable[int]
) -> dict[int, int]:
    """What the cluster has of a consumer."""
    request = protocol.OffsetFetchRequestV1(
        consumer.encode(),
        [protocol.PartitionOffsetFetchRequest(topic.encode(), p) for p in partitions],
    )

    def ask() -> dict[int, int]:
        with cluster.exchange():
            answer = _coordinator(cluster, consumer).call(request, protocol.OffsetFetchResponseV1)
        found = answer.topics.get(topic.encode(), {})
        for partition, told in found.items():
            refuse(told.err, f"{consumer} of {topic}:{partition}")
        return {p: told.offset for p, told in found.items() if told.offset >= 0}

    return settled(ask)


def _coordinator(cluster: PykafkaCluster, consumer: str) -> Connection:
    """To the broker that keeps the offsets of a consumer; raises `Refusal`."""
    request = protocol.GroupCoordinatorRequest(consumer.encode())

    def found(answer: memoryview) -> tuple[bytes, int]:
        code, _, host, port = unpack_from("hiSi", answer)
        refuse(code, consumer)
        return host, port

    host, port = cluster.anywhere(lambda connection: connection.call(request, found))
    return cluster.at(host.decode(), port)
