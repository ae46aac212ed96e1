"""The committed offset never passes a range that is not done, whatever the order (R4, law 1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qold.domain.offsets import FIRST_RETRY_MS, LAST_RETRY_MS, OffsetBook, retry_delay_ms


def ranges_from(start: int, lengths_and_gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    ranges, at = [], start
    for length, gap in lengths_and_gaps:
        ranges.append((at + gap, at + gap + length - 1))
        at += gap + length
    return ranges


@given(
    start=st.integers(0, 10**9),
    shape=st.lists(st.tuples(st.integers(1, 500), st.integers(0, 3)), max_size=30),
    data=st.data(),
)
def test_commit_is_the_lowest_offset_not_done(start, shape, data):
    """Against a model that looks at every range; gaps of the log hold nothing back."""
    ranges = ranges_from(start, shape)
    book = OffsetBook(start)
    for first, last in ranges:
        book.emitted(first, last)
    done: set[tuple[int, int]] = set()
    committed = start
    for one in data.draw(st.permutations(ranges)):
        assert book.done(*one)
        done.add(one)
        expected = start
        for first, last in ranges:
            if (first, last) not in done:
                break
            expected = last + 1
        offered = book.committable()
        assert offered == (expected if expected > committed else None)
        if offered is not None and data.draw(st.booleans()):
            book.committed(offered)
            committed = offered
    assert len(book) == 0


@given(st.lists(st.sampled_from(["emit", "done", "twice", "unknown"]), max_size=60))
def test_unknown_and_repeated_acknowledgements_change_nothing(steps):
    """Bad input: an id from before a restart, the same acknowledgement again."""
    book = OffsetBook(0)
    at = 0
    flying: list[int] = []
    finished: list[int] = []
    for step in steps:
        if step == "emit":
            book.emitted(at, at + 4)
            flying.append(at)
            at += 5
        elif step == "done" and flying:
            first = flying.pop()
            assert book.done(first, first + 4)
            finished.append(first)
        elif step == "twice" and finished:
            assert not book.done(finished[-1], finished[-1] + 4)
        elif step == "unknown":
            assert not book.done(at + 100, at + 104)
        lowest = min(flying, default=at)
        assert (book.committable() or 0) == lowest


@pytest.mark.parametrize(("first", "last"), [(4, 9), (5, 4), (0, 0)])
def test_a_range_must_lie_behind_the_earlier_ones(first, last):
    """Bad input: overlapping, reversed, before the start."""
    book = OffsetBook(3)
    book.emitted(3, 4)
    with pytest.raises(ValueError, match="does not lie behind"):
        book.emitted(first, last)


def test_back_off_grows_and_is_bounded():
    delays = [retry_delay_ms(failures) for failures in range(1, 100)]
    assert delays[0] == FIRST_RETRY_MS
    assert delays == sorted(delays)
    assert delays[-1] == LAST_RETRY_MS
