"""A store that acknowledges before it stores is believed only as long as samples can be read."""

from hypothesis import given
from hypothesis import strategies as st

from qold.domain.model import Point
from qold.domain.read_back import EVERY_MS, LATE_MS, LOST_MS, ReadBack

POINT = Point(7, 1_795_456_000_000, 4.5)


def sampled(at_ms=0):
    read_back = ReadBack()
    read_back.acknowledged("Temperature", POINT, at_ms)
    return read_back


def test_nothing_is_looked_for_before_something_was_acknowledged():
    assert ReadBack().due(10**9) is None


def test_a_sample_is_looked_for_after_a_second_and_again_every_second():
    read_back = sampled()
    assert read_back.due(EVERY_MS - 1) is None
    sample = read_back.due(EVERY_MS)
    assert (sample.metric, sample.point) == ("Temperature", POINT)
    assert read_back.looked(sample, is_found=False, now_ms=1500) == "waiting"
    assert read_back.due(1500 + EVERY_MS - 1) is None
    assert read_back.due(1500 + EVERY_MS) is sample


def test_the_next_sample_is_taken_after_one_was_found():
    read_back = sampled()
    other = Point(8, 1, 2.0)
    read_back.acknowledged("Battery", other, 500)
    sample = read_back.due(2000)
    assert sample.point == POINT
    assert read_back.looked(sample, is_found=True, now_ms=2000) == "readable"
    assert read_back.due(9000) is None
    read_back.acknowledged("Battery", other, 9000)
    assert read_back.due(9000) is None
    assert read_back.due(9000 + EVERY_MS).point == other
    assert read_back.take_counts() == {"readable": 1}
    assert read_back.take_counts() == {}


def test_late_is_told_once_and_ends_when_the_sample_is_found():
    read_back = sampled()
    sample = read_back.due(LATE_MS)
    assert read_back.looked(sample, is_found=False, now_ms=LATE_MS - 1) == "waiting"
    assert not read_back.is_late
    assert read_back.looked(sample, is_found=False, now_ms=LATE_MS) == "late"
    assert read_back.is_late
    assert read_back.looked(sample, is_found=False, now_ms=2 * LATE_MS) == "waiting"
    assert read_back.looked(sample, is_found=True, now_ms=3 * LATE_MS) == "readable"
    assert not read_back.is_late
    assert read_back.take_counts() == {"late": 1, "readable": 1}


def test_a_lost_sample_is_given_up_so_that_writing_goes_on():
    read_back = sampled()
    sample = read_back.due(LOST_MS)
    assert read_back.looked(sample, is_found=False, now_ms=LATE_MS) == "late"
    assert read_back.looked(sample, is_found=False, now_ms=LOST_MS) == "lost"
    assert not read_back.is_late
    assert read_back.due(2 * LOST_MS) is None
    assert read_back.take_counts() == {"late": 1, "lost": 1}


@given(st.lists(st.tuples(st.integers(0, 400_000), st.booleans()), max_size=60))
def test_it_is_late_only_while_its_sample_waits_longer_than_a_minute(steps):
    read_back, now_ms = ReadBack(), 0
    for step_ms, is_found in steps:
        read_back.acknowledged("Temperature", POINT, now_ms)
        now_ms += step_ms
        sample = read_back.due(now_ms)
        if sample is not None:
            verdict = read_back.looked(sample, is_found=is_found, now_ms=now_ms)
            age_ms = now_ms - sample.acknowledged_at_ms
            assert (verdict == "readable") == is_found
            assert read_back.is_late == (not is_found and LATE_MS <= age_ms < LOST_MS)
