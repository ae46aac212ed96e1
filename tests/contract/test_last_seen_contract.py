"""What every LastSeen promises: the latest time stays, nobody drops out of the watch."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qold import wiring
from tests.support.stores import Stores

T = 1_795_456_000_000


@pytest.fixture(params=["sqlite", "redis"])
def stores(request, tmp_path):
    yield from Stores.of(request, tmp_path, "last_seen_url", wiring.last_seen)


@pytest.fixture
def last_seen(stores):
    return stores.open()


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


def test_nobody_and_many(last_seen):
    for nothing in (last_seen.enrol, last_seen.touch):
        nothing({})
    last_seen.retire([])
    assert last_seen.get([]) == {}
    last_seen.touch({i: T + i for i in range(1, 3001)})
    assert last_seen.overdue(T + 2002, after_id=999) == list(range(1000, 2000))


def test_gateways_are_kept_beside_devices_and_come_before_them(last_seen):
    """Under negative ids, so that both are one call."""
    assert last_seen.touch({7: T, -7: T, -2: T + 1}) == {7: None, -7: None, -2: None}
    last_seen.touch({-7: T - 1})
    assert last_seen.get([7, -7, -2, 2]) == {7: T, -7: T, -2: T + 1}
    assert last_seen.overdue(T + 2, after_id=-(2**31)) == [-7, -2, 7]
    assert last_seen.overdue(T + 1, after_id=-7) == [7]
    assert last_seen.overdue(T + 2) == [7]
    last_seen.retire([-7])
    assert last_seen.get([7, -7]) == {7: T}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(st.integers(1, 5), st.integers(T, T + 20), max_size=5), max_size=12)
)
def test_any_order_ends_in_the_maximum(stores, touches):
    last_seen = stores.open_empty()
    model: dict[int, int] = {}
    for touch in touches:
        assert last_seen.touch(touch) == {i: model.get(i) for i in touch}
        for device_id, seen in touch.items():
            model[device_id] = max(seen, model.get(device_id, 0))
    assert last_seen.get(range(1, 6)) == model
