"""What every MessageLog promises: order per key, durable appends, offsets, readers, retention."""

import os
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.simulator.clock import SimulatedClock
from qold.adapters.log.sqlite import RETENTION_MS, SqliteLog
from qold.ports import PartitionOffsets, Rejected, Unavailable

NOW_MS = 1_795_456_000_000
ALL = {"max_records": 10_000, "max_bytes": 2**24, "wait_ms": 0}


@pytest.fixture
def clock():
    return SimulatedClock(NOW_MS)


@pytest.fixture(params=["sqlite"])
def open_log(request, tmp_path, clock):
    """Opens the same log, each time as another process would."""
    opened = []

    def connect(**options):
        log = SqliteLog(tmp_path / "log.db", clock=clock, **options)
        opened.append(log)
        return log

    yield connect
    for log in opened:
        log.close()


@pytest.fixture
def log(open_log):
    log = open_log()
    log.create_topics({"readings": 4, "config": 1})
    return log


def read_all(log, topic="readings", consumer="test", **options):
    partitions = range(log.partition_count(topic))
    reader = log.reader(consumer, topic, partitions, **options)
    records = []
    while found := reader.poll(partitions, **ALL):
        assert len({record.partition for record in found}) == 1
        records += found
    return records


def test_records_of_one_key_keep_their_order(log):
    entries = [(str(i % 7), str(i).encode()) for i in range(100)]
    log.append("readings", entries[:50])
    log.append("readings", entries[50:])
    records = read_all(log)
    assert len(records) == 100
    for key in map(str, range(7)):
        values = [r.value for r in records if r.key == key]
        assert values == [value for k, value in entries if k == key]
        assert len({r.partition for r in records if r.key == key}) == 1


def test_offsets_rise_without_a_gap_and_the_end_is_known(log):
    log.append("config", [("k", b"1"), ("k", b"2")])
    log.append("config", [("k", b"3")])
    assert [r.offset for r in read_all(log, "config")] == [0, 1, 2]
    assert log.offsets("config") == {0: PartitionOffsets(0, 3)}


def test_the_append_time_is_the_logs_own(log, clock):
    log.append("config", [("k", b"1")])
    clock.advance_to(NOW_MS + 5)
    log.append("config", [("k", b"2")])
    assert [r.appended_at_ms for r in read_all(log, "config")] == [NOW_MS, NOW_MS + 5]


def test_any_bytes_and_any_key_come_back(log):
    """Empty, NUL, invalid UTF-8, a megabyte; keys with every kind of sign."""
    values = [b"", b"\x00", b"\xff\xfe", b"x" * 2**20]
    keys = ["", "device:1", "ключ", "a\x00b"]
    log.append("config", list(zip(keys, values, strict=True)))
    assert [(r.key, r.value) for r in read_all(log, "config")] == list(
        zip(keys, values, strict=True)
    )


def test_appending_nothing_is_allowed(log):
    log.append("readings", [])
    assert read_all(log) == []


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


def test_creating_a_topic_again_keeps_it(log):
    log.append("readings", [("k", b"v")])
    log.create_topics({"readings": 9, "new": 2})
    assert log.topics() == {"config": 1, "new": 2, "readings": 4}
    assert len(read_all(log)) == 1


def test_a_consumer_resumes_behind_what_it_committed(log, open_log):
    log.append("config", [("k", str(i).encode()) for i in range(5)])
    reader = log.reader("raw", "config", [0])
    reader.poll([0], **ALL)
    reader.commit({0: 3})
    again = open_log()
    assert [r.offset for r in read_all(again, "config", "raw")] == [3, 4]
    assert [r.offset for r in read_all(again, "config", "other")] == [0, 1, 2, 3, 4]
    assert again.committed("raw", "config") == {0: 3}


def test_a_commit_never_moves_back(log):
    log.append("config", [("k", b"v")] * 5)
    reader = log.reader("raw", "config", [0])
    reader.commit({0: 4})
    reader.commit({0: 2})
    assert log.committed("raw", "config") == {0: 4}


def test_a_new_consumer_starts_where_it_is_told(log):
    log.append("config", [("k", b"old")])
    latest = log.reader("late", "config", [0], start="latest")
    log.append("config", [("k", b"new")])
    assert [r.value for r in latest.poll([0], **ALL)] == [b"new"]


def test_a_poll_gives_one_partition_and_takes_turns(log):
    log.append("readings", [(str(i), b"v") for i in range(200)])
    reader = log.reader("c", "readings", range(4))
    seen = [
        reader.poll(range(4), max_records=3, max_bytes=10**6, wait_ms=0)[0].partition
        for _ in range(8)
    ]
    assert seen == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_poll_leaves_out_partitions_that_are_not_asked(log):
    log.append("readings", [(str(i), b"v") for i in range(50)])
    reader = log.reader("c", "readings", range(4))
    assert {r.partition for r in reader.poll([2], **ALL)} == {2}
    assert reader.poll([], **ALL) == []


def test_a_poll_is_bounded_in_records_and_bytes_but_always_goes_on(log):
    """Bad input: a record larger than the limit must not stop the reader for ever."""
    log.append("config", [("k", b"x" * 100)] * 5 + [("k", b"y" * 1000), ("k", b"z")])
    reader = log.reader("c", "config", [0])
    sizes = []
    while found := reader.poll([0], max_records=3, max_bytes=250, wait_ms=0):
        sizes.append([len(r.value) for r in found])
    assert sizes == [[100, 100], [100, 100], [100], [1000], [1]]


def test_a_waiting_poll_sees_what_another_process_appends(log, tmp_path):
    reader = log.reader("c", "config", [0])
    script = (
        "from qold.adapters.log.sqlite import SqliteLog; from qold.clock import SystemClock;"
        f"SqliteLog({str(tmp_path / 'log.db')!r}, clock=SystemClock()).append('config', [('k', b'v')])"
    )
    other = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
    records = reader.poll([0], max_records=1, max_bytes=100, wait_ms=30_000)
    assert other.wait() == 0
    assert [r.value for r in records] == [b"v"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.binary(max_size=4)), max_size=8),
        max_size=8,
    )
)
def test_two_writers_lose_and_double_nothing(open_log, tmp_path, batches):
    path = tmp_path / f"{os.urandom(8).hex()}.db"
    clock = SimulatedClock(NOW_MS)
    one, two = SqliteLog(path, clock=clock), SqliteLog(path, clock=clock)
    one.create_topics({"t": 3})
    for number, batch in enumerate(batches):
        (one, two)[number % 2].append("t", batch)
    records = read_all(two, "t")
    flat = [entry for batch in batches for entry in batch]
    for key in "abcdefgh":
        assert [r.value for r in records if r.key == key] == [v for k, v in flat if k == key]
    one.close()
    two.close()


def test_what_everybody_has_goes_after_a_week(log, clock):
    log.append("config", [("k", b"1"), ("k", b"2")])
    clock.advance_to(NOW_MS + 1000)
    log.append("config", [("k", b"3")])
    log.reader("a", "config", [0]).commit({0: 3})
    log.reader("b", "config", [0]).commit({0: 1})
    clock.advance_to(NOW_MS + RETENTION_MS + 1)
    log.prune()
    assert [r.value for r in read_all(log, "config")] == [b"2", b"3"]
    assert log.offsets("config") == {0: PartitionOffsets(1, 3)}


def test_nothing_younger_than_a_week_goes(log, clock):
    log.append("config", [("k", b"1")])
    log.reader("a", "config", [0]).commit({0: 1})
    clock.advance_to(NOW_MS + RETENTION_MS - 1)
    assert log.prune() == 0


def test_a_topic_without_consumers_keeps_a_week(log, clock):
    log.append("config", [("k", b"1")])
    clock.advance_to(NOW_MS + RETENTION_MS + 1)
    log.append("config", [("k", b"2")])
    log.prune()
    assert [r.value for r in read_all(log, "config")] == [b"2"]


def test_a_full_log_gives_up_what_was_read_and_never_what_was_not(open_log, caplog):
    log = open_log(max_bytes=2**20)
    log.create_topics({"t": 1})
    log.append("t", [("k", bytes(1000))] * 2000)
    reader = log.reader("slow", "t", [0])
    assert log.prune() == 0
    assert "full" in caplog.text
    reader.commit({0: 1500})
    assert log.prune() == 1500
    assert len(read_all(log, "t", "slow")) == 500


def test_a_reader_whose_position_is_gone_goes_on_with_the_oldest_and_says_so(log, clock, caplog):
    log.append("config", [("k", b"1")])
    reader = log.reader("slow", "config", [0])
    clock.advance_to(NOW_MS + RETENTION_MS + 1)
    log.append("config", [("k", b"2")])
    log.prune()
    assert [r.value for r in reader.poll([0], **ALL)] == [b"2"]
    assert "consumer=slow missed config:0:0-0" in caplog.text


class TestFile:
    """The embedded file's own ways to fail."""

    def test_a_file_of_a_newer_version_is_refused_with_the_fix(self, tmp_path, clock):
        with sqlite3.connect(tmp_path / "log.db") as db:
            db.execute("PRAGMA user_version=99")
        db.close()
        with pytest.raises(Unavailable, match="newer Qold"):
            SqliteLog(tmp_path / "log.db", clock=clock).topics()

    def test_a_file_that_is_no_database_is_unavailable(self, tmp_path, clock):
        (tmp_path / "log.db").write_bytes(b"not a database at all" * 100)
        with pytest.raises(Unavailable, match="not a database"):
            SqliteLog(tmp_path / "log.db", clock=clock).topics()

    def test_a_folder_that_cannot_be_made_is_unavailable(self, tmp_path, clock):
        (tmp_path / "file").write_text("")
        with pytest.raises(Unavailable):
            SqliteLog(tmp_path / "file" / "log.db", clock=clock).topics()

    def test_the_file_is_for_its_owner_only(self, log, tmp_path):
        assert (tmp_path / "log.db").stat().st_mode & 0o777 == 0o600
