"""Connections to the brokers of one Kafka cluster, up to 3.9, speaking pykafka's protocol.

Requests, answers and records are pykafka's; the connection is ours, because pykafka's loses why it
failed, checks no host name and waits without a limit. Nothing is sent twice here.
"""

import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from qold.adapters.kafka_cluster import LOOK_S, PASSES_S
from qold.adapters.kafka_socket import BrokerSocket, readable, tls_context
from qold.adapters.pykafka_protocol import ERROR_CODES, protocol
from qold.ports import PortError, Rejected, Unavailable

MAX_ANSWER_BYTES = 256 * 2**20
SPOKEN = {
    # Version of each request that is sent. Kafka 4 still says that it takes Produce v0, for the
    # sake of old clients that only look, and closes the connection on whoever sends it.
    "Produce": (0, 0),
    "Fetch": (1, 2),
    "ListOffsets": (2, 0),
    "Metadata": (3, 4),
    "OffsetCommit": (8, 1),
    "OffsetFetch": (9, 1),
    "FindCoordinator": (10, 0),
    "CreateTopics": (19, 0),
}
OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, TOPIC_EXISTS = 1, 3, 5, 36
UNREADABLE_COMPRESSION = 76
_REJECTED = {UNKNOWN_TOPIC: "unknown-topic", 10: "too-large", 17: "unknown-topic"}
# Leader or coordinator not there or not this one, controller elsewhere, a topic made a moment ago.
_PASSING = {UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, 6, 9, 14, 15, 16, 41, 74, 75}
_WORDS = {
    19: "not enough replicas in sync",
    20: "not enough replicas in sync, after it was written",
    UNREADABLE_COMPRESSION: "compressed as pykafka cannot read; set compression.type=gzip on the"
    " topic for what comes, or use kafka://",
}

T = TypeVar("T")


class Refusal(Exception):
    """An error code in an answer: what was asked was not done."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(code, what)
        self.code = code
        self.what = what

    def explained(self) -> PortError:
        """`Rejected` for what can never work, `Unavailable` otherwise."""
        if self.code in _REJECTED:
            return Rejected(_REJECTED[self.code], self.what)
        return Unavailable(f"{self.what}: {_words(self.code)}")


class Connection(BrokerSocket):
    """To one broker that speaks what pykafka does; raises `Unavailable` where it does not."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, context, max_answer_bytes=MAX_ANSWER_BYTES)
        self._check_versions()

    def call(self, request: Any, answer: Callable[[memoryview], T]) -> T:
        self.send(request)
        return self.receive(answer)

    def send(self, request: Any) -> None:
        self.send_bytes(request.get_bytes())

    def receive(self, answer: Callable[[memoryview], T], *, after_s: float = 0.0) -> T:
        """The answer to the oldest request; the broker may wait `after_s` before it gives one."""
        return answer(self.receive_bytes(after_s=after_s))

    def is_closed(self) -> bool:
        """Whether the broker hung up while nothing was asked, as it does after idle minutes."""
        return bool(readable([self], 0))

    def _check_versions(self) -> None:
        told = self.call(protocol.ApiVersionsRequest(), protocol.ApiVersionsResponse).api_versions
        gone = [
            f"{name} v{version}"
            for name, (key, version) in SPOKEN.items()
            if key not in told or not told[key].min <= version <= told[key].max
        ]
        if gone:
            self.close()
            raise Unavailable(
                f"{self.name}: this broker does not speak {', '.join(gone)} as pykafka does, which"
                " Kafka 4.0 took away; write kafka:// instead of pykafka:// in log_url"
            )


class PykafkaCluster:
    """Brokers at `host:port,…`; `certificates` None is plaintext. Connects at the first use."""

    def __init__(self, servers: str, certificates: Path | None) -> None:
        self.servers = servers
        self._seeds = deque(servers.split(","))
        self._certificates = certificates
        self._context: ssl.SSLContext | None = None
        self._open: dict[tuple[str, int], Connection] = {}
        self._leaders: dict[str, Mapping[int, Any]] = {}

    def another(self) -> "PykafkaCluster":
        """The same cluster over connections of its own."""
        return PykafkaCluster(self.servers, self._certificates)

    def leaders(self, topic: str) -> Mapping[int, Any]:
        """The broker that leads each partition; raises `Refusal`, `Rejected` for no such topic."""
        if topic not in self._leaders:
            metadata = self.metadata([topic])
            told = metadata.topics[topic.encode()]
            if told.err == UNKNOWN_TOPIC:
                raise Rejected("unknown-topic", topic)
            refuse(told.err, topic)
            for partition, place in told.partitions.items():
                if place.leader not in metadata.brokers:
                    raise Refusal(LEADER_NOT_AVAILABLE, f"{topic}:{partition}")
            self._leaders[topic] = {
                partition: metadata.brokers[place.leader]
                for partition, place in sorted(told.partitions.items())
            }
        return self._leaders[topic]

    def forget(self, topic: str) -> None:
        """Who leads its partitions may have changed."""
        self._leaders.pop(topic, None)

    def metadata(self, topics: Iterable[str] = ()) -> Any:
        """Brokers, controller, and what of these topics there is; of all, if none is named."""
        names = [topic.encode() for topic in topics]
        request = protocol.MetadataRequestV4(names, allow_topic_autocreation=False)
        return self.anywhere(
            lambda connection: connection.call(request, protocol.MetadataResponseV4)
        )

    def anywhere(self, ask: Callable[[Connection], T]) -> T:
        """Ask the first broker that answers; one that kept us waiting is asked last from now on."""
        trouble: Unavailable | None = None
        give_up_at = time.monotonic() + PASSES_S
        for _ in range(len(self._seeds)):
            host, _, port = self._seeds[0].rpartition(":")
            try:
                return ask(self.at(host.strip("[]"), int(port)))
            except Unavailable as exc:
                trouble = trouble or exc
                self.close()
                self._seeds.rotate(-1)
            if time.monotonic() > give_up_at:
                break
        raise trouble or Unavailable(f"{self.servers}: no broker")

    def of(self, broker: Any) -> Connection:
        """To a broker of the metadata."""
        return self.at(broker.host.decode(), broker.port)

    def at(self, host: str, port: int) -> Connection:
        found = self._open.pop((host, port), None)
        if found is not None and found.is_closed():
            found.close()
            found = None
        self._open[host, port] = found or Connection(host, port, self._tls())
        return self._open[host, port]

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Asking and hearing: where that is cut off, the next begins with new connections."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._leaders.clear()
        while self._open:
            self._open.popitem()[1].close()

    def _tls(self) -> ssl.SSLContext | None:
        if self._certificates is None:
            return None
        if self._context is None:
            self._context = tls_context(self._certificates)
        return self._context


def refuse(code: int, what: str) -> None:
    """Raise `Refusal` for any code but 0."""
    if code:
        raise Refusal(code, what)


def settled(ask: Callable[[], T]) -> T:
    """Ask again while a cluster that answers is still choosing who leads; raises `PortError`."""
    give_up_at = time.monotonic() + PASSES_S
    while True:
        try:
            return ask()
        except Refusal as exc:
            if exc.code not in _PASSING or time.monotonic() > give_up_at:
                raise exc.explained() from exc
        time.sleep(LOOK_S)


def _words(code: int) -> str:
    if code in _WORDS:
        return _WORDS[code]
    if code not in ERROR_CODES:
        return f"refused with Kafka's error {code}"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", ERROR_CODES[code].__name__).lower()
