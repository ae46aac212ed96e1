"""What every RawStore promises: rewriting changes nothing, rows in order of measurement."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qold import wiring
from qold.ports import RawRow, Refused
from tests.support.stores import Stores

T = 1_795_456_000_000
FINGERPRINTS = st.sampled_from(
    [0, 1, 127, 128, 2**47, 2**61, 2**62 - 1]
)  # bytes above and below 0x80


@pytest.fixture(params=["sqlite", "cassandra"])
def stores(request, tmp_path):
    yield from Stores.of(request, tmp_path, "raw_url", wiring.raw_store)


@pytest.fixture
def store(stores):
    return stores.open()


def row(device_id=1, at_ms=T, fingerprint=7, message='{"v":1}', origin="reports:0:1:0"):
    return RawRow(device_id, at_ms, fingerprint, message, origin)


def test_rows_are_sorted_per_device_whatever_the_order_of_writing(store):
    store.write([row(1, T + 2000), row(2, T), row(1, T, 9), row(1, T, 3), row(1, T - 5000)])
    found = [(r.measured_at_ms, r.fingerprint) for r in store.read(1, 0, 2 * T)]
    assert found == [(T - 5000, 7), (T, 3), (T, 9), (T + 2000, 7)]


def test_rewriting_changes_nothing(store):
    rows = [row(at_ms=T + i) for i in range(10)]
    store.write(rows)
    store.write(rows)
    store.write(rows[3:5])
    assert list(store.read(1, 0, 2 * T)) == rows
    assert store.count() == 10


def test_the_end_of_a_range_is_exclusive(store):
    store.write([row(at_ms=T), row(at_ms=T + 1)])
    assert [r.measured_at_ms for r in store.read(1, T, T + 1)] == [T]
    assert list(store.read(1, T + 1, T + 1)) == []


def test_a_range_has_all_of_its_first_instant_and_nothing_of_its_end(store):
    """Whatever the fingerprint: Cassandra compares its bytes with their signs."""
    fingerprints = [0, 127, 128, 2**47, 2**55 - 1, 2**55, 2**56 - 1, 2**61, 2**62 - 1]
    store.write([row(at_ms=T + i, fingerprint=f) for i in range(3) for f in fingerprints])
    found = [(r.measured_at_ms, r.fingerprint) for r in store.read(1, T + 1, T + 2)]
    assert found == [(T + 1, f) for f in fingerprints]


def test_an_unknown_device_has_no_rows(store):
    assert list(store.read(99, 0, 2 * T)) == []


def test_a_bad_row_is_refused_and_its_neighbours_stored(store):
    """Device 0, device above Cassandra's int, negative time, fingerprint of 63 bits."""
    bad = [row(0), row(2**31), row(at_ms=-1), row(fingerprint=2**62)]
    refused = store.write([row(at_ms=T), *bad, row(at_ms=T + 1)])
    assert refused == [Refused(i, "out-of-range") for i in (1, 2, 3, 4)]
    assert store.count() == 2


def test_long_reads_are_whole(store):
    store.write([row(at_ms=T + i) for i in range(3500)])
    assert len(list(store.read(1, T, T + 3500))) == 3500


def test_reads_go_over_months_and_years(store):
    """The last millisecond of one month and the first of the next, a leap day, 1970."""
    times = [0, 1_456_790_399_999, 1_456_790_400_000, 1_709_164_800_000, T, T + 40 * 86_400_000]
    store.write([row(at_ms=at_ms) for at_ms in reversed(times)])
    assert [r.measured_at_ms for r in store.read(1, 0, 2 * T)] == times
    assert [r.measured_at_ms for r in store.read(1, times[1], times[2] + 1)] == times[1:3]


def test_batches_of_many_partitions_and_of_one_are_whole(store):
    rows = [row(device_id, T + device_id) for device_id in range(1, 301)]
    rows += [row(1000, T + second * 1000) for second in range(333)]
    assert store.write(rows) == []
    assert store.count() == len(rows)
    assert len(list(store.read(1000, T, 2 * T))) == 333
    assert list(store.read(77, T, 2 * T)) == [row(77, T + 77)]


def test_writing_nothing_is_allowed(store):
    assert store.write([]) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.builds(row, st.integers(1, 3), st.integers(T, T + 5), FINGERPRINTS), max_size=30)
)
def test_any_repetition_ends_in_the_same_rows(stores, rows):
    store = stores.open_empty()
    for one in rows:
        store.write([one])
    store.write(list(reversed(rows)))
    keys = {(r.device_id, r.measured_at_ms, r.fingerprint) for r in rows}
    assert store.count() == len(keys)
    for device_id in (1, 2, 3):
        found = [
            (r.device_id, r.measured_at_ms, r.fingerprint) for r in store.read(device_id, 0, 2 * T)
        ]
        assert found == sorted(key for key in keys if key[0] == device_id)
