"""What only a log on another machine can do: be away, forget, be made anew, and refuse us."""

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AclOperation

from local.log_records import last_records
from local.services.kafka import Kafka
from local.services.place import Place
from qold import wiring
from qold.adapters.kafka_client import Cluster
from qold.clock import SystemClock
from qold.ports import MessageLog, PartitionOffsets, Record, Rejected, Unavailable
from qold.settings import Settings, SettingsError
from tests.support.ended_producer import REFUSED, EndedProducer

PATIENCE_S = 60.0
READERS = pytest.mark.parametrize("client", ["kafka", "kafka-bounded", "pykafka"], indirect=True)
ALL = {"max_records": 10_000, "max_bytes": 2**24, "wait_ms": 0}


@pytest.fixture(params=["kafka", "pykafka"])
def client(request: Any) -> str:
    """What reads; `bounded` is the reader of topics that gateways write."""
    return str(request.param)


@pytest.fixture
def broker(client: str, request: Any) -> Kafka:
    """A Kafka of the line that each client is for."""
    found: Kafka = request.getfixturevalue(client.partition("-")[0])
    return found


@pytest.fixture
def name() -> str:
    return f"t.{uuid.uuid4().hex}"


@pytest.fixture
def settings(broker: Kafka, client: str, name: str) -> Settings:
    environ = {"QOLD_LOG_URL": broker.log_url}
    if client.endswith("-bounded"):
        environ["QOLD_REPORTS_TOPIC"] = name
    return Settings.load(broker.state, environ)


@pytest.fixture
def log(settings: Settings) -> Iterator[MessageLog]:
    log = wiring.message_log(settings, SystemClock())
    yield log
    log.close()


@pytest.fixture
def topic(log: MessageLog, name: str) -> str:
    log.create_topics({name: 1})
    return name


def appended(log: MessageLog, topic: str, *values: bytes) -> None:
    log.append(topic, [("k", value) for value in values])


def values(records: list[Record]) -> list[bytes]:
    return [record.value for record in records]


def read_until(reader: Any, count: int) -> list[bytes]:
    """So many values; fails after as many empty polls as patience has seconds."""
    found: list[bytes] = []
    for _ in range(round(PATIENCE_S)):
        found += values(reader.poll([0], **{**ALL, "wait_ms": 1000}))
        if len(found) >= count:
            return found
    raise AssertionError(f"only {found}")


@pytest.fixture
def forget(broker: Kafka) -> Callable[[str, int], None]:
    """Delete the records of a topic before an offset, as retention does."""

    def delete(topic: str, before: int) -> None:
        done = broker.access.admin.delete_records([TopicPartition(topic, 0, before)])
        for future in done.values():
            future.result(PATIENCE_S)

    return delete


@READERS
def test_a_committed_offset_that_retention_has_passed_is_told(
    log: MessageLog, topic: str, forget: Any, caplog: Any
) -> None:
    appended(log, topic, b"0", b"1", b"2", b"3")
    reader = log.reader("slow", topic, [0])
    reader.commit({0: 1})
    reader.close()
    forget(topic, 3)
    assert log.offsets(topic) == {0: PartitionOffsets(3, 4)}
    with caplog.at_level(logging.WARNING):
        reader = log.reader("slow", topic, [0])
        assert read_until(reader, 1) == [b"3"]
    assert f"consumer=slow missed {topic}:0:1-2" in caplog.text
    reader.close()


@READERS
def test_a_topic_made_anew_is_read_from_its_beginning(
    log: MessageLog, topic: str, broker: Kafka, caplog: Any
) -> None:
    """Its committed offset and its position are of the topic before."""
    appended(log, topic, b"0", b"1", b"2")
    reader = log.reader("c", topic, [0])
    assert read_until(reader, 3) == [b"0", b"1", b"2"]
    reader.commit({0: 3})
    broker.access.admin.delete_topics([topic])[topic].result(PATIENCE_S)
    while topic in log.topics():
        pass
    with pytest.raises(Rejected, match="unknown-topic"):
        log.partition_count(topic)
    log.create_topics({topic: 1})
    appended(log, topic, b"new")
    again = log.reader("c", topic, [0])
    assert read_until(again, 1) == [b"new"]
    again.commit({0: 1})
    assert log.committed("c", topic) == {0: 1}
    again.close()
    reader.close()


def test_the_last_change_of_a_key_stays(log: MessageLog, settings: Settings, broker: Kafka) -> None:
    config = broker.access.topic_settings(settings.config_topic)
    assert config["cleanup.policy"] == "compact"


def test_a_value_that_is_too_large_is_refused_and_nothing_of_its_batch_is_there(
    log: MessageLog, topic: str
) -> None:
    with pytest.raises(Rejected, match="too-large"):
        appended(log, topic, b"small", bytes(3 * 2**20))
    assert log.offsets(topic) == {0: PartitionOffsets(0, 0)}


def test_an_append_of_more_than_the_queue_holds_arrives_whole(log: MessageLog, topic: str) -> None:
    log.append(topic, [("k", b"%d" % number) for number in range(150_000)])
    assert log.offsets(topic) == {0: PartitionOffsets(0, 150_000)}


@pytest.mark.parametrize("call", ["append", "topics", "offsets", "committed", "reader", "ping"])
def test_nobody_there_is_unavailable(
    broker: Kafka, settings: Settings, call: str, tmp_path: Path
) -> None:
    nobody = f"{broker.scheme}://127.0.0.1:{Place(tmp_path).port('nobody')}"
    log = wiring.message_log(replace(settings, log_url=nobody), SystemClock())
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: log.append("reports", [("k", b"v")]),
        "topics": log.topics,
        "offsets": lambda: log.offsets("reports"),
        "committed": lambda: log.committed("c", "reports"),
        "reader": lambda: log.reader("c", "reports", [0]),
        "ping": log.ping,
    }
    with pytest.raises(Unavailable, match=r"refused|transport|down"):
        calls[call]()
    log.close()


def test_what_is_committed_is_asked_for_over_connections_that_stay(kafka: Kafka) -> None:
    """A handshake for each question made a look at every topology take a second."""
    settings = Settings.load(kafka.state, {"QOLD_LOG_URL": kafka.log_url})
    log = wiring.message_log(settings, SystemClock())
    topic = f"t.{uuid.uuid4().hex}"
    log.create_topics({topic: 1})
    appended(log, topic, b"one", b"two")
    reader = log.reader("c", topic, [0])
    others = connections_to(kafka.inner_port)
    assert log.committed("c", topic) == {}
    kept = connections_to(kafka.inner_port) - others
    assert kept
    for offset in (1, 2):
        reader.commit({0: offset})
        assert log.committed("c", topic) == {0: offset}
    assert kept <= connections_to(kafka.inner_port)
    reader.close()
    log.close()
    assert not kept & connections_to(kafka.inner_port)


def connections_to(port: int) -> set[str]:
    """Sockets of this process that are connected to a port."""
    own = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            own.add(os.readlink(descriptor))
    lines = [
        line.split() for line in Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]
    ]
    found = {f"socket:[{words[9]}]" for words in lines if words[2].endswith(f":{port:04X}")}
    return found & own


def test_the_end_of_a_topic_is_found_across_offsets_that_hold_no_record(kafka: Kafka) -> None:
    """As compaction leaves them, and here the marks that end transactions."""
    settings = Settings.load(kafka.state, {"QOLD_LOG_URL": kafka.log_url})
    log = wiring.message_log(settings, SystemClock())
    topic = f"t.{uuid.uuid4().hex}"
    log.create_topics({topic: 1})
    cluster = Cluster(kafka.log_url.partition("://")[2], settings.secrets_dir / "certificates")
    producer = Producer(cluster.configuration(**{"transactional.id": topic}))
    producer.init_transactions(PATIENCE_S)
    for number in range(20):
        producer.begin_transaction()
        producer.produce(topic, b"%d" % number)
        producer.commit_transaction(PATIENCE_S)
    assert log.offsets(topic) == {0: PartitionOffsets(0, 40)}
    found, reader = last_records(log, topic, 5, consumer="end")
    assert values(found)[-5:] == [b"15", b"16", b"17", b"18", b"19"]
    assert len(found) < 20
    reader.close()
    log.close()


def test_no_certificate_is_named(broker: Kafka, tmp_path: Path) -> None:
    log = wiring.message_log(
        Settings.load(tmp_path, {"QOLD_LOG_URL": broker.log_url}), SystemClock()
    )
    with pytest.raises(Unavailable, match=r"qold\.pem"):
        log.topics()


def test_a_certificate_of_another_authority_is_named(broker: Kafka, tmp_path: Path) -> None:
    """Ours does not know the broker's, either."""
    Place(tmp_path).authority.certificate("qold", unit="services")
    log = wiring.message_log(
        Settings.load(tmp_path, {"QOLD_LOG_URL": broker.log_url}), SystemClock()
    )
    with pytest.raises(Unavailable, match="certificate verify failed"):
        log.topics()
    log.close()


def test_without_the_right_to_write_it_is_away_and_then_it_is_not(
    broker: Kafka, topic: str, tmp_path: Path
) -> None:
    """A broker that shows a topic and refuses to let us write ends the producer for good."""
    shown = Place(broker.state).authority.certificate("half", unit="services")
    ours = Settings.load(tmp_path, {"QOLD_LOG_URL": broker.log_url})
    shown.carry_to(ours.secrets_dir / "certificates", "qold")
    broker.access.allow("service-half", [topic], [AclOperation.DESCRIBE])
    log = wiring.message_log(ours, SystemClock())
    for _ in range(30):
        with pytest.raises(Unavailable, match=r"(?i)authorization failed"):
            appended(log, topic, b"v")
    broker.access.allow("service-half", [topic])
    appended(log, topic, b"v")
    log.close()
    broker.access.forbid("service-half")


def test_an_end_without_its_exception_is_told_with_its_reason(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then confluent-kafka loses on the way what it raised in a callback."""
    monkeypatch.setattr("qold.adapters.log.kafka.Producer", EndedProducer)
    log = wiring.message_log(
        Settings.load(kafka.state, {"QOLD_LOG_URL": kafka.log_url}), SystemClock()
    )
    topic = f"t.{uuid.uuid4().hex}"
    log.create_topics({topic: 1})
    with pytest.raises(Unavailable, match=f"^{topic}: {REFUSED}$"):
        appended(log, topic, b"v")
    monkeypatch.undo()
    appended(log, topic, b"v")
    log.close()


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://a:1/topic",
        "kafka://a:1?acks=0",
        "kafka+plaintext:///x",
        "kafka://a:1,b",
        "pykafka://a",
        "pykafka+plaintext://a:1,:2",
    ],
)
def test_a_wrong_url_is_refused(url: str, tmp_path: Path) -> None:
    """Tried: nobody, a path, an option, only a path, no port, no host."""
    with pytest.raises(SettingsError, match="log_url"):
        wiring.message_log(Settings.load(tmp_path, {"QOLD_LOG_URL": url}), SystemClock())
