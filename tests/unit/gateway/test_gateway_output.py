"""`output`: oldest first, only what is due, deleted only when acknowledged."""

import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.outbox import Outbox
from gateway.output import Output
from gateway.output.uplink import UplinkUnavailable, uplink_for
from gateway.settings import GatewaySettings, SettingsError
from local.simulator.clock import SimulatedClock
from tests.support.gateways import (
    NOW,
    NOW_MS,
    TOKEN,
    embedded_log,
    gateway_settings,
    published,
    waiting,
)


class CapriciousUplink:
    """The embedded uplink behind a link that can be down, or accept only the first few."""

    def __init__(self, settings: GatewaySettings, clock: SimulatedClock) -> None:
        self._uplink = uplink_for(settings.uplink_url, clock)
        self.is_down = False
        self.accepts = 10_000
        self.attempts = 0

    def publish(self, topic: str, values: Sequence[bytes], *, key: str) -> int:
        self.attempts += 1
        if self.is_down:
            raise UplinkUnavailable("no route")
        return self._uplink.publish(topic, values[: self.accepts], key=key)

    def close(self) -> None:
        self._uplink.close()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW_MS)


class Site:
    """An output over a real outbox and a real embedded log."""

    def __init__(self, folder: Path, clock: SimulatedClock, **changes: Any) -> None:
        self.settings = gateway_settings(folder, **changes)
        self.log = embedded_log(folder, clock)
        self.uplink = CapriciousUplink(self.settings, clock)
        self.output = Output(self.settings, clock, self.uplink, rng=random.Random(1))
        self._outbox = Outbox(self.settings, clock)
        self._clock = clock

    def put(self, *sequences: int, device_id: int = 123, topic: str = "reports") -> None:
        now = self._clock.wall_ms() // 1000
        rows = [(now, _message(device_id, sequence), topic) for sequence in sequences]
        with self._outbox.writing():
            self._outbox.append(rows)

    def put_text(self, text: str, topic: str) -> None:
        with self._outbox.writing():
            self._outbox.append([(self._clock.wall_ms() // 1000, text, topic)])

    def close(self) -> None:
        self.output.close()
        self._outbox.close()
        self.log.close()


@pytest.fixture
def build(tmp_path: Path, clock: SimulatedClock) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def _build(**changes: Any) -> Site:
        sites.append(Site(tmp_path, clock, **changes))
        return sites[-1]

    yield _build
    for site in sites:
        site.close()


def _message(device_id: int, sequence: int) -> str:
    reading = {"temp": 4.21, "time": NOW, "batt": 88, "seq": sequence}
    return json.dumps({"device": {"id": device_id, "auth": 789}, "reading": reading})


def sequences(folder: Path) -> list[int]:
    return [
        reading["seq"]
        for _, report in published(folder)
        for batch in report.get("batches", [])
        for reading in batch["readings"]
    ]


def test_publishes_in_order_and_deletes(build: Callable[..., Site], tmp_path: Path) -> None:
    site = build()
    site.put(*range(7))
    assert site.output.pending() == 7
    assert site.output.step() is True
    assert sequences(tmp_path) == list(range(7))
    assert published(tmp_path)[0][1]["gateway"] == {"id": 1, "auth": TOKEN}
    assert published(tmp_path)[0][1]["sent"] == NOW
    assert waiting(site.settings) == []
    assert site.output.pending() == 0
    assert site.output.step() is False
    assert site.output.counters.readings == 7


def test_the_key_is_the_gateway(build: Callable[..., Site], tmp_path: Path) -> None:
    site = build(gateway_id=42)
    site.put(1)
    site.output.step()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        assert connection.execute("SELECT key FROM records").fetchall() == [("42",)]
    connection.close()


def test_each_row_goes_to_its_topic(build: Callable[..., Site], tmp_path: Path) -> None:
    site = build()
    site.put(1)
    site.put_text('{"event":{"kind":"port-lost","time":1,"data":{}}}', "gateway.events")
    site.put(2)
    site.put_text("ramblings", "elsewhere")
    site.output.step()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        rows = connection.execute(
            "SELECT topic, value FROM records JOIN topics ON number = id >> 48 ORDER BY id"
        ).fetchall()
    connection.close()
    assert [topic for topic, _ in rows] == ["reports", "gateway.events", "elsewhere"]
    assert rows[2][1] == b"ramblings"
    assert waiting(site.settings) == []


def test_lingers_to_group(
    build: Callable[..., Site], tmp_path: Path, clock: SimulatedClock
) -> None:
    site = build(linger_ms=10_000, poll_ms=1_000)
    for second in range(10):
        site.put(second)
        assert site.output.step() is False
        clock.advance_to(NOW_MS + (second + 1) * 1_000)
    assert site.output.step() is True
    assert len(published(tmp_path)) == 1


def test_a_full_report_does_not_linger(build: Callable[..., Site], tmp_path: Path) -> None:
    site = build(linger_ms=900_000, max_report_readings=3)
    site.put(1, 2, 3)
    assert site.output.step() is True


def test_lingering_goes_on_after_a_restart(
    build: Callable[..., Site], clock: SimulatedClock
) -> None:
    site = build(linger_ms=900_000)
    site.put(1)
    clock.advance_to(NOW_MS + 901_000)
    restarted = Output(site.settings, clock, site.uplink)
    assert restarted.step() is True
    restarted.close()


def test_a_linger_ends_although_the_wall_clock_went_back(
    build: Callable[..., Site], clock: SimulatedClock
) -> None:
    site = build(linger_ms=200)
    with site._outbox.writing():
        site._outbox.append([(NOW + 86_400, _message(1, 1), "reports")])
    assert site.output.step() is False
    clock.advance_to(NOW_MS + 200)
    assert site.output.step() is True


def test_nothing_is_deleted_while_the_uplink_is_away(
    build: Callable[..., Site], tmp_path: Path, clock: SimulatedClock
) -> None:
    site = build()
    site.put(*range(5))
    site.uplink.is_down = True
    for minute in range(20):
        assert site.output.step() is False
        clock.advance_to(NOW_MS + (minute + 1) * 60_000)
    assert len(waiting(site.settings)) == 5
    assert site.output.counters.failures == 20
    site.uplink.is_down = False
    clock.advance_to(clock.wall_ms() + 60_000)
    assert site.output.step() is True
    assert sequences(tmp_path) == list(range(5))
    (event,) = [m["event"] for *_, m, topic in waiting(site.settings) if topic == "gateway.events"]
    assert event["kind"] == "uplink-back"
    assert event["data"]["seconds"] == 21 * 60


def test_back_off_grows_with_jitter_and_ends_at_a_minute(
    build: Callable[..., Site], clock: SimulatedClock
) -> None:
    site = build()
    site.put(1)
    site.uplink.is_down = True
    tried_at: list[int] = []
    for tenth in range(6_000):
        attempts = site.uplink.attempts
        site.output.step()
        if site.uplink.attempts > attempts:
            tried_at.append(clock.monotonic_ms())
        clock.advance_to(NOW_MS + tenth * 100)
    waits = [after - before for before, after in pairwise(tried_at)]
    for number, wait in enumerate(waits):
        whole = min(60_000, 1_000 * 2**number)
        assert whole / 2 <= wait <= whole + 100
    assert len(set(waits[-4:])) == 4


def test_only_what_was_accepted_is_deleted(
    build: Callable[..., Site], tmp_path: Path, clock: SimulatedClock
) -> None:
    site = build(max_report_readings=2)
    site.put(*range(8))
    site.uplink.accepts = 1
    site.output.step()
    assert [m["reading"]["seq"] for _, _, m, _ in waiting(site.settings)] == list(range(2, 8))
    site.uplink.accepts = 10
    clock.advance_to(NOW_MS + 60_000)
    site.output.step()
    assert sequences(tmp_path) == list(range(8))


def test_a_topic_that_is_away_does_not_lose_the_others_rows(
    build: Callable[..., Site], tmp_path: Path
) -> None:
    """What was published before the failure is deleted, the rest stays."""
    site = build()
    site.put(1)
    site.put_text('{"event":{}}', "gateway.events")
    site.uplink.accepts = 1
    original = site.uplink.publish

    def publish(topic: str, values: Sequence[bytes], *, key: str) -> int:
        site.uplink.is_down = topic != "reports"
        return original(topic, values, key=key)

    site.uplink.publish = publish
    site.output.step()
    assert [topic for *_, topic in waiting(site.settings)] == ["gateway.events"]


def test_what_could_not_be_deleted_is_not_sent_again(
    build: Callable[..., Site], tmp_path: Path, clock: SimulatedClock
) -> None:
    site = build()
    site.put(1, 2)
    database = site.output._outbox._follow()
    database.execute_sql("PRAGMA query_only = 1")
    assert site.output.step() is False
    site.put(3)
    database.execute_sql("PRAGMA query_only = 0")
    clock.advance_to(NOW_MS + 60_000)
    assert site.output.step() is True
    assert sequences(tmp_path) == [1, 2, 3]
    assert waiting(site.settings) == []


def test_a_backlog_larger_than_a_batch_drains_without_waiting(
    build: Callable[..., Site], tmp_path: Path
) -> None:
    site = build(linger_ms=200)
    site.put(*range(12_000))
    steps = 0
    while site.output.pending():
        site.output.step()
        steps += 1
        assert steps < 10
    assert sequences(tmp_path) == list(range(12_000))


def test_an_outbox_removed_under_it_is_followed(build: Callable[..., Site], tmp_path: Path) -> None:
    site = build()
    site.put(1)
    site.output.step()
    for file in tmp_path.glob("outbox.db*"):
        file.unlink()
    site.put(2)
    site.output.step()
    assert sequences(tmp_path) == [1, 2]


def test_run_ends_when_told(build: Callable[..., Site]) -> None:
    site = build()
    site.put(1)
    site.output.run(lambda: site.output.counters.readings == 1)


@pytest.mark.parametrize("url", ["pigeon://roof", "sqlite:log.db", "sqlite://log.db"])
def test_a_wrong_uplink_is_a_wrong_setting(url: str, clock: SimulatedClock) -> None:
    with pytest.raises(SettingsError, match=r"uplink\.url"):
        uplink_for(url, clock)
