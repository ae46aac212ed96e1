"""What every LastSeen promises: the latest time stays, nobody drops out of the watch."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qold.adapters.last_seen.sqlite import SqliteLastSeen

T = 1_795_456_000_000


@pytest.fixture(params=["sqlite"])
def last_seen(request, tmp_path):
    last_seen = SqliteLastSeen(tmp_path / "last_seen.db")
    yield last_seen
    last_seen.close()


def test_touching_keeps_the_later_time_and_tells_the_one_before(last_seen):
    assert last_seen.touch({1: T, 2: T}) == {1: None, 2: None}
    assert last_seen.touch({1: T + 5, 2: T - 5, 3: T}) == {1: T, 2: T, 3: None}
    assert last_seen.get([1, 2, 3, 4]) == {1: T + 5, 2: T, 3: T}


def test_enrolling_never_overwrites_what_was_heard(last_seen):
    last_seen.touch({1: T})
    last_seen.enrol({1: T + 100, 2: T + 100})
    assert last_seen.get([1, 2]) == {1: T, 2: T + 100}


def test_a_retired_device_is_watched_no_more(last_seen):
    last_seen.touch({1: T, 2: T})
    last_seen.retire([1, 99])
    assert last_seen.overdue(T + 1) == [2]


def test_overdue_pages_in_order_and_excludes_the_limit(last_seen):
    last_seen.touch({i: T - i for i in range(1, 6)} | {6: T})
    assert last_seen.overdue(T, limit=2) == [1, 2]
    assert last_seen.overdue(T, after_id=2, limit=2) == [3, 4]
    assert last_seen.overdue(T, after_id=4) == [5]
    assert last_seen.overdue(T - 5) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.integers(1, 5), st.integers(T, T + 20), max_size=5), max_size=12)
)
def test_any_order_ends_in_the_maximum(tmp_path_factory, touches):
    last_seen = SqliteLastSeen(tmp_path_factory.mktemp("seen") / "last_seen.db")
    model: dict[int, int] = {}
    for touch in touches:
        assert last_seen.touch(touch) == {i: model.get(i) for i in touch}
        for device_id, seen in touch.items():
            model[device_id] = max(seen, model.get(device_id, 0))
    assert last_seen.get(range(1, 6)) == model
    last_seen.close()
