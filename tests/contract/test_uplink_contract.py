"""What every uplink must do; one suite, a column per technology."""

import os
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation

from gateway.clock import SystemClock
from gateway.output.uplink import Uplink, UplinkUnavailable, uplink_for
from gateway.output.uplink.sqlite import SqliteUplink
from gateway.settings import SettingsError
from local.services.kafka import Kafka
from local.simulator.clock import SimulatedClock
from qold import wiring
from qold.adapters.log.sqlite import SqliteLog
from qold.ports import MessageLog, Record
from qold.settings import Settings
from tests.support.ended_producer import EndedProducer
from tests.support.gateways import NOW_MS
from tests.support.processes import wait_until
from tests.support.servers import Servers

TOPIC = "reports"


@dataclass
class Technology:
    """An uplink, the log behind it as its consumers see it, and how to take it away."""

    uplink: Uplink
    log: MessageLog
    take_away: Callable[[], None]
    bring_back: Callable[[], None]
    topic: str = TOPIC

    def publish(self, values: list[bytes], *, key: str = "1") -> int:
        return self.uplink.publish(self.topic, values, key=key)

    def records(self) -> list[Record]:
        return records(self.log, self.topic)


@pytest.fixture(params=["sqlite", "kafka"])
def technology(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Technology]:
    if request.param == "kafka":
        kafka, servers = (request.getfixturevalue(name) for name in ("kafka", "servers"))
        made = _kafka(kafka, servers, tmp_path)
    else:
        made = _sqlite(tmp_path)
    yield made
    made.uplink.close()
    made.log.close()


def _kafka(kafka: Kafka, servers: Servers, folder: Path) -> Technology:
    topic = f"reports.{uuid.uuid4().hex}"
    settings = Settings.load(servers.place.state, {"QOLD_LOG_URL": kafka.log_url})
    log = wiring.message_log(settings, SystemClock())
    log.create_topics({topic: 4})
    kafka.access.allow("gateway-1", [topic])
    kafka.write_gateway_certificates(1, folder / "certificates")
    uplink = uplink_for(kafka.uplink_url, SystemClock(), certificates=folder / "certificates")

    def take_away() -> None:
        os.kill(servers.pid(kafka.name), signal.SIGKILL)

    def bring_back() -> None:
        def is_back() -> bool:
            servers.restart_dead()
            return kafka.is_ready()

        wait_until(is_back, "the broker answers again", patience_s=240)

    return Technology(uplink, log, take_away, bring_back, topic)


def _sqlite(folder: Path) -> Technology:
    path, aside = folder / "log.db", folder / "log.db.away"
    log = SqliteLog(path, clock=SystemClock())
    log.create_topics({TOPIC: 4})
    uplink = SqliteUplink(path, SystemClock())

    def take_away() -> None:
        log.close()
        path.rename(aside)
        uplink.close()

    return Technology(uplink, log, take_away, lambda: _renamed(aside, path))


def _renamed(source: Path, target: Path) -> None:
    source.rename(target)


def records(log: MessageLog, topic: str = TOPIC) -> list[Record]:
    partitions = range(log.partition_count(topic))
    reader = log.reader("test", topic, partitions)
    found: list[Record] = []
    while batch := reader.poll(partitions, max_records=500, max_bytes=10**6, wait_ms=0):
        found += batch
    reader.close()
    return found


def test_what_is_published_is_read_in_order(technology: Technology) -> None:
    values = [b"%d" % n for n in range(100)]
    assert technology.publish(values[:60], key="1") == 60
    assert technology.publish(values[60:], key="1") == 40
    assert [record.value for record in technology.records()] == values


def test_one_key_is_one_partition(technology: Technology) -> None:
    for number in range(3):
        for key in ("1", "2", "3", "4", "5"):
            technology.publish([b"%d" % number], key=key)
    found = technology.records()
    for key in ("1", "2", "3", "4", "5"):
        assert [r.value for r in found if r.key == key] == [b"0", b"1", b"2"]
        assert len({r.partition for r in found if r.key == key}) == 1
    assert len({record.partition for record in found}) > 1


def test_its_partition_is_the_one_other_writers_choose(technology: Technology) -> None:
    for key in ("1", "2", "77"):
        technology.publish([b"uplink"], key=key)
        technology.log.append(technology.topic, [(key, b"log")])
    by_key: dict[str, set[int]] = {}
    for record in technology.records():
        by_key.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in by_key.values())


def test_the_append_time_is_set(technology: Technology) -> None:
    before_ms = SystemClock().wall_ms()
    technology.publish([b"x"], key="1")
    (record,) = technology.records()
    assert before_ms <= record.appended_at_ms <= SystemClock().wall_ms()


def test_bytes_pass_unchanged(technology: Technology) -> None:
    values = [bytes(range(256)), b"", b"x" * 200_000]
    technology.publish(values, key="1")
    assert [record.value for record in technology.records()] == values


def test_nothing_to_publish_is_nothing(technology: Technology) -> None:
    assert technology.publish([], key="1") == 0
    assert technology.records() == []


def test_away_is_unavailable_and_back_goes_on(technology: Technology) -> None:
    technology.publish([b"1"], key="1")
    technology.take_away()
    with pytest.raises(UplinkUnavailable):
        technology.publish([b"2"], key="1")
    technology.bring_back()
    assert technology.publish([b"2"], key="1") == 1
    assert [record.value for record in technology.records()] == [b"1", b"2"]


def test_closing_twice_and_publishing_again_is_allowed(technology: Technology) -> None:
    technology.uplink.close()
    technology.publish([b"1"], key="1")
    technology.uplink.close()
    technology.uplink.close()
    technology.publish([b"2"], key="1")
    assert len(technology.records()) == 2


class TestSqliteFile:
    """What only a file can have wrong."""

    @pytest.fixture
    def log(self, tmp_path: Path) -> SqliteLog:
        log = SqliteLog(tmp_path / "log.db", clock=SimulatedClock(NOW_MS))
        log.create_topics({TOPIC: 2})
        return log

    @pytest.fixture
    def uplink(self, tmp_path: Path) -> Iterator[SqliteUplink]:
        uplink = SqliteUplink(tmp_path / "log.db", SimulatedClock(NOW_MS))
        yield uplink
        uplink.close()

    def test_no_file_is_not_made_and_the_error_names_the_fix(
        self, uplink: SqliteUplink, tmp_path: Path
    ) -> None:
        with pytest.raises(UplinkUnavailable, match=r"\./qold up"):
            uplink.publish(TOPIC, [b"x"], key="1")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "script", ["PRAGMA user_version = 0; CREATE TABLE a (b)", "PRAGMA user_version = 2"]
    )
    def test_a_file_of_another_version_is_left_alone(
        self, uplink: SqliteUplink, tmp_path: Path, script: str
    ) -> None:
        connection = sqlite3.connect(tmp_path / "log.db")
        connection.executescript(script)
        connection.close()
        before = (tmp_path / "log.db").read_bytes()
        with pytest.raises(UplinkUnavailable, match="version"):
            uplink.publish(TOPIC, [b"x"], key="1")
        assert (tmp_path / "log.db").read_bytes() == before

    def test_a_file_that_is_none(self, uplink: SqliteUplink, tmp_path: Path) -> None:
        (tmp_path / "log.db").write_bytes(b"noise" * 4000)
        with pytest.raises(UplinkUnavailable, match="not a database"):
            uplink.publish(TOPIC, [b"x"], key="1")

    def test_a_missing_topic_is_made_as_the_log_would(
        self, uplink: SqliteUplink, log: SqliteLog
    ) -> None:
        uplink.publish("gateway.events", [b"1", b"2"], key="1")
        log.append("gateway.events", [("1", b"3")])
        assert [record.value for record in records(log, "gateway.events")] == [b"1", b"2", b"3"]
        assert records(log) == []

    def test_a_failed_append_leaves_nothing(
        self, uplink: SqliteUplink, log: SqliteLog, tmp_path: Path
    ) -> None:
        connection = sqlite3.connect(tmp_path / "log.db")
        connection.executescript(
            "CREATE TRIGGER full BEFORE INSERT ON records WHEN NEW.value = 'b'"
            " BEGIN SELECT raise(FAIL, 'full'); END"
        )
        with pytest.raises(UplinkUnavailable, match="full"):
            uplink.publish(TOPIC, [b"a", "b"], key="1")
        connection.execute("DROP TRIGGER full")
        connection.close()
        assert uplink.publish(TOPIC, [b"a"], key="1") == 1
        assert [record.value for record in records(log)] == [b"a"]

    def test_a_full_file_is_refused_until_it_was_read(self, log: SqliteLog, tmp_path: Path) -> None:
        """What is refused stays in the gateway's outbox."""
        uplink = uplink_for(f"sqlite://{tmp_path}/log.db?max_mb=1", SimulatedClock(NOW_MS))
        log.append(TOPIC, [("1", bytes(1000))] * 2000)
        with pytest.raises(UplinkUnavailable, match="full"):
            uplink.publish(TOPIC, [b"a"], key="1")
        reader = log.reader("reader", TOPIC, [0, 1])
        reader.commit({p: end.next for p, end in log.offsets(TOPIC).items()})
        reader_log = SqliteLog(tmp_path / "log.db", clock=SimulatedClock(NOW_MS), max_bytes=2**20)
        assert reader_log.prune() == 2000
        assert uplink.publish(TOPIC, [b"a"], key="1") == 1
        uplink.close()

    @pytest.mark.parametrize("url", ["sqlite:log.db", "sqlite:///l?max_mb=x", "sqlite:///l?a=1"])
    def test_a_wrong_url_is_refused(self, url: str) -> None:
        """Tried: a relative path, a size that is no number, an unknown option."""
        with pytest.raises(SettingsError, match=r"uplink\.url"):
            uplink_for(url, SimulatedClock(NOW_MS))


class TestKafkaUplink:
    """What only a cluster with certificates can refuse."""

    @pytest.mark.parametrize(
        "url", ["kafka://", "kafka://a:1/topic", "kafka://user:word@a:1", "kafka://a:1?acks=0"]
    )
    def test_a_wrong_url_is_refused(self, url: str, tmp_path: Path) -> None:
        """Tried: nobody, a path, a password, an option."""
        with pytest.raises(SettingsError, match=r"uplink\.url"):
            uplink_for(url, SystemClock(), certificates=tmp_path)

    def test_it_needs_certificates(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"uplink\.certificates"):
            uplink_for("kafka://a:1", SystemClock())
        uplink = uplink_for("kafka://a:1", SystemClock(), certificates=tmp_path)
        with pytest.raises(UplinkUnavailable, match=r"gateway\.key missing"):
            uplink.publish(TOPIC, [b"x"], key="1")

    def test_an_end_without_its_exception_is_told_with_its_reason(
        self, kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Now and then confluent-kafka loses on the way what it raised in a callback."""
        monkeypatch.setattr("gateway.output.uplink.kafka.Producer", EndedProducer)
        kafka.write_gateway_certificates(78, tmp_path)
        uplink = uplink_for(kafka.uplink_url, SystemClock(), certificates=tmp_path)
        with pytest.raises(UplinkUnavailable, match="may not write to reports"):
            uplink.publish(TOPIC, [b"x"], key="78")
        uplink.close()

    def test_a_gateway_without_rights_is_told_so(self, kafka: Kafka, tmp_path: Path) -> None:
        """Rights reach a broker a moment after they are given; a gateway tries again anyway."""
        kafka.write_gateway_certificates(77, tmp_path)
        uplink = uplink_for(kafka.uplink_url, SystemClock(), certificates=tmp_path)

        def is_refused() -> bool:
            try:
                assert uplink.publish(TOPIC, [b"x"], key="77") == 1
            except UplinkUnavailable as away:
                assert "may not write to reports" in str(away)  # noqa: PT017  # either may come
                return True
            return False

        assert is_refused()
        # Half of the rights: the broker shows the topic and refuses the producer itself, for good.
        kafka.access.allow("gateway-77", [TOPIC], [AclOperation.DESCRIBE])
        for _ in range(20):
            assert is_refused()
        kafka.allow_gateway(77)
        wait_until(lambda: not is_refused(), "the right to write")
        kafka.access.forbid("gateway-77")
        wait_until(is_refused, "no right to write")
        uplink.close()
