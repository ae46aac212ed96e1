"""How `max_mb` is divided, and what the messages' room gives away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.room import PAGE_BYTES, Division, Room


@pytest.mark.parametrize("megabytes", [1, 2, 21, 22, 512, 2**20])
def test_the_parts_are_the_whole(megabytes: int) -> None:
    division = Division.of(megabytes * 2**20)
    parts = (division.messages, division.memory, division.reserve, division.log)
    assert sum(parts) == megabytes * 2**20
    assert min(parts) > 0
    assert 0 < division.checkpoint_pages * PAGE_BYTES < division.log


def test_an_outbox_of_the_default_size_is_mostly_for_messages() -> None:
    division = Division.of(512 * 2**20)
    assert division.messages == 434 * 2**20
    assert division.remembered_items == 419_430


@given(free=st.integers(-10_000, 10_000), sizes=st.lists(st.integers(1, 500)))
def test_what_is_dropped_is_at_most_twice_what_comes_in(free: int, sizes: list[int]) -> None:
    dropped: list[int] = []

    def drop(size: int) -> int:
        dropped.append(size)
        return size

    room = Room(free, drop)
    assert all(room.take(size) for size in sizes)
    assert sum(dropped) <= 2 * sum(sizes)
    if free >= 0:
        assert sum(dropped) == max(0, sum(sizes) - free)


def test_without_anything_to_drop_there_is_no_room() -> None:
    room = Room(99, lambda size: 0)
    assert not room.take(100)
    assert room.take(99)
    assert not room.take(1)
