"""What every ReadingStore promises: last write wins, ends exclusive, aggregates agree."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qold.adapters.readings.sqlite import SqliteReadingStore
from qold.ports import Point, Refused

T = 1_795_456_000_000 // 3_600_000 * 3_600_000
HOUR = 3_600_000


@pytest.fixture(params=["sqlite"])
def store(request, tmp_path):
    store = SqliteReadingStore(tmp_path / "readings.db")
    yield store
    store.close()


def test_what_is_written_comes_back_in_order_of_time(store):
    points = [Point(1, T + 2, 4.5), Point(1, T, -18.25), Point(1, T + 1, 0.0), Point(2, T, 9.0)]
    assert store.write("Temperature", points) == []
    assert store.query("Temperature", 1, T, T + 3) == [points[1], points[2], points[0]]


def test_metrics_are_apart_and_keep_their_types(store):
    store.write("Temperature", [Point(1, T, 4)])
    store.write("Battery", [Point(1, T, 88)])
    (temperature,) = store.query("Temperature", 1, T, T + 1)
    (battery,) = store.query("Battery", 1, T, T + 1)
    assert isinstance(temperature.value, float)
    assert isinstance(battery.value, int)
    assert (store.count("Temperature"), store.count("Battery")) == (1, 1)


def test_the_last_write_wins(store):
    store.write("Battery", [Point(1, T, 88), Point(1, T, 87)])
    store.write("Battery", [Point(1, T, 86)])
    assert store.query("Battery", 1, T, T + 1) == [Point(1, T, 86)]
    assert store.count("Battery") == 1


def test_the_end_of_a_range_is_exclusive(store):
    store.write("Battery", [Point(1, T, 1), Point(1, T + 1, 2)])
    assert [p.value for p in store.query("Battery", 1, T, T + 1)] == [1]
    assert store.query("Battery", 1, T, T) == []


BAD = [math.nan, math.inf, -math.inf, "4.2", True, None, 2**60]


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_a_bad_value_is_refused_and_its_neighbours_stored(store, value):
    """NaN, infinities, text, a boolean, null, a number a double cannot hold."""
    refused = store.write(
        "Temperature", [Point(1, T, 1.0), Point(1, T + 1, value), Point(1, T + 2, 3.0)]
    )
    assert [r.index for r in refused] == [1]
    assert [p.value for p in store.query("Temperature", 1, T, T + 9)] == [1.0, 3.0]


def test_a_battery_is_a_whole_number(store):
    assert store.write("Battery", [Point(1, T, 88.5)]) == [Refused(0, "not-a-number")]


def test_ids_and_times_out_of_range_are_refused(store):
    bad = [Point(0, T, 1.0), Point(2**31, T, 1.0), Point(1, -1, 1.0)]
    assert [r.reason for r in store.write("Temperature", bad)] == ["out-of-range"] * 3


def test_aggregates_per_bucket_with_points(store):
    values = [
        (0, 1.0),
        (10, 5.0),
        (20, 3.0),
        (2 * HOUR, 7.0),
        (3 * HOUR - 1, 9.0),
        (3 * HOUR, 100.0),
    ]
    store.write("Temperature", [Point(1, T + at, value) for at, value in values])
    expected = {
        "avg": [3.0, 8.0], "min": [1.0, 7.0], "max": [5.0, 9.0], "sum": [9.0, 16.0],
        "count": [3, 2], "first": [1.0, 7.0], "last": [3.0, 9.0],
    }  # fmt: skip
    for aggregator, wanted in expected.items():
        found = store.aggregate(
            "Temperature", 1, T, T + 3 * HOUR, bucket_ms=HOUR, aggregator=aggregator
        )
        assert [p.value for p in found] == wanted, aggregator
        assert [p.measured_at_ms for p in found] == [T, T + 2 * HOUR]


point_lists = st.lists(
    st.tuples(st.integers(1, 3), st.integers(T, T + 10), st.floats(-300, 300)), max_size=40
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(point_lists, st.integers(1, 40))
def test_like_a_dictionary_however_it_is_cut_into_writes(tmp_path_factory, points, cut):
    store = SqliteReadingStore(tmp_path_factory.mktemp("readings") / "readings.db")
    model = {}
    for start in range(0, len(points), cut):
        store.write("Temperature", [Point(*p) for p in points[start : start + cut]])
    for device_id, at_ms, value in points:
        model[device_id, at_ms] = value
    found = {
        (p.device_id, p.measured_at_ms): p.value
        for device_id in (1, 2, 3)
        for p in store.query("Temperature", device_id, T, T + 11)
    }
    assert found == model
    store.close()
