"""What every ReadingStore promises: last write wins, ends exclusive, aggregates agree."""

import itertools
import math
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qold import wiring
from qold.clock import SystemClock
from qold.ports import Point, Refused
from qold.settings import Settings

T = 1_795_456_000_000 // 3_600_000 * 3_600_000
HOUR = 3_600_000
PATIENCE_S, LOOK_S = 60.0, 0.02
_device_ids = itertools.count(1, 10)


@pytest.fixture(params=["sqlite", "kairosdb"])
def kind(request):
    return request.param


@pytest.fixture
def store(kind, request, tmp_path):
    state, environ = tmp_path, {}
    if kind == "kairosdb":
        environ = {"QOLD_READINGS_URL": request.getfixturevalue("nginx").readings_url}
        state = request.getfixturevalue("servers").place.state
    store = wiring.reading_store(Settings.load(state, environ), SystemClock())
    yield store
    store.close()


@pytest.fixture
def device():
    """A device that no other test has, nor the nine after it."""
    return next(_device_ids)


@pytest.fixture
def holds(kind):
    """Whether a look shows what is wanted: at once, or soon where the port allows it."""

    def holds(look, wanted):
        give_up_at = time.monotonic() + (0.0 if kind == "sqlite" else PATIENCE_S)
        while (found := look()) != wanted and time.monotonic() < give_up_at:
            time.sleep(LOOK_S)
        assert found == wanted
        return True

    return holds


def test_what_is_written_comes_back_in_order_of_time(store, device, holds):
    points = [
        Point(device, T + 2, 4.5),
        Point(device, T, -18.25),
        Point(device, T + 1, 0.0),
        Point(device + 1, T, 9.0),
    ]
    assert store.write("Temperature", points) == []
    assert holds(
        lambda: store.query("Temperature", device, T, T + 3), [points[1], points[2], points[0]]
    )
    assert holds(lambda: store.query("Temperature", device + 1, T, T + 3), [points[3]])


def test_metrics_are_apart_and_keep_their_types(store, device, holds):
    before = store.count("Temperature"), store.count("Battery")
    store.write("Temperature", [Point(device, T, 4)])
    store.write("Battery", [Point(device, T, 88)])
    assert holds(lambda: store.query("Temperature", device, T, T + 1), [Point(device, T, 4)])
    assert holds(lambda: store.query("Battery", device, T, T + 1), [Point(device, T, 88)])
    assert isinstance(store.query("Temperature", device, T, T + 1)[0].value, float)
    assert isinstance(store.query("Battery", device, T, T + 1)[0].value, int)
    after = store.count("Temperature"), store.count("Battery")
    assert after == (before[0] + 1, before[1] + 1)


def test_values_come_back_to_the_last_bit(store, device, holds):
    values = [1e-300, 2.0**52, -300.12345678901234, 0.1 + 0.2, 5e-324, -0.0, 15.0]
    points = [Point(device, T + i, value) for i, value in enumerate(values)]
    store.write("Temperature", points)
    assert holds(lambda: store.query("Temperature", device, T, T + 9), points)


def test_the_last_write_wins(store, device, holds):
    """Over what could be read before, and within one call."""
    before = store.count("Battery")
    store.write("Battery", [Point(device, T, 88), Point(device, T, 87)])
    assert holds(lambda: store.query("Battery", device, T, T + 1), [Point(device, T, 87)])
    store.write("Battery", [Point(device, T, 86)])
    assert holds(lambda: store.query("Battery", device, T, T + 1), [Point(device, T, 86)])
    assert store.count("Battery") == before + 1


def test_the_end_of_a_range_is_exclusive(store, device, holds):
    points = [Point(device, T, 1), Point(device, T + 1, 2)]
    store.write("Battery", points)
    assert holds(lambda: store.query("Battery", device, T, T + 2), points)
    assert store.query("Battery", device, T, T + 1) == points[:1]
    assert store.query("Battery", device, T + 1, T + 2) == points[1:]
    assert store.query("Battery", device, T, T) == []
    assert store.query("Battery", device, T + 1, T) == []


def test_a_range_may_be_as_wide_as_time(store, device, holds):
    points = [Point(device, 0, 1), Point(device, T, 2), Point(device, 2**53 - 1, 3)]
    store.write("Battery", points)
    assert holds(lambda: store.query("Battery", device, 0, 2**53), points)
    assert store.query("Battery", device, 0, 2**53 - 1) == points[:2]


BAD = [math.nan, math.inf, -math.inf, "4.2", True, None, 2**60]


@pytest.mark.parametrize("value", BAD, ids=repr)
def test_a_bad_value_is_refused_and_its_neighbours_stored(store, device, holds, value):
    """NaN, infinities, text, a boolean, null, a number a double cannot hold."""
    points = [Point(device, T, 1.0), Point(device, T + 1, value), Point(device, T + 2, 3.0)]
    refused = store.write("Temperature", points)
    assert [r.index for r in refused] == [1]
    assert holds(lambda: store.query("Temperature", device, T, T + 9), [points[0], points[2]])


def test_nothing_to_write_is_written(store):
    assert store.write("Battery", []) == []


def test_a_battery_is_a_whole_number(store):
    assert store.write("Battery", [Point(1, T, 88.5)]) == [Refused(0, "not-a-number")]


def test_ids_and_times_out_of_range_are_refused(store):
    bad = [Point(0, T, 1.0), Point(2**31, T, 1.0), Point(1, -1, 1.0)]
    assert [r.reason for r in store.write("Temperature", bad)] == ["out-of-range"] * 3


AGGREGATES = {
    "avg": [3.0, 8.0], "min": [1.0, 7.0], "max": [5.0, 9.0], "sum": [9.0, 16.0],
    "count": [3, 2], "first": [1.0, 7.0], "last": [3.0, 9.0],
}  # fmt: skip
MEASURED = [(0, 1), (10, 5), (20, 3), (2 * HOUR, 7), (3 * HOUR - 1, 9), (3 * HOUR, 100)]


@pytest.mark.parametrize("metric", ["Temperature", "Battery"])
def test_aggregates_per_bucket_with_points(store, device, holds, metric):
    points = [Point(device, T + at, value) for at, value in MEASURED]
    store.write(metric, points)
    assert holds(lambda: store.query(metric, device, T, T + 4 * HOUR), points)
    for aggregator, wanted in AGGREGATES.items():
        found = store.aggregate(
            metric, device, T, T + 3 * HOUR, bucket_ms=HOUR, aggregator=aggregator
        )
        assert [p.value for p in found] == wanted, aggregator
        assert [p.measured_at_ms for p in found] == [T, T + 2 * HOUR]
        is_float = (metric == "Temperature" and aggregator != "count") or aggregator == "avg"
        assert {type(p.value) for p in found} == {float if is_float else int}, aggregator


@pytest.mark.parametrize("start", [1, 10, 11, 21, 2 * HOUR, 3 * HOUR - 1, 3 * HOUR])
def test_a_bucket_that_begins_before_the_range_holds_only_what_is_in_the_range(
    store, device, holds, start
):
    points = [Point(device, T + at, value) for at, value in MEASURED]
    store.write("Battery", points)
    assert holds(lambda: store.query("Battery", device, T, T + 4 * HOUR), points)
    found = store.aggregate(
        "Battery", device, T + start, T + 3 * HOUR + 1, bucket_ms=HOUR, aggregator="sum"
    )
    sums = {}
    for at, value in MEASURED:
        if at >= start:
            sums[at // HOUR] = sums.get(at // HOUR, 0) + value
    assert [(p.measured_at_ms, p.value) for p in found] == [
        (T + bucket * HOUR, total) for bucket, total in sums.items()
    ]


def test_what_was_acknowledged_is_never_late(store, device, holds):
    store.write("Battery", [Point(device, T, 1)])
    assert holds(lambda: store.query("Battery", device, T, T + 1), [Point(device, T, 1)])
    assert not store.verify().keys() & {"late", "lost"}
    store.ping()


point_lists = st.lists(
    st.tuples(st.integers(1, 3), st.integers(T, T + 10), st.floats(-300, 300)), max_size=40
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=point_lists, cut=st.integers(1, 40))
def test_like_a_dictionary_however_it_is_cut_into_writes(store, kind, holds, points, cut):
    first = next(_device_ids)
    points = [Point(first + number, at_ms, value) for number, at_ms, value in points]
    if kind != "sqlite":
        cut = 40  # a value replaces what could be read before
    model = {}
    for start in range(0, len(points), cut):
        assert store.write("Temperature", points[start : start + cut]) == []
    for device_id, at_ms, value in points:
        model[device_id, at_ms] = value
    assert holds(
        lambda: {
            (p.device_id, p.measured_at_ms): p.value
            for number in (1, 2, 3)
            for p in store.query("Temperature", first + number, T, T + 11)
        },
        model,
    )
