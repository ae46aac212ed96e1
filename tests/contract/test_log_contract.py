"""What every MessageLog promises: order per key, durable appends, offsets, readers, retention."""

import os
import sqlite3
import subprocess
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.log_records import last_records, records_of
from local.simulator.clock import SimulatedClock
from qold import wiring
from qold.adapters.kafka_client import Cluster
from qold.adapters.log.kafka import KafkaLog
from qold.adapters.log.sqlite import RETENTION_MS, SqliteLog
from qold.clock import Clock, SystemClock
from qold.ports import PartitionOffsets, Rejected, Unavailable
from qold.settings import Settings
from tests.support.lost_answers import LostAnswers

NOW_MS = 1_795_456_000_000
ALL = {"max_records": 10_000, "max_bytes": 2**24, "wait_ms": 0}


@dataclass
class Technology:
    """Where a log is: a state folder and a URL; and the clock that its append times are of.

    `is_idempotent`: what was sent again because its answer was lost is there once. Without it an
    append that failed may be there twice after it was tried again, which at-least-once allows.
    `is_bounded`: each topic is read as one that gateways write.
    """

    state: Path
    url: str
    clock: Clock
    is_idempotent: bool = True
    is_bounded: bool = False

    @property
    def settings(self) -> Settings:
        return Settings.load(self.state, {"QOLD_LOG_URL": self.url})

    def open(self):
        if not self.is_bounded:
            return wiring.message_log(self.settings, self.clock)
        certificates = self.settings.secrets_dir / "certificates"
        cluster = Cluster(self.url.partition("://")[2], certificates)
        return KafkaLog(cluster, bounded=EveryTopic())


class EveryTopic:
    """Contains each name."""

    def __contains__(self, name):
        return True


@pytest.fixture(params=["sqlite", "kafka", "kafka-bounded", "pykafka"])
def technology(request, tmp_path):
    if request.param == "sqlite":
        return Technology(tmp_path, "sqlite:log.db", SimulatedClock(NOW_MS))
    client, _, bounded = request.param.partition("-")
    server = request.getfixturevalue(client)
    is_idempotent = client != "pykafka"
    return Technology(server.state, server.log_url, SystemClock(), is_idempotent, bool(bounded))


@pytest.fixture
def open_log(technology):
    """Opens the same log, each time as another process would."""
    opened = []

    def connect():
        opened.append(technology.open())
        return opened[-1]

    yield connect
    for log in opened:
        log.close()


@pytest.fixture
def topic(log):
    """Makes a topic of so many partitions, under a name that only this test has."""

    def make(partitions):
        name = f"t{partitions}.{uuid.uuid4().hex}"
        log.create_topics({name: partitions})
        return name

    return make


@pytest.fixture
def log(open_log):
    return open_log()


@pytest.fixture
def other_log(open_log):
    return open_log()


@pytest.fixture
def many(topic):
    """A topic of four partitions."""
    return topic(4)


@pytest.fixture
def one(topic):
    """A topic of one partition."""
    return topic(1)


def read_all(log, topic, consumer="test", **options):
    partitions = range(log.partition_count(topic))
    reader = log.reader(consumer, topic, partitions, **options)
    records = []
    while found := reader.poll(partitions, **ALL):
        assert len({record.partition for record in found}) == 1
        records += found
    return records


def test_records_of_one_key_keep_their_order(log, many):
    entries = [(str(i % 7), str(i).encode()) for i in range(100)]
    log.append(many, entries[:50])
    log.append(many, entries[50:])
    records = read_all(log, many)
    assert len(records) == 100
    for key in map(str, range(7)):
        values = [r.value for r in records if r.key == key]
        assert values == [value for k, value in entries if k == key]
        assert len({r.partition for r in records if r.key == key}) == 1


def test_offsets_rise_without_a_gap_and_the_end_is_known(log, one):
    log.append(one, [("k", b"1"), ("k", b"2")])
    log.append(one, [("k", b"3")])
    assert [r.offset for r in read_all(log, one)] == [0, 1, 2]
    assert log.offsets(one) == {0: PartitionOffsets(0, 3)}


def test_the_append_time_is_the_logs_own(log, technology, one):
    clock = technology.clock
    between = [clock.wall_ms()]
    for value in (b"1", b"2"):
        log.append(one, [("k", value)])
        between.append(clock.wall_ms())
        if isinstance(clock, SimulatedClock):
            clock.advance_to(clock.wall_ms() + 5)
    first, second = (record.appended_at_ms for record in read_all(log, one))
    assert between[0] <= first <= between[1] <= second
    assert second <= clock.wall_ms()


def test_any_bytes_and_any_key_come_back(log, one):
    """Empty, NUL, invalid UTF-8, a megabyte; keys with every kind of sign."""
    values = [b"", b"\x00", b"\xff\xfe", b"x" * 2**20]
    keys = ["", "device:1", "ключ", "a\x00b"]
    log.append(one, list(zip(keys, values, strict=True)))
    assert [(r.key, r.value) for r in read_all(log, one)] == list(zip(keys, values, strict=True))


def test_appending_nothing_is_allowed(log, many):
    log.append(many, [])
    assert read_all(log, many) == []


@pytest.mark.parametrize("call", ["append", "partition_count", "offsets", "reader"])
def test_a_topic_nobody_made_is_refused(log, call):
    calls = {
        "append": lambda: log.append("nope", [("k", b"v")]),
        "partition_count": lambda: log.partition_count("nope"),
        "offsets": lambda: log.offsets("nope"),
        "reader": lambda: log.reader("c", "nope", [0]),
    }
    with pytest.raises(Rejected, match="unknown-topic"):
        calls[call]()


def test_creating_a_topic_again_keeps_it(log, many, one):
    log.append(many, [("k", b"v")])
    new = f"new.{many}"
    log.create_topics({many: 9, new: 2})
    assert {one: 1, new: 2, many: 4}.items() <= log.topics().items()
    assert len(read_all(log, many)) == 1


def test_a_consumer_resumes_behind_what_it_committed(log, open_log, one):
    log.append(one, [("k", str(i).encode()) for i in range(5)])
    reader = log.reader("raw", one, [0])
    reader.poll([0], **ALL)
    reader.commit({0: 3})
    again = open_log()
    assert [r.offset for r in read_all(again, one, "raw")] == [3, 4]
    assert [r.offset for r in read_all(again, one, "other")] == [0, 1, 2, 3, 4]
    assert again.committed("raw", one) == {0: 3}


def test_a_commit_never_moves_back(log, one):
    log.append(one, [("k", b"v")] * 5)
    reader = log.reader("raw", one, [0])
    reader.commit({0: 4})
    reader.commit({0: 2})
    assert log.committed("raw", one) == {0: 4}


def test_a_new_consumer_starts_where_it_is_told(log, one):
    log.append(one, [("k", b"old")])
    latest = log.reader("late", one, [0], start="latest")
    log.append(one, [("k", b"new")])
    assert [r.value for r in latest.poll([0], **ALL)] == [b"new"]


def test_a_new_consumer_starts_at_an_offset_and_a_known_one_where_it_was(log, many):
    log.append(many, [(str(i), b"%d" % i) for i in range(200)])
    start = {p: ends.next - 2 for p, ends in log.offsets(many).items()}
    reader = log.reader("new", many, range(4), start=start)
    found = []
    while records := reader.poll(range(4), **ALL):
        found += records
    assert sorted((r.partition, r.offset) for r in found) == [
        (p, first + n) for p, first in start.items() for n in range(2)
    ]
    reader.commit({0: start[0] + 1})
    again = log.reader("new", many, [0], start={0: 0})
    assert [r.offset for r in again.poll([0], **ALL)] == [start[0] + 1]


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_the_end_of_a_topic_is_read_without_what_lies_before(log, many, count):
    log.append(many, [(str(i), b"%d" % i) for i in range(200)])
    everything = list(records_of(log, many, consumer="all"))
    found, reader = last_records(log, many, count, consumer="end")
    for partition in range(4):
        own = [r for r in everything if r.partition == partition]
        assert [r for r in found if r.partition == partition] == own[
            len(own) - min(count, len(own)) :
        ]
    log.append(many, [("k", b"later")])
    assert [r.value for r in reader.poll(range(4), **{**ALL, "wait_ms": 30_000})] == [b"later"]


def test_a_poll_gives_one_partition_and_takes_turns(log, many):
    log.append(many, [(str(i), b"v") for i in range(200)])
    reader = log.reader("c", many, range(4))
    for partition in range(4):  # a log that is far away has then sent something of each
        assert len(reader.poll([partition], max_records=1, max_bytes=10**6, wait_ms=0)) == 1
    seen = [
        reader.poll(range(4), max_records=3, max_bytes=10**6, wait_ms=0)[0].partition
        for _ in range(8)
    ]
    assert seen[:4] * 2 == seen
    assert sorted(seen[:4]) == [0, 1, 2, 3]


def test_a_poll_leaves_out_partitions_that_are_not_asked(log, many):
    log.append(many, [(str(i), b"v") for i in range(50)])
    reader = log.reader("c", many, range(4))
    assert {r.partition for r in reader.poll([2], **ALL)} == {2}
    assert reader.poll([], **ALL) == []


def test_a_poll_is_bounded_in_records_and_bytes_but_always_goes_on(log, one):
    """Bad input: a record larger than the limit must not stop the reader for ever."""
    log.append(one, [("k", b"x" * 100)] * 5 + [("k", b"y" * 1000), ("k", b"z")])
    reader = log.reader("c", one, [0])
    sizes = []
    while found := reader.poll([0], max_records=3, max_bytes=250, wait_ms=0):
        sizes.append([len(r.value) for r in found])
    assert [size for some in sizes for size in some] == [100] * 5 + [1000, 1]
    assert all(len(some) <= 3 and (sum(some) <= 250 or len(some) == 1) for some in sizes)
    assert [100, 100] in sizes


def test_a_waiting_poll_sees_what_another_process_appends(log, technology, one):
    reader = log.reader("c", one, [0])
    assert reader.poll([0], **ALL) == []
    script = (
        "from qold import wiring; from qold.clock import SystemClock;"
        "from qold.settings import Settings;"
        f"settings = Settings.load({str(technology.state)!r});"
        f"wiring.message_log(settings, SystemClock()).append({one!r}, [('k', b'v')])"
    )
    environ = {**os.environ, "QOLD_LOG_URL": technology.url}
    other = subprocess.Popen([sys.executable, "-c", script], env=environ)
    records = reader.poll([0], max_records=1, max_bytes=100, wait_ms=30_000)
    assert other.wait() == 0
    assert [r.value for r in records] == [b"v"]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.binary(max_size=4)), max_size=8),
        max_size=8,
    )
)
def test_two_writers_lose_and_double_nothing(log, other_log, topic, batches):
    name = topic(3)
    for number, batch in enumerate(batches):
        (log, other_log)[number % 2].append(name, batch)
    records = read_all(other_log, name)
    flat = [entry for batch in batches for entry in batch]
    for key in "abcdefgh":
        assert [r.value for r in records if r.key == key] == [v for k, v in flat if k == key]


@pytest.mark.parametrize("technology", ["kafka", "pykafka"], indirect=True)
def test_an_append_whose_answer_is_lost_is_there_as_often_as_declared(technology, log, one):
    """The connection breaks behind the write; whoever is told so appends again."""
    with LostAnswers(technology.url, technology.state) as between:
        far = wiring.message_log(
            replace(technology.settings, log_url=between.url), technology.clock
        )
        far.append(one, [("k", b"before")])
        between.lose_next()
        try:
            far.append(one, [("k", b"v")])
        except Unavailable:
            far.append(one, [("k", b"v")])
        far.append(one, [("k", b"after")])
        far.close()
    assert between.lost == 1
    times = 1 if technology.is_idempotent else 2
    assert [r.value for r in read_all(log, one)] == [b"before", *[b"v"] * times, b"after"]


class TestRetention:
    """How the embedded log lets records go; on Kafka the broker does it."""

    @pytest.fixture
    def clock(self):
        return SimulatedClock(NOW_MS)

    @pytest.fixture
    def log(self, tmp_path, clock):
        log = SqliteLog(tmp_path / "log.db", clock=clock, max_bytes=2**20)
        log.create_topics({"config": 1})
        yield log
        log.close()

    def test_what_everybody_has_goes_after_a_week(self, log, clock):
        log.append("config", [("k", b"1"), ("k", b"2")])
        clock.advance_to(NOW_MS + 1000)
        log.append("config", [("k", b"3")])
        log.reader("a", "config", [0]).commit({0: 3})
        log.reader("b", "config", [0]).commit({0: 1})
        clock.advance_to(NOW_MS + RETENTION_MS + 1)
        log.prune()
        assert [r.value for r in read_all(log, "config")] == [b"2", b"3"]
        assert log.offsets("config") == {0: PartitionOffsets(1, 3)}

    def test_nothing_younger_than_a_week_goes(self, log, clock):
        log.append("config", [("k", b"1")])
        log.reader("a", "config", [0]).commit({0: 1})
        clock.advance_to(NOW_MS + RETENTION_MS - 1)
        assert log.prune() == 0

    def test_a_topic_without_consumers_keeps_a_week(self, log, clock):
        log.append("config", [("k", b"1")])
        clock.advance_to(NOW_MS + RETENTION_MS + 1)
        log.append("config", [("k", b"2")])
        log.prune()
        assert [r.value for r in read_all(log, "config")] == [b"2"]

    def test_a_full_log_gives_up_what_was_read_and_never_what_was_not(self, log, caplog):
        log.append("config", [("k", bytes(1000))] * 2000)
        reader = log.reader("slow", "config", [0])
        assert log.prune() == 0
        assert "full" in caplog.text
        reader.commit({0: 1500})
        assert log.prune() == 1500
        assert len(read_all(log, "config", "slow")) == 500

    def test_a_reader_whose_position_is_gone_goes_on_with_the_oldest_and_says_so(
        self, log, clock, caplog
    ):
        log.append("config", [("k", b"1")])
        reader = log.reader("slow", "config", [0])
        clock.advance_to(NOW_MS + RETENTION_MS + 1)
        log.append("config", [("k", b"2")])
        log.prune()
        assert [r.value for r in reader.poll([0], **ALL)] == [b"2"]
        assert "consumer=slow missed config:0:0-0" in caplog.text


class TestFile:
    """The embedded file's own ways to fail."""

    def test_a_file_of_a_newer_version_is_refused_with_the_fix(self, tmp_path):
        with sqlite3.connect(tmp_path / "log.db") as db:
            db.execute("PRAGMA user_version=99")
        db.close()
        with pytest.raises(Unavailable, match="newer Qold"):
            SqliteLog(tmp_path / "log.db", clock=SystemClock()).topics()

    def test_a_file_that_is_no_database_is_unavailable(self, tmp_path):
        (tmp_path / "log.db").write_bytes(b"not a database at all" * 100)
        with pytest.raises(Unavailable, match="not a database"):
            SqliteLog(tmp_path / "log.db", clock=SystemClock()).topics()

    def test_a_folder_that_cannot_be_made_is_unavailable(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(Unavailable):
            SqliteLog(tmp_path / "file" / "log.db", clock=SystemClock()).topics()

    def test_the_file_is_for_its_owner_only(self, tmp_path):
        SqliteLog(tmp_path / "log.db", clock=SystemClock()).topics()
        assert (tmp_path / "log.db").stat().st_mode & 0o777 == 0o600
