"""What only pykafka meets: brokers that are too new for it, and what other clients write."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.log_records import records_of
from local.services.kafka import Kafka
from local.services.place import Place
from local.simulator.record_batches import RawProducer, batch, gzip_of, identity_of, record
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog, PartitionOffsets, Unavailable
from qold.settings import Settings
from tests.support.kafka_39 import Kafka39
from tests.support.servers import Servers

ALL = {"max_records": 10_000, "max_bytes": 2**24, "wait_ms": 0}


@pytest.fixture
def opened() -> Iterator[Callable[[Kafka, str], MessageLog]]:
    """A broker's log by the URL of a client."""
    logs = []

    def open_by(broker: Kafka, scheme: str) -> MessageLog:
        url = f"{scheme}://{broker.log_url.partition('://')[2]}"
        settings = Settings.load(broker.state, {"QOLD_LOG_URL": url})
        logs.append(wiring.message_log(settings, SystemClock()))
        return logs[-1]

    yield open_by
    for log in logs:
        log.close()


@pytest.mark.parametrize("call", ["append", "create_topics", "topics", "reader", "ping"])
def test_a_broker_of_kafka_4_is_refused_before_anything_is_sent(
    kafka: Kafka, opened: Any, call: str
) -> None:
    """pykafka itself says that it delivered, and no offset moves.

    A broker of Kafka 4 announces Produce v0 nevertheless, so that is not what it is known by.
    """
    topic = f"t.{uuid.uuid4().hex}"
    current = opened(kafka, "kafka")
    current.create_topics({topic: 1})
    log = opened(kafka, "pykafka")
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: log.append(topic, [("k", b"v")]),
        "create_topics": lambda: log.create_topics({f"{topic}.new": 1}),
        "topics": log.topics,
        "reader": lambda: log.reader("c", topic, [0]),
        "ping": log.ping,
    }
    with pytest.raises(
        Unavailable, match=r"not speak Fetch v2, .*Kafka 4\.0.*kafka:// instead of pykafka://"
    ):
        calls[call]()
    assert current.offsets(topic) == {0: PartitionOffsets(0, 0)}
    assert f"{topic}.new" not in current.topics()


def test_what_others_send_with_zstd_is_read(pykafka: Kafka, opened: Any) -> None:
    """A gateway's client compresses so; the topic gives it out in a form that is understood."""
    topic = f"t.{uuid.uuid4().hex}"
    ours, others = opened(pykafka, "pykafka"), opened(pykafka, "kafka")
    ours.create_topics({topic: 1})
    before_ms = SystemClock().wall_ms()
    values = [b"%d %s" % (number, b"x" * 1000) for number in range(3000)]
    others.append(topic, [("k", value) for value in values[:2999]])
    ours.append(topic, [("k", values[2999])])
    reader = ours.reader("c", topic, [0])
    found = []
    while records := reader.poll([0], **ALL):
        found += records
    assert [record.value for record in found] == values
    assert [record.offset for record in found] == list(range(3000))
    assert all(before_ms <= r.appended_at_ms <= SystemClock().wall_ms() for r in found)
    assert [r.offset for r in _from(ours, topic, 1234)] == list(range(1234, 3000))
    assert [r.value for r in _from(others, topic, 0)] == values


def test_zstd_in_a_topic_that_was_made_otherwise_is_told_with_the_fix(
    pykafka: Kafka, opened: Any
) -> None:
    topic = f"t.{uuid.uuid4().hex}"
    ours, others = opened(pykafka, "pykafka"), opened(pykafka, "kafka")
    others.create_topics({topic: 1})
    others.append(topic, [("k", b"x" * 10_000)] * 10)
    with pytest.raises(Unavailable, match=r"compression\.type=gzip"):
        ours.reader("c", topic, [0]).poll([0], **ALL)


def test_a_batch_larger_than_what_is_asked_for_is_read(pykafka: Kafka, opened: Any) -> None:
    topic = f"t.{uuid.uuid4().hex}"
    ours = opened(pykafka, "pykafka")
    ours.create_topics({topic: 1})
    large = uuid.uuid4().bytes * (2**17)
    ours.append(topic, [("k", b"first"), ("k", large), ("k", b"last")])
    assert [r.value for r in _from(ours, topic, 0)] == [b"first", large, b"last"]


@pytest.fixture(scope="module")
def plaintext(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker with the doors of the source, and the topics of the pipeline, made by pykafka."""
    servers = Servers(tmp_path_factory.mktemp("plaintext"))
    yield servers.use(lambda place: Kafka39(place, thesis=True))
    servers.close()


def test_a_plaintext_broker_is_written_and_read_without_certificates(
    plaintext: Kafka, opened: Any
) -> None:
    assert plaintext.log_url.startswith("pykafka+plaintext://")
    log = opened(plaintext, "pykafka+plaintext")
    settings = Settings.load(plaintext.state, {})
    assert settings.topics().keys() <= log.topics().keys()
    topic = f"t.{uuid.uuid4().hex}"
    log.create_topics({topic: 2})
    values = [b"%d" % number for number in range(5000)]
    log.append(topic, [(str(number % 7), value) for number, value in enumerate(values)])
    found = records_of(log, topic, consumer="all")
    assert sorted(record.value for record in found) == sorted(values)
    reader = log.reader("c", topic, [0, 1])
    ends = {number: offsets.next for number, offsets in log.offsets(topic).items()}
    reader.commit(ends)
    reader.close()
    assert log.committed("c", topic) == ends
    assert log.reader("c", topic, [0, 1]).poll([0, 1], **ALL) == []


def test_a_door_for_tls_is_not_taken_for_a_plaintext_one(
    pykafka: Kafka, plaintext: Kafka, opened: Any
) -> None:
    """Nor the other way round."""
    for broker, scheme, words in (
        (pykafka, "pykafka+plaintext", "closed the connection|a door for TLS"),
        (plaintext, "pykafka", "SSL|TLS|certificate|pem"),
    ):
        with pytest.raises(Unavailable, match=words):
            opened(broker, scheme).append("t", [("k", b"v")])


def _from(log: MessageLog, topic: str, offset: int) -> list[Any]:
    consumer = uuid.uuid4().hex
    reader = log.reader(consumer, topic, [0])
    if offset:
        reader.commit({0: offset})
        reader.close()
        reader = log.reader(consumer, topic, [0])
    found = []
    while records := reader.poll([0], **ALL):
        found += records
    reader.close()
    return found


def test_a_batch_that_unpacks_to_too_much_is_one_record_without_its_value(
    pykafka: Kafka, opened: Any
) -> None:
    """Tried: a batch of 24 MiB, a value of 5 MiB; honest records before and behind them."""
    topic = f"t.{uuid.uuid4().hex}"
    ours, others = opened(pykafka, "pykafka"), opened(pykafka, "kafka")
    ours.create_topics({topic: 1})
    identity = identity_of(Place(pykafka.state).authority.certificate("qold", unit="services"))
    producer = RawProducer(pykafka.log_url.partition("://")[2], identity)
    others.append(topic, [("k", b"before")])
    sizes = []
    for size in (24 * 2**20, 5 * 2**20):
        packed = gzip_of([record(bytes(size))])
        sizes.append(len(packed))
        assert producer.send(topic, 0, batch(packed, codec="gzip")).code == 0
    others.append(topic, [("k", b"behind")])
    producer.close()
    found = [(r.offset, r.value, r.unread_bytes) for r in _from(ours, topic, 0)]
    assert found[0] == (0, b"before", 0)
    assert found[3] == (3, b"behind", 0)
    assert [value for _, value, _ in found[1:3]] == [b"", b""]
    assert 0 < found[1][2] <= 2 * sizes[0]
    assert found[2][2] == 5 * 2**20
