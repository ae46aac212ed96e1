"""Up to when everything is worked off: never later than the truth, and soon enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qold.domain.watermark import GAP_MS, GRACE_MS, Attention, Stage, Watermark

IDLE = Stage({0: 5, 1: 0}, {0: 5})


def test_idle_and_empty_partitions_hold_nobody_back():
    assert Watermark().look(1000, [IDLE, Stage({0: 0}, {})]) == 1000


def test_one_partition_that_waits_holds_all_back():
    watermark = Watermark()
    assert watermark.look(1000, [Stage({0: 5, 1: 3}, {0: 5, 1: 2})]) is None
    assert watermark.look(2000, [Stage({0: 9, 1: 4}, {0: 9, 1: 3})]) == 1000
    assert watermark.look(3000, [Stage({0: 9, 1: 4}, {0: 9, 1: 4})]) == 3000


def test_a_consumer_that_is_away_stops_it():
    """Nothing is committed: what a task has not read yet, it may not call silence."""
    watermark = Watermark()
    assert watermark.look(1000, [IDLE]) == 1000
    for now_ms in range(2000, 9000, 1000):
        assert watermark.look(now_ms, [Stage({0: now_ms, 1: 0}, {0: 5})]) == 1000
    assert watermark.look(9000, [Stage({0: 9000, 1: 0}, {0: 8999})]) == 2000


def test_what_waits_for_the_first_consumer_is_waited_for_in_the_second():
    watermark = Watermark()
    assert watermark.look(1000, [Stage({0: 1}, {0: 0}), Stage({0: 0}, {})]) is None
    # The first has passed it on; now it waits for the second.
    assert watermark.look(2000, [Stage({0: 1}, {0: 1}), Stage({0: 1}, {0: 0})]) is None
    assert watermark.look(3000, [Stage({0: 1}, {0: 1}), Stage({0: 1}, {0: 1})]) == 3000


def test_a_clock_that_is_set_back_takes_it_along():
    watermark = Watermark()
    assert watermark.look(10_000, [IDLE]) == 10_000
    assert watermark.look(20_000, [Stage({0: 6}, {0: 5})]) == 10_000
    assert watermark.look(4_000, [Stage({0: 6}, {0: 5})]) == 4_000
    assert watermark.look(5_000, [Stage({0: 6}, {0: 6})]) == 5_000


step_st = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 1)),
    st.tuples(st.just("pass on"), st.integers(0, 1)),
    st.tuples(st.just("work off"), st.integers(0, 1)),
    st.tuples(st.just("look"), st.just(0)),
)


@settings(max_examples=300)
@given(st.lists(step_st, max_size=60))
def test_everything_before_it_has_been_worked_off(steps):
    """Two topics of two partitions, the first passed on into the second, one look after the other.

    Between the reads of a look anything may happen; here the last look is a whole one.
    """
    watermark = Watermark()
    first, second = {0: [], 1: []}, {0: [], 1: []}  # times of append of what is there
    passed_on, worked_off = {0: 0, 1: 0}, {0: 0, 1: 0}
    for now, (step, partition) in enumerate([*steps, ("look", 0)], start=1):
        if step == "append":
            first[partition].append(now)
        elif step == "pass on" and passed_on[partition] < len(first[partition]):
            second[partition].append(first[partition][passed_on[partition]])
            passed_on[partition] += 1
        elif step == "work off" and worked_off[partition] < len(second[partition]):
            worked_off[partition] += 1
        elif step == "look":
            passed = watermark.look(
                now,
                [
                    Stage({p: len(first[p]) for p in first}, dict(passed_on)),
                    Stage({p: len(second[p]) for p in second}, dict(worked_off)),
                ],
            )
            waiting = [at for p in first for at in first[p][passed_on[p] :]]
            waiting += [at for p in second for at in second[p][worked_off[p] :]]
            assert passed is None or all(at > passed for at in waiting)
            if not waiting:
                assert passed == now


@pytest.mark.parametrize("jump_ms", [GAP_MS + 1, 3_600_000, -1, -3_600_000])
def test_after_a_gap_or_a_jump_of_the_clock_everybody_gets_time(jump_ms):
    attention = Attention(0, GRACE_MS)
    assert attention.look(GRACE_MS + 15_000)
    now_ms = GRACE_MS + 15_000 + jump_ms
    assert not attention.look(now_ms)
    for after_ms in range(0, GRACE_MS, GAP_MS):
        assert not attention.look(now_ms + after_ms)
    assert attention.look(now_ms + GRACE_MS)


def test_short_stops_do_not_matter():
    attention = Attention(0, GRACE_MS)
    assert attention.look(GRACE_MS + GAP_MS)
