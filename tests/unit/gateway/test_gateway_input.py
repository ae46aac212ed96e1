"""`input` on a real pseudo-terminal and a real outbox file: stored, then acknowledged."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs

from gateway.input import Input
from gateway.outbox import Outbox
from gateway.room import Division
from gateway.settings import Policy, SettingsError
from local.simulator.clock import SimulatedClock, SkewedClock
from local.simulator.serial_line import SerialLine
from qold.wire import Frame, Item, encode
from tests.support.gateways import NOW, NOW_MS, frame, gateway_settings, step_until, waiting

Build = Callable[..., Input]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW_MS)


@pytest.fixture
def line() -> Iterator[SerialLine]:
    line = SerialLine()
    yield line
    line.close()


@pytest.fixture
def build(tmp_path: Path, clock: SimulatedClock, line: SerialLine) -> Iterator[Build]:
    """Makes an Input whose port is open, with changed settings, and closes it in the end."""
    built: list[Input] = []

    def _build(*, clock: Any = clock, **changes: Any) -> Input:
        settings = gateway_settings(tmp_path, **changes)
        component = Input(settings, clock, port=line.path)
        component.step()
        built.append(component)
        return component

    yield _build
    for component in built:
        component.close()


def send(component: Input, line: SerialLine, *frames: Frame) -> list[Any]:
    """Send frames in one go and return their acks."""
    line.send(b"".join(encode(sent) for sent in frames))
    acks: list[Any] = []
    while len(acks) < len(frames):
        acks += step_until(component, line)
    return acks


def test_a_frame_becomes_the_sources_message_and_an_ack(
    build: Build, line: SerialLine, tmp_path: Path
) -> None:
    component = build()
    sent = Frame(123, 789, 0, (Item(0, 1500, 75),))
    assert send(component, line, sent) == [sent.ack()]
    message = {
        "device": {"id": 123, "auth": 789},
        "reading": {"temp": 15.0, "time": NOW, "batt": 75, "seq": 0},
    }
    assert waiting(gateway_settings(tmp_path)) == [(1, NOW, message, "reports")]
    assert component.counters.frames == component.counters.acknowledged == 1


def test_ages_faults_and_flags(build: Build, line: SerialLine, tmp_path: Path) -> None:
    items = (Item(1800, -1850, 100), Item(900, -1790, 100, 1), Item(0, None, None, 2))
    send(build(), line, Frame(1043, 6408951951184615, 65535, items))
    readings = [message["reading"] for _, _, message, _ in waiting(gateway_settings(tmp_path))]
    assert readings == [
        {"temp": -18.5, "time": NOW - 1800, "batt": 100, "seq": 65535},
        {"temp": -17.9, "time": NOW - 900, "batt": 100, "seq": 0, "door": True},
        {"temp": None, "time": NOW, "batt": None, "seq": 1, "defrost": True},
    ]


def test_what_waits_together_is_stored_and_acknowledged_together(
    build: Build, line: SerialLine, tmp_path: Path
) -> None:
    component = build()
    frames = [frame(device, count=3) for device in range(1, 21)]
    assert send(component, line, *frames) == [sent.ack() for sent in frames]
    assert len(waiting(gateway_settings(tmp_path))) == component.counters.readings == 60


def test_a_repeated_frame_is_acknowledged_and_not_stored_again(
    build: Build, line: SerialLine, tmp_path: Path, clock: SimulatedClock
) -> None:
    """Repeated in the same read, and later with its age counted anew, a second off."""
    component = build()
    assert len(send(component, line, frame(count=2), frame(count=2))) == 2
    clock.advance_to(NOW_MS + 7_000)
    assert len(send(component, line, frame(count=2, age_s=6))) == 1
    assert len(waiting(gateway_settings(tmp_path))) == 2
    assert component.counters.repeats == 4


def test_a_grown_frame_adds_only_what_is_new(
    build: Build, line: SerialLine, tmp_path: Path
) -> None:
    component = build()
    grown = frame(count=3)
    send(component, line, Frame(123, 789, 0, grown.items[:2]), grown)
    assert [m["reading"]["seq"] for _, _, m, _ in waiting(gateway_settings(tmp_path))] == [0, 1, 2]
    assert component.counters.repeats == 2


@pytest.mark.parametrize(
    "other",
    [
        Item(0, 422, 88),
        Item(0, 421, 87),
        Item(0, 421, 88, 1),
        Item(0, None, 88),
        Item(0, 421, None),
        Item(11, 421, 88),
    ],
)
def test_the_same_sequence_with_other_content_is_stored(
    build: Build, line: SerialLine, tmp_path: Path, other: Item
) -> None:
    """A device that started again at 0: other temperature, battery, flags or time."""
    send(build(), line, frame(), Frame(123, 789, 0, (other,)))
    assert len(waiting(gateway_settings(tmp_path))) == 2


def test_the_memory_survives_a_restart_and_ends_after_24_h(
    build: Build, line: SerialLine, tmp_path: Path, clock: SimulatedClock
) -> None:
    first = build()
    send(first, line, frame())
    first.close()
    second = build()
    send(second, line, frame())
    assert second.counters.repeats == 1
    clock.advance_to(NOW_MS + 24 * 3_600_000 + 1_000)
    second.step()
    with sqlite3.connect(gateway_settings(tmp_path).outbox_path) as connection:
        assert connection.execute("SELECT count(*) FROM Items").fetchone() == (0,)
    connection.close()
    assert len(waiting(gateway_settings(tmp_path))) == 1


def test_a_damaged_frame_is_counted_and_never_acknowledged(
    build: Build, line: SerialLine, tmp_path: Path
) -> None:
    component = build()
    content = bytearray(frame().to_bytes())
    content[20] ^= 0x10
    line.send(cobs.encode(bytes(content)) + b"\x00")
    assert step_until(component, line, lambda: component.counters.crc_errors == 1) == []
    assert send(component, line, frame(sequence=1)) == [frame(sequence=1).ack()]
    assert len(waiting(gateway_settings(tmp_path))) == 1


def test_an_ack_on_the_line_is_not_answered(build: Build, line: SerialLine) -> None:
    component = build()
    line.send(encode(frame().ack()))
    assert step_until(component, line, lambda: component.counters.link.acks == 1) == []


class TestFullOutbox:
    """A limit of 1 MB, reached with foreign rows."""

    @pytest.fixture
    def fill(self, tmp_path: Path) -> Callable[[], None]:
        def _fill() -> None:
            connection = sqlite3.connect(tmp_path / "outbox.db")
            with connection:
                connection.executemany(
                    "INSERT INTO Messages (timestamp, message, topic) VALUES (?, ?, 'old')",
                    [(NOW - 9_000, '{"old":"' + "x" * 1000 + '"}')] * 1200,
                )
            connection.close()

        return _fill

    def test_refuse_keeps_the_old_and_does_not_acknowledge(
        self, build: Build, line: SerialLine, tmp_path: Path, fill: Callable[[], None]
    ) -> None:
        component = build(outbox_max_bytes=2**20, policy=Policy.REFUSE)
        send(component, line, frame())
        fill()
        line.send(encode(frame(sequence=1)) + encode(frame()))
        acks = step_until(component, line)
        assert acks == [frame().ack()], "a repeated frame needs no room"
        assert component.counters.refused == 1
        rows = waiting(gateway_settings(tmp_path))
        assert len(rows) == 1201
        with sqlite3.connect(tmp_path / "outbox.db") as connection:
            connection.execute("DELETE FROM Messages WHERE topic = 'old'")
        connection.close()
        assert send(component, line, frame(sequence=1)) == [frame(sequence=1).ack()]

    def test_refuse_is_told_once(
        self,
        build: Build,
        line: SerialLine,
        tmp_path: Path,
        clock: SimulatedClock,
        fill: Callable[[], None],
    ) -> None:
        component = build(outbox_max_bytes=2**20, policy=Policy.REFUSE)
        fill()
        for minute in range(3):
            line.send(encode(frame(sequence=minute)))
            step_until(component, line, lambda n=minute: component.counters.refused == n + 1)
            clock.advance_to(NOW_MS + (minute + 1) * 60_000)
            component.step()
        events = [m["event"] for _, _, m, t in waiting(gateway_settings(tmp_path)) if t != "old"]
        assert events == [{"kind": "outbox-full", "time": NOW, "data": {"count": 1}}]

    def test_drop_oldest_makes_room_and_tells(
        self,
        build: Build,
        line: SerialLine,
        tmp_path: Path,
        clock: SimulatedClock,
        fill: Callable[[], None],
    ) -> None:
        component = build(outbox_max_bytes=2**20)
        fill()
        assert send(component, line, frame()) == [frame().ack()]
        clock.advance_to(NOW_MS + 1_000)
        component.step()
        rows = [(m, t) for _, _, m, t in waiting(gateway_settings(tmp_path)) if t != "old"]
        assert [topic for _, topic in rows] == ["reports", "gateway.events"]
        assert rows[1][0]["event"] == {
            "kind": "outbox-drop",
            "time": NOW,
            "data": {"count": 1},
        }

    def test_a_full_disk_is_no_crash(self, build: Build, line: SerialLine, tmp_path: Path) -> None:
        """SQLite itself says "database or disk is full", in the middle of the transaction."""
        component = build()
        database = component._outbox._follow()
        database.execute_sql("PRAGMA max_page_count = 1")
        frames = [frame(device, count=32) for device in range(1, 20)]
        line.send(b"".join(encode(sent) for sent in frames))
        step_until(component, line, lambda: component.counters.refused >= 19)
        assert component.counters.acknowledged == 0
        assert waiting(gateway_settings(tmp_path)) == []
        database.execute_sql("PRAGMA max_page_count = 100000")
        assert len(send(component, line, *frames)) == 19


class TestFlood:
    """Forged frames, which need no credentials here, at a limit of 1 MB; 32 new items in each."""

    HONEST = 100

    @pytest.fixture
    def component(self, build: Build) -> Input:
        """Its commits do not wait for the disk, which none of these tests is about."""
        component = build(outbox_max_bytes=2**20)
        component._outbox._follow().execute_sql("PRAGMA synchronous = OFF")
        return component

    def forged(self, number: int) -> Frame:
        """A device id of its own and 32 measurements, the numbers as far apart as they can be."""
        return frame(1_000 + number * 3_500_000 % (2**31 - 1_001), number, count=32)

    def flood(self, component: Input, line: SerialLine, frames: int) -> Iterator[None]:
        """Nineteen of them are what one read holds, so each step is one commit."""
        for start in range(0, frames, 19):
            send(component, line, *map(self.forged, range(start, min(frames, start + 19))))
            yield

    def test_repeats_take_no_room_of_the_messages(
        self, component: Input, line: SerialLine, tmp_path: Path
    ) -> None:
        """`output` publishes the forged ones; those that wait must not go for the memory's sake."""
        send(component, line, *(frame(device) for device in range(1, self.HONEST + 1)))
        uplink = Outbox(component._settings, component._clock)
        uplink._follow().execute_sql("PRAGMA synchronous = OFF")
        for _ in self.flood(component, line, 600):
            uplink.delete([row.id for row in uplink.oldest(9_999) if row.id > self.HONEST])
        assert [row.id for row in uplink.oldest(9_999)] == list(range(1, self.HONEST + 1))
        uplink.close()
        assert component._outbox.dropped == component.counters.refused == 0
        limit = Division.of(2**20).remembered_items
        with sqlite3.connect(tmp_path / "outbox.db") as connection:
            assert connection.execute("SELECT count(*) FROM Items").fetchone() == (limit,)
        connection.close()
        assert component._outbox.memory.forgotten == self.HONEST + 600 * 32 - limit

    def test_the_newest_stay_and_the_disk_is_bounded(
        self, component: Input, line: SerialLine, tmp_path: Path
    ) -> None:
        """Nothing is published; file, log and index together stay below `max_mb` at any moment."""
        largest = 0
        for _ in self.flood(component, line, 190):
            sizes = [file.stat().st_size for file in tmp_path.glob("outbox.db*")]
            largest = max(largest, sum(sizes))
        assert largest <= 2**20
        assert component.counters.acknowledged == 190
        ids = [row_id for row_id, *_ in waiting(gateway_settings(tmp_path))]
        assert ids == list(range(component._outbox.dropped + 1, 190 * 32 + 1))
        assert len(ids) >= 0.8 * Division.of(2**20).messages / 140, "the room is used"

    def test_a_repeat_is_known_while_its_room_lasts_and_stored_again_after_it(
        self, component: Input, line: SerialLine
    ) -> None:
        """The raw store's key finds the second one; a frame is acknowledged in either case."""
        send(component, line, frame())
        for _ in self.flood(component, line, 19):
            assert send(component, line, frame()) == [frame().ack()]
        assert component.counters.repeats == 1
        for _ in self.flood(component, line, 57):
            pass
        before = component.counters.readings
        assert send(component, line, frame()) == [frame().ack()]
        assert component.counters.readings == before + 1

    def test_a_transaction_that_failed_counts_for_nothing(
        self, component: Input, line: SerialLine
    ) -> None:
        send(component, line, frame())
        database = component._outbox._follow()
        database.execute_sql("PRAGMA max_page_count = 1")
        line.send(b"".join(encode(self.forged(number)) for number in range(19)))
        step_until(component, line, lambda: component.counters.refused >= 19)
        with component._outbox.writing() as database:
            assert component._outbox.memory.count(database) == 1
        assert component._outbox.memory.forgotten == 0


class TestClock:
    def test_a_jump_is_told(self, build: Build, tmp_path: Path, clock: SimulatedClock) -> None:
        skewed = SkewedClock(clock)
        component = build(clock=skewed)
        skewed.skew_ms = 3_600_000
        clock.advance_to(NOW_MS + 1_000)
        component.step()
        (row,) = waiting(gateway_settings(tmp_path))
        assert row[2]["event"] == {
            "kind": "clock-jump",
            "time": NOW + 3601,
            "data": {"seconds": 3600, "count": 1},
        }

    def test_a_clock_in_1970_stores_what_it_believes(
        self, build: Build, line: SerialLine, tmp_path: Path
    ) -> None:
        send(build(clock=SimulatedClock(60_000)), line, frame(age_s=900))
        assert waiting(gateway_settings(tmp_path))[0][2]["reading"]["time"] == 60 - 900


class TestPort:
    def test_unplugged_and_plugged_in_again(
        self, build: Build, tmp_path: Path, clock: SimulatedClock
    ) -> None:
        """The port's path is a link, so that another line can appear under the same name."""
        first, second = SerialLine(), SerialLine()
        port = tmp_path / "ttyUSB0"
        port.symlink_to(first.path)
        component = Input(gateway_settings(tmp_path), clock, port=str(port))
        assert component.step() is False
        line_half = encode(frame())[:9]
        first.send(line_half)
        step_until(component, first, lambda: bool(component._reader._buffer))
        first.close()
        component.step()
        assert component._link.is_open is False
        port.unlink()
        clock.advance_to(NOW_MS + 90_000)
        component.step()
        port.symlink_to(second.path)
        clock.advance_to(NOW_MS + 180_000)
        component.step()
        assert send(component, second, frame()) == [frame().ack()]
        topics = [topic for *_, topic in waiting(gateway_settings(tmp_path))]
        assert topics == ["gateway.events", "reports"]
        component.close()
        second.close()

    def test_a_port_that_is_not_there_is_tried_less_and_less_often(
        self, tmp_path: Path, clock: SimulatedClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        component = Input(gateway_settings(tmp_path), clock, port=str(tmp_path / "none"))
        for second in range(120):
            clock.advance_to(NOW_MS + second * 1_000)
            component.step()
        assert 5 <= sum("away" in message for message in caplog.messages) <= 10
        component.close()

    def test_a_port_that_opens_and_fails_at_once_is_tried_less_and_less_often(
        self, tmp_path: Path, clock: SimulatedClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A hostile or broken adapter: its loss is logged, and the log must not fill the disk."""
        port = tmp_path / "ttyUSB0"
        component = Input(gateway_settings(tmp_path), clock, port=str(port))
        for second in range(240):
            line = SerialLine()
            port.unlink(missing_ok=True)
            port.symlink_to(line.path)
            clock.advance_to(NOW_MS + second * 1_000)
            component.step()
            line.close()
        assert 5 <= sum("away" in message for message in caplog.messages) <= 15
        component.close()

    def test_the_port_is_ours_alone(self, build: Build, line: SerialLine, tmp_path: Path) -> None:
        build()
        second = build(outbox_path=tmp_path / "other.db")
        assert second._link.is_open is False

    def test_loop_url(self, tmp_path: Path, clock: SimulatedClock) -> None:
        component = Input(gateway_settings(tmp_path, port="loop://"), clock)
        component.step()
        component._link.write(encode(frame()))
        component.wait(0)
        assert component.step() is True
        assert component.counters.readings == 1
        component.close()

    def test_an_unknown_url_is_a_wrong_setting(self, tmp_path: Path, clock: SimulatedClock) -> None:
        component = Input(gateway_settings(tmp_path, port="pigeon://roof"), clock)
        with pytest.raises(SettingsError, match=r"input\.port"):
            component.step()

    def test_no_port_is_a_wrong_setting(self, tmp_path: Path, clock: SimulatedClock) -> None:
        with pytest.raises(SettingsError, match=r"input\.port"):
            Input(gateway_settings(tmp_path), clock)


def test_run_ends_when_told(build: Build, line: SerialLine) -> None:
    component = build()
    line.send(encode(frame()))
    line.exchange()
    component.run(lambda: component.counters.acknowledged == 1)
    component.run(lambda: True)


def test_a_locked_outbox_is_no_crash(
    build: Build, line: SerialLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = build()
    component._outbox._follow().execute_sql("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    line.send(encode(frame()))
    step_until(component, line, lambda: component.counters.refused == 1)
    other.execute("ROLLBACK")
    other.close()
    assert send(component, line, frame()) == [frame().ack()]


def test_the_outbox_is_made_with_its_folder_and_for_its_owner_alone(
    build: Build, tmp_path: Path
) -> None:
    """It holds device tokens."""
    build(outbox_path=tmp_path / "deep" / "er" / "outbox.db")
    for file in (tmp_path / "deep" / "er").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
