"""A demo's clock: it stands, is started once, and shows every process and the broker's times alike."""

import time

import pytest

from qold.clock import ScaledClock, SystemClock, scaled_clock, shown_by
from qold.settings import Settings, SettingsError

WALL_MS = 1_795_392_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clock.json"


def test_it_stands_until_it_is_started(path):
    clock = ScaledClock.create(path, scale=60, wall_ms=WALL_MS)
    now_ms = time.time_ns() // 1_000_000
    assert {clock.wall_at_ms(now_ms + ms) for ms in (-1, 0, 10**9)} == {WALL_MS}


def test_whoever_looks_sees_the_same_once_it_runs(path):
    """Also who had looked while it stood, and at a time of the broker's from before the start."""
    clock = ScaledClock.create(path, scale=60, wall_ms=WALL_MS)
    early, before_ms = ScaledClock(path), time.time_ns() // 1_000_000
    assert early.wall_ms() == WALL_MS
    clock.start()
    after_ms = time.time_ns() // 1_000_000
    for seen in (clock, early, ScaledClock(path)):
        assert seen.wall_at_ms(before_ms - 1000) == WALL_MS
        shown_ms = seen.wall_at_ms(after_ms + 10_000)
        assert WALL_MS + 600_000 <= shown_ms <= WALL_MS + 600_000 + 60 * (after_ms - before_ms)
        assert seen.wall_at_ms(after_ms + 10_001) - shown_ms == 60
    assert clock.wall_at_ms(after_ms + 10_000) == early.wall_at_ms(after_ms + 10_000)


def test_what_is_left_is_told_in_real_seconds(path):
    clock = ScaledClock.create(path, scale=60, wall_ms=WALL_MS)
    clock.start()
    assert 0 < clock.left_s(WALL_MS + 3_600_000) <= 60
    assert clock.left_s(WALL_MS - 60_000) <= -1


def test_monotonic_time_is_the_machines(path):
    clock = ScaledClock.create(path, scale=60, wall_ms=WALL_MS)
    before_ms = SystemClock().monotonic_ms()
    assert before_ms <= clock.monotonic_ms() <= SystemClock().monotonic_ms()


def test_the_setting_names_it(path, tmp_path):
    ScaledClock.create(path, scale=2, wall_ms=WALL_MS)
    found = scaled_clock("scaled:clock.json", str(tmp_path))
    assert found is not None
    assert found.wall_ms() == WALL_MS
    assert shown_by(found)(1) == WALL_MS
    assert scaled_clock(Settings.load(tmp_path, {}).clock_url, str(tmp_path)) is None
    assert shown_by(SystemClock())(1) == 1


@pytest.mark.parametrize("prefix", ["Demo-", "a b", "a.b", "a/b"])
def test_a_prefix_of_topologies_is_part_of_a_name(prefix, tmp_path):
    assert Settings.load(tmp_path, {"QOLD_TOPOLOGY_PREFIX": ""}).topology_prefix == ""
    assert Settings.load(tmp_path, {"QOLD_TOPOLOGY_PREFIX": "demo-2"}).topology_prefix == "demo-2"
    with pytest.raises(SettingsError, match="topology_prefix"):
        Settings.load(tmp_path, {"QOLD_TOPOLOGY_PREFIX": prefix})
