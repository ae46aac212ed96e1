"""The outbox file: the source's table, versions, corruption, size; real files throughout."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.outbox import Outbox, Row
from gateway.outbox_file import NewerOutbox, OutboxUnavailable
from gateway.room import Division
from gateway.settings import Policy
from local.simulator.clock import SimulatedClock
from tests.support.gateways import NOW, NOW_MS, gateway_settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = make(tmp_path)
    yield outbox
    outbox.close()


def make(folder: Path, *, max_bytes: int = 2**26, policy: Policy = Policy.REFUSE) -> Outbox:
    settings = gateway_settings(folder, outbox_max_bytes=max_bytes, policy=policy)
    return Outbox(settings, SimulatedClock(NOW_MS))


def put(outbox: Outbox, count: int, *, first: int = 0) -> None:
    with outbox.writing():
        outbox.append([(NOW, f'{{"n":{first + n}}}', "reports") for n in range(count)])


def columns(path: Path, table: str) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({table})")]
    finally:
        connection.close()


def test_the_table_is_the_sources(outbox: Outbox, path: Path) -> None:
    put(outbox, 1)
    assert columns(path, "messages") == [
        ("id", "INTEGER"),
        ("timestamp", "INTEGER"),
        ("message", "STRING"),
        ("topic", "STRING"),
    ]


def test_commits_are_durable(outbox: Outbox) -> None:
    with outbox.writing() as database:
        assert database.pragma("journal_mode") == "wal"
        assert database.pragma("synchronous") == 2


def test_rows_come_back_in_order_and_go_by_id(outbox: Outbox) -> None:
    put(outbox, 5)
    assert outbox.oldest(2) == [
        Row(1, NOW, '{"n":0}', "reports"),
        Row(2, NOW, '{"n":1}', "reports"),
    ]
    outbox.delete([1, 3])
    assert [row.id for row in outbox.oldest(9)] == [2, 4, 5]


def test_an_id_is_never_used_again(outbox: Outbox) -> None:
    """Else `output` could delete, by its id, a newer row than the one it published."""
    put(outbox, 3)
    outbox.oldest(3)
    outbox.delete([1, 2, 3])
    put(outbox, 1)
    assert [row.id for row in outbox.oldest(9)] == [4]


def test_ids_of_a_file_that_was_replaced_delete_nothing(tmp_path: Path, outbox: Outbox) -> None:
    """Else a message nobody has published would go by the id of one that was."""
    put(outbox, 3)
    outbox.oldest(3)
    for file in tmp_path.iterdir():
        file.unlink()
    put(outbox, 3)
    outbox.delete([1, 2, 3])
    assert len(outbox.oldest(9)) == 3


def test_a_failed_transaction_leaves_nothing(outbox: Outbox) -> None:
    def fail() -> None:
        with outbox.writing():
            outbox.append([(NOW, "{}", "reports")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert outbox.span() is None


def test_what_one_writes_the_other_reads(tmp_path: Path, outbox: Outbox) -> None:
    other = make(tmp_path)
    put(outbox, 2)
    span = other.span()
    assert span is not None
    assert (span.first_id, span.last_id) == (1, 2)
    other.oldest(1)
    other.delete([1])
    assert [row.id for row in outbox.oldest(9)] == [2]
    other.close()


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE Future (x); PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerOutbox, match="version 2"):
        make(tmp_path).span()
    assert path.read_bytes() == before


def test_another_outbox_without_a_version_is_moved_aside_and_its_messages_kept(
    tmp_path: Path, path: Path
) -> None:
    """The source's own outbox looks like this."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, timestamp INTEGER, message, topic);"
        "INSERT INTO messages VALUES (7, 123, '{}', 'reports'), (8, 123, x'00', 'reports')"
    )
    connection.close()
    outbox = make(tmp_path)
    assert outbox.oldest(9) == [Row(7, 123, "{}", "reports")]
    assert [quarantine.salvaged for quarantine in outbox.quarantined] == [1]
    outbox.close()


class TestCorruption:
    """Each time: moved aside under a dated name, begun anew, what can be read is kept."""

    def corrupt(self, folder: Path, *, rows: int) -> Path:
        outbox = make(folder)
        put(outbox, rows)
        outbox.close()
        return folder / "outbox.db"

    def test_noise_instead_of_a_database(self, tmp_path: Path) -> None:
        path = self.corrupt(tmp_path, rows=10)
        path.write_bytes(random.Random(1).randbytes(20_000))
        outbox = make(tmp_path)
        assert outbox.span() is None
        put(outbox, 1)
        (quarantine,) = outbox.quarantined
        assert quarantine.path.name == "outbox.db.corrupt-20261123T174640"
        assert quarantine.path.stat().st_size == 20_000
        assert quarantine.salvaged == 0
        outbox.close()

    def test_a_damaged_page_costs_its_own_rows(self, tmp_path: Path) -> None:
        path = self.corrupt(tmp_path, rows=2_000)
        data = bytearray(path.read_bytes())
        middle = len(data) // 2 // 4096 * 4096
        data[middle : middle + 4096] = b"\xff" * 4096
        path.write_bytes(data)
        outbox = make(tmp_path)
        ids = [row.id for row in outbox.oldest(9_999)]
        assert 1_000 < len(ids) < 2_000
        assert ids[0] == 1
        assert ids[-1] == 2_000
        assert outbox.quarantined[0].salvaged == len(ids)
        outbox.close()

    @pytest.mark.parametrize("keep", [100, 4096, 10_000, 33_000])
    def test_truncated(self, tmp_path: Path, keep: int) -> None:
        path = self.corrupt(tmp_path, rows=2_000)
        path.write_bytes(path.read_bytes()[:keep])
        outbox = make(tmp_path)
        put(outbox, 1)
        assert len(outbox.quarantined) == 1
        outbox.close()

    def test_ended_before_the_mended_file_was_in_place(self, tmp_path: Path) -> None:
        """Moved aside, but not yet replaced; and a half-made one from an earlier attempt."""
        path = self.corrupt(tmp_path, rows=5)
        path.rename(tmp_path / "outbox.db.mended")
        outbox = make(tmp_path)
        assert len(outbox.oldest(9)) == 5
        outbox.close()
        (tmp_path / "outbox.db.mended").write_bytes(b"half")
        path.write_bytes(b"noise" * 1000)
        outbox = make(tmp_path)
        put(outbox, 1)
        assert sorted(file.name for file in tmp_path.iterdir() if "mended" in file.name) == []
        outbox.close()

    def test_a_file_larger_than_the_limit_of_now_loses_nothing(self, tmp_path: Path) -> None:
        path = self.corrupt(tmp_path, rows=20_000)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 0")
        connection.close()
        outbox = make(tmp_path, max_bytes=2**20)
        assert len(outbox.oldest(99_999)) == outbox.quarantined[0].salvaged == 20_000
        outbox.close()

    def test_twice_on_one_day(self, tmp_path: Path) -> None:
        for _ in range(3):
            self.corrupt(tmp_path, rows=1).write_bytes(b"noise" * 1000)
            outbox = make(tmp_path)
            put(outbox, 1)
            outbox.close()
        names = sorted(p.name for p in tmp_path.glob("*.corrupt-*"))
        assert [name.removeprefix("outbox.db.corrupt-20261123T174640") for name in names] == [
            "",
            "-2",
            "-3",
        ]

    def test_while_it_is_open_by_both(self, tmp_path: Path) -> None:
        """One finds it while working and mends; the other follows to the new file."""
        one, two = make(tmp_path), make(tmp_path)
        put(one, 2_000)
        one._follow().execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        two.span()
        path = tmp_path / "outbox.db"
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        one.close()
        one.span()
        assert len(one.quarantined) == 1
        put(one, 1, first=77)
        assert [row.message for row in two.oldest(9)] == ['{"n":77}']
        one.close()
        two.close()

    def test_found_while_working(self, tmp_path: Path) -> None:
        path = self.corrupt(tmp_path, rows=2_000)
        outbox = make(tmp_path)
        outbox.span()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        with pytest.raises(OutboxUnavailable):
            outbox.oldest(9_999)
        put(outbox, 1)
        assert len(outbox.quarantined) == 1
        outbox.close()


class TestSize:
    def fill(self, outbox: Outbox, rows: int) -> None:
        with outbox.writing():
            outbox.append([(NOW, "x" * 1_000, "reports")] * rows)

    def take(self, outbox: Outbox, size: int) -> bool:
        with outbox.writing() as database:
            return outbox.room(database).take(size)

    def test_under_the_limit_there_is_room(self, tmp_path: Path) -> None:
        outbox = make(tmp_path, max_bytes=2**22)
        self.fill(outbox, 500)
        assert self.take(outbox, 10_000)
        assert outbox.dropped == 0
        outbox.close()

    def test_over_the_limit_there_is_none_until_something_goes(self, tmp_path: Path) -> None:
        outbox = make(tmp_path, max_bytes=2**22)
        self.fill(outbox, Division.of(2**22).messages // 1_400)
        assert not self.take(outbox, 100_000)
        outbox.oldest(1)
        outbox.delete(range(1, 201))
        assert self.take(outbox, 100_000)
        outbox.close()

    def test_drop_oldest_drops_no_more_than_comes_in(self, tmp_path: Path) -> None:
        outbox = make(tmp_path, max_bytes=2**22, policy=Policy.DROP_OLDEST)
        rows = Division.of(2**22).messages // 1_400
        self.fill(outbox, rows)
        assert self.take(outbox, 100_000)
        span = outbox.span()
        assert span is not None
        assert (span.first_id, span.last_id) == (outbox.dropped + 1, rows)
        assert 0 < outbox.dropped <= 100
        outbox.close()

    def test_a_smaller_max_mb_takes_the_oldest_step_by_step(self, tmp_path: Path) -> None:
        """Two bytes go for each that comes in, so that newer messages alone drop older ones."""
        outbox = make(tmp_path, max_bytes=2**23)
        self.fill(outbox, 2_000)
        outbox.close()
        outbox = make(tmp_path, max_bytes=2**20, policy=Policy.DROP_OLDEST)
        assert self.take(outbox, 10_000)
        assert 10 < outbox.dropped <= 20
        outbox.close()

    def test_the_file_never_grows_past_its_limit(self, tmp_path: Path) -> None:
        outbox = make(tmp_path, max_bytes=2**20)
        with pytest.raises(OutboxUnavailable, match="is full"):
            self.fill(outbox, 1_000)
        self.fill(outbox, 200)
        outbox.oldest(1)
        outbox.delete(range(1, 101))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2**20
        outbox.close()


def test_a_file_whose_memory_outgrew_its_room_keeps_its_messages(
    tmp_path: Path, path: Path
) -> None:
    """Version 1 as gateways wrote it before repeats had a room of their own: items of a flood."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA journal_mode = wal;"
        "CREATE TABLE Messages (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL,"
        " message STRING NOT NULL, topic STRING NOT NULL);"
        "CREATE TABLE Items (device_id INTEGER NOT NULL, sequence INTEGER NOT NULL,"
        " measured INTEGER NOT NULL, temperature INTEGER NOT NULL, battery INTEGER NOT NULL,"
        " flags INTEGER NOT NULL, heard INTEGER NOT NULL,"
        " PRIMARY KEY (device_id, sequence, measured, temperature, battery, flags)) WITHOUT ROWID;"
        "CREATE INDEX items_heard ON Items (heard); PRAGMA user_version = 1"
    )
    with connection:
        connection.executemany(
            "INSERT INTO Messages (timestamp, message, topic) VALUES (?, '{}', 'reports')",
            [(NOW,)] * 200,
        )
        connection.executemany(
            "INSERT INTO Items VALUES (?, 0, 0, 421, 88, 0, ?)",
            [(device, NOW - 9_000 + device) for device in range(1, 9_001)],
        )
    connection.close()
    outbox = make(tmp_path, max_bytes=2**20, policy=Policy.DROP_OLDEST)
    outbox.forget()
    limit = Division.of(2**20).remembered_items
    with outbox.writing() as database:
        (oldest,) = database.execute_sql("SELECT min(device_id) FROM Items").fetchone()
        assert outbox.memory.count(database) == limit
        assert outbox.room(database).take(1_000)
    assert oldest == 9_001 - limit, "the items stored last are kept"
    assert outbox.memory.forgotten == 9_000 - limit
    assert (len(outbox.oldest(999)), outbox.dropped) == (200, 0)
    outbox.close()
