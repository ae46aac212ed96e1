"""What every StateStore promises: compare and set per key, expired is absent."""

import pytest

from qold import wiring
from qold.ports import StateChange, StoredState
from tests.support.stores import Stores

NOW = 1_795_456_000_000


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request, tmp_path):
    for stores in Stores.of(request, tmp_path, "state_url", wiring.state_store):
        yield stores.open


@pytest.fixture
def store(open_store):
    return open_store()


def test_a_state_is_made_changed_and_survives(store, open_store):
    assert store.save([StateChange("a", 0, "one")], now_ms=NOW) == []
    assert store.save([StateChange("a", 1, "two")], now_ms=NOW) == []
    assert open_store().load(["a", "b"], now_ms=NOW) == {"a": StoredState(2, "two")}


def test_a_conflict_is_told_and_the_others_are_saved(store):
    store.save([StateChange("a", 0, "mine")], now_ms=NOW)
    changes = [StateChange("a", 0, "theirs"), StateChange("b", 0, "new"), StateChange("c", 3, "x")]
    assert store.save(changes, now_ms=NOW) == ["a", "c"]
    assert store.load(["a", "b", "c"], now_ms=NOW) == {
        "a": StoredState(1, "mine"),
        "b": StoredState(1, "new"),
    }


def test_two_writers_who_read_the_same_version_cannot_both_win(store, open_store):
    store.save([StateChange("a", 0, "0")], now_ms=NOW)
    other = open_store()
    assert store.save([StateChange("a", 1, "mine")], now_ms=NOW) == []
    assert other.save([StateChange("a", 1, "theirs")], now_ms=NOW) == ["a"]


def test_an_expired_state_is_absent_and_can_be_made_anew(store):
    store.save([StateChange("a", 0, "old", NOW + 1000)], now_ms=NOW)
    assert store.load(["a"], now_ms=NOW + 999)
    assert store.load(["a"], now_ms=NOW + 1000) == {}
    assert store.save([StateChange("a", 0, "new")], now_ms=NOW + 1000) == []
    assert store.load(["a"], now_ms=NOW + 10**9)["a"].value == "new"


def test_values_come_back_whole(store):
    """Blanks, a percent sign, quotes, non-ASCII, a line break, nothing, a megabyte; far versions."""
    values = ["", " ", "1 0 x", "%d %s", "'\"", "Câmara 1", "a\nb", "x" * 2**20]
    store.save([StateChange(f"k{i}", 0, value) for i, value in enumerate(values)], now_ms=NOW)
    found = store.load([f"k{i}" for i in range(len(values))], now_ms=NOW)
    assert [found[f"k{i}"].value for i in range(len(values))] == values
    for version in range(1, 12):
        assert store.save([StateChange("k0", version, "x", NOW * 2)], now_ms=NOW) == []
    assert store.load(["k0"], now_ms=NOW) == {"k0": StoredState(12, "x")}


def test_deleting(store):
    store.save([StateChange("a", 0, "1"), StateChange("b", 0, "2")], now_ms=NOW)
    store.delete(["a", "unknown"])
    assert set(store.load(["a", "b"], now_ms=NOW)) == {"b"}


def test_many_keys_at_once(store):
    store.save([StateChange(f"k{i}", 0, str(i)) for i in range(3000)], now_ms=NOW)
    assert len(store.load([f"k{i}" for i in range(4000)], now_ms=NOW)) == 3000


def test_nothing_to_do_is_allowed(store):
    assert store.save([], now_ms=NOW) == []
    assert store.load([], now_ms=NOW) == {}
