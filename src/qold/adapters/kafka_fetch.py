"""Fetch requests to the leaders of one topic's partitions: raw batches, of a bounded size."""

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from qold.adapters.kafka_client import Cluster, Trouble, answered
from qold.adapters.kafka_cluster import ANSWER_S
from qold.adapters.kafka_socket import BrokerSocket, readable, tls_context
from qold.ports import Unavailable

# The oldest version that Kafka 4 speaks, and the newest without sessions; 3.9 speaks it, too.
_FETCH, _VERSION = 1, 4
# Bytes of one partition in an answer; a larger batch comes alone. A reader keeps one answer of each
# broker, so that more would only take memory.
PARTITION_BYTES = 2**20
# Bytes of an answer: of all partitions, and of the largest that is taken. Brokers of ours store no
# batch larger than 4 MiB.
FETCH_BYTES, MAX_ANSWER_BYTES = 8 * 2**20, 64 * 2**20
# A trickle comes in a few large answers a second, not in hundreds of small ones.
WAIT_MS, MIN_BYTES = 250, 256 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for one partition; `end` is the offset behind its last record."""

    partition: int
    error: int
    end: int
    content: memoryview


class Fetcher:
    """One request at a time to each broker; `client` is any client of the cluster."""

    def __init__(self, cluster: Cluster, client: Any, topic: str, trouble: Trouble) -> None:
        self._cluster, self._client = cluster, client
        self._topic, self._trouble = topic, trouble
        self._leaders: dict[int, tuple[str, int]] = {}
        self._open: dict[tuple[str, int], BrokerSocket] = {}
        self._asked: dict[tuple[str, int], frozenset[int]] = {}
        self._turn = 0

    def ask(self, positions: Mapping[int, int], *, is_waiting: bool) -> None:
        """Ask the brokers that owe no answer; with `is_waiting` they may wait for records."""
        leaders = self._known_leaders(positions)
        for broker in {leaders[p] for p in positions} - self._asked.keys():
            mine = sorted(p for p in positions if leaders[p] == broker)
            # An answer fills up in this order; each partition comes first in its turn.
            self._turn += 1
            turn = self._turn % len(mine)
            mine = mine[turn:] + mine[:turn]
            request = self._request({p: positions[p] for p in mine}, is_waiting=is_waiting)
            try:
                self._connected(broker).send_bytes(request)
            except Unavailable:
                self.close()
                raise
            self._asked[broker] = frozenset(mine)

    def is_asked(self, partition: int) -> bool:
        """Whether a broker owes the answer for a partition."""
        return any(partition in partitions for partitions in self._asked.values())

    def answers(self, wait_s: float) -> list[Fetched]:
        """What has come; waits only while there is nothing."""
        found: list[Fetched] = []
        asked = {self._open[broker]: broker for broker in self._asked}
        for connection in readable(asked, wait_s):
            try:
                answer = connection.receive_bytes()
                del self._asked[asked[connection]]
                found += _partitions(answer)
            except (Unavailable, struct.error) as exc:
                self.close()
                if isinstance(exc, Unavailable):
                    raise
                raise Unavailable(f"{connection.name}: an answer that is none") from exc
        return found

    def forget(self) -> None:
        """Look again who leads, when asking next."""
        self._leaders.clear()

    def close(self) -> None:
        """Drop connections, with the answers that are on their way."""
        self._leaders.clear()
        self._asked.clear()
        while self._open:
            self._open.popitem()[1].close()

    def _known_leaders(self, partitions: Collection[int]) -> Mapping[int, tuple[str, int]]:
        if not self._leaders.keys() >= set(partitions):
            with answered(self._trouble, self._topic):
                try:
                    found = self._client.list_topics(self._topic, timeout=ANSWER_S)
                finally:
                    self._client.poll(0)  # for what error_cb has to say
                topic = found.topics[self._topic]
                if topic.error is not None:
                    raise KafkaException(topic.error)
            brokers = {broker.id: (broker.host, broker.port) for broker in found.brokers.values()}
            self._leaders = {
                number: brokers[partition.leader]
                for number, partition in topic.partitions.items()
                if partition.leader in brokers
            }
            if missing := set(partitions) - self._leaders.keys():
                raise Unavailable(f"{self._topic}:{min(missing)}: no leader")
        return self._leaders

    def _connected(self, broker: tuple[str, int]) -> BrokerSocket:
        found = self._open.pop(broker, None)
        if found is not None and readable([found], 0):  # it was closed while nothing was asked
            found.close()
            found = None
        if found is None:
            folder = self._cluster.certificates
            context = None if folder is None else tls_context(folder)
            found = BrokerSocket(*broker, context, max_answer_bytes=MAX_ANSWER_BYTES)
        self._open[broker] = found
        return found

    def _request(self, positions: Mapping[int, int], *, is_waiting: bool) -> bytes:
        wait_ms, min_bytes = (WAIT_MS, MIN_BYTES) if is_waiting else (0, 1)
        topic = self._topic.encode()
        body = struct.pack("!hhih4s", _FETCH, _VERSION, 0, 4, b"qold")
        body += struct.pack("!iiiib", -1, wait_ms, min_bytes, FETCH_BYTES, 0)
        body += struct.pack("!ih", 1, len(topic)) + topic + struct.pack("!i", len(positions))
        for partition, position in positions.items():
            body += struct.pack("!iqi", partition, position, PARTITION_BYTES)
        return struct.pack("!i", len(body)) + body


def _partitions(answer: memoryview) -> Iterator[Fetched]:
    """Partitions of the only topic of an answer."""
    _, topics, name_size = struct.unpack_from("!iih", answer)
    at = 10 + name_size
    (count,) = struct.unpack_from("!i", answer, at)
    at += 4
    for _ in range(count if topics else 0):
        partition, error, end, _, aborted = struct.unpack_from("!ihqqi", answer, at)
        at += 26 + 16 * max(0, aborted)
        (size,) = struct.unpack_from("!i", answer, at)
        at += 4
        content = answer[at : at + max(0, size)]
        at += len(content)
        yield Fetched(partition, error, end, content)
