"""What the edge listener refuses before the broker unpacks it, with a gateway's own certificate."""

import ssl
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.clock import SystemClock as GatewayClock
from gateway.output.uplink import uplink_for
from local.services.kafka import Kafka
from local.simulator.record_batches import RawProducer, batch, gzip_of, record, zstd_of
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog
from qold.settings import Settings
from tests.support.servers import Servers

GATEWAY = 43
MIB = 2**20
# How a connection ends: while it is written to, or while an answer is awaited.
HUNG_UP = (ConnectionError, ssl.SSLError)


@pytest.fixture(scope="module")
def certificates(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gateway")
    kafka.write_gateway_certificates(GATEWAY, folder)
    return folder


@pytest.fixture(scope="module")
def log(kafka: Kafka) -> Iterator[MessageLog]:
    log = wiring.message_log(
        Settings.load(kafka.state, {"QOLD_LOG_URL": kafka.log_url}), SystemClock()
    )
    yield log
    log.close()


@pytest.fixture(scope="module")
def topic(kafka: Kafka, log: MessageLog) -> str:
    name = f"t.{uuid.uuid4().hex}"
    log.create_topics({name: 1})
    kafka.access.allow(f"gateway-{GATEWAY}", [name])
    return name


@pytest.fixture
def producer(kafka: Kafka, certificates: Path) -> Iterator[RawProducer]:
    files = ("ca.pem", "gateway.pem", "gateway.key")
    address = kafka.uplink_url.partition("://")[2]
    producer = RawProducer(address, tuple(certificates / name for name in files))
    yield producer
    producer.close()


def many(count: int) -> bytes:
    """The bytes of so many empty records, compressed."""
    return gzip_of(record(b"", key=None) * 10_000 for _ in range(count // 10_000))


POISON = {
    "a snappy stream that announces 1.9 GB": lambda: batch(
        b"\x80\xf3\xfd\x89\x07\x04ab", codec="snappy"
    ),
    "10 million records": lambda: batch(many(10_000_000), codec="gzip", count=10_000_000),
    "20 000 records with zstd": lambda: batch(
        zstd_of(record(b"", key=None) * 20_000), codec="zstd", count=20_000
    ),
    "gzip": lambda: batch(gzip_of([record(b"v")]), codec="gzip"),
    "24 MiB with zstd": lambda: batch(zstd_of(record(bytes(24 * MIB))), codec="zstd"),
    "two batches of 5 MiB with zstd": lambda: (
        batch(zstd_of(record(bytes(5 * MIB))), codec="zstd") * 2
    ),
    "lz4": lambda: batch(b"\x04\x22\x4d\x18", codec="lz4"),
    "a record with headers": lambda: batch(record(b"v", headers=1_000_000)),
    "a batch cut off": lambda: batch(record(b"v"))[:-1],
    "format 1": lambda: batch(record(b"v"))[:16] + b"\x01" + batch(record(b"v"))[17:],
    "no batch": lambda: b"\0" * 61,
    "6 MiB": lambda: batch(record(b"v")) + bytes(6 * MIB),
}


@pytest.mark.parametrize("poison", POISON)
def test_a_request_that_no_gateway_sends_ends_its_connection_and_nothing_else(
    servers: Servers, producer: RawProducer, log: MessageLog, topic: str, poison: str
) -> None:
    """Each of the first three ended the broker: Kafka takes them at their word."""
    broker = servers.pid("kafka")
    before = log.offsets(topic)
    with pytest.raises(HUNG_UP):
        producer.send(topic, 0, POISON[poison]())
    servers.restart_dead()
    assert servers.pid("kafka") == broker
    assert log.offsets(topic) == before


def test_what_a_gateway_sends_passes_the_edge(
    kafka: Kafka, certificates: Path, log: MessageLog, topic: str
) -> None:
    """Tried: an empty value, a report of 3 MiB that compresses, one that does not, 5 000 at once."""
    uplink = uplink_for(kafka.uplink_url, GatewayClock(), certificates=certificates)
    values = [b"", b"x" * 3 * MIB, uuid.uuid4().bytes * 16, *[b"%d" % n for n in range(5000)]]
    before = log.offsets(topic)[0].next
    assert uplink.publish(topic, values, key="43") == len(values)
    uplink.close()
    assert log.offsets(topic)[0].next == before + len(values)


def test_a_batch_without_compression_passes_the_edge(
    producer: RawProducer, log: MessageLog, topic: str
) -> None:
    before = log.offsets(topic)[0].next
    assert producer.send(topic, 0, batch(record(b"v") + record(None, delta=1), count=2)).code == 0
    assert log.offsets(topic)[0].next == before + 2
