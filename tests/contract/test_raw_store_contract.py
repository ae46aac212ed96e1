"""What every RawStore promises: rewriting changes nothing, rows in order of measurement."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qold.adapters.raw.sqlite import SqliteRawStore
from qold.ports import RawRow, Refused

T = 1_795_456_000_000


@pytest.fixture(params=["sqlite"])
def store(request, tmp_path):
    store = SqliteRawStore(tmp_path / "raw.db")
    yield store
    store.close()


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


def test_writing_nothing_is_allowed(store):
    assert store.write([]) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(row, st.integers(1, 3), st.integers(T, T + 5), st.integers(0, 3)), max_size=30
    )
)
def test_any_repetition_ends_in_the_same_rows(tmp_path_factory, rows):
    store = SqliteRawStore(tmp_path_factory.mktemp("raw") / "raw.db")
    for one in rows:
        store.write([one])
    store.write(list(reversed(rows)))
    keys = {(r.device_id, r.measured_at_ms, r.fingerprint) for r in rows}
    assert store.count() == len(keys)
    store.close()
