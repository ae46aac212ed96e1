"""Connections to the brokers of one Kafka cluster, up to 3.9, speaking pykafka's protocol.

Requests, answers and records are pykafka's; the connection is ours, because pykafka's loses why it
failed, checks no host name and waits without a limit. Nothing is sent twice here.
"""

import re
import select
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from qold.adapters.kafka_cluster import ANSWER_S, LOOK_S, PASSES_S, OwnCertificate
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


class Connection:
    """To one broker that speaks what pykafka does; raises `Unavailable` where it does not."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self.name = f"{host}:{port}"
        with self._in_words():
            self._socket = socket.create_connection((host, port), timeout=ANSWER_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
        self._check_versions()

    def call(self, request: Any, answer: Callable[[memoryview], T]) -> T:
        self.send(request)
        return self.receive(answer)

    def send(self, request: Any) -> None:
        with self._in_words():
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(request.get_bytes())

    def receive(self, answer: Callable[[memoryview], T], *, after_s: float = 0.0) -> T:
        """The answer to the oldest request; the broker may wait `after_s` before it gives one."""
        give_up_at = time.monotonic() + after_s + ANSWER_S
        with self._in_words():
            (size,) = struct.unpack("!i", self._exactly(4, give_up_at))
            if not 4 <= size <= MAX_ANSWER_BYTES:
                raise Unavailable(f"{self.name}: no Kafka, or a door for TLS")
            content = self._exactly(size, give_up_at)
        return answer(memoryview(content)[4:])  # behind the correlation id

    def is_closed(self) -> bool:
        """Whether the broker hung up while nothing was asked, as it does after idle minutes."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:
        # Readers that nobody closes go without a word with the other client.
        if hasattr(self, "_socket"):
            self.close()

    def _exactly(self, size: int, give_up_at: float) -> bytearray:
        content = bytearray(size)
        view = memoryview(content)
        while view:
            self._socket.settimeout(max(0.001, give_up_at - time.monotonic()))
            if not (count := self._socket.recv_into(view)):
                raise Unavailable(f"{self.name}: the broker closed the connection")
            view = view[count:]
        return content

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

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            raise Unavailable(f"{self.name}: no answer") from exc
        except (OSError, ValueError) as exc:  # ValueError: a certificate that is none
            raise Unavailable(f"{self.name}: {exc}") from exc


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
            own = OwnCertificate.of(self._certificates)
            try:
                self._context = ssl.create_default_context(cafile=str(own.ca))
                self._context.load_cert_chain(own.chain, own.key)
            except OSError as exc:
                self._context = None
                raise Unavailable(f"{own.chain}: {exc}") from exc
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
