"""Excursions: a function of the set of readings, whatever their order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qold.domain.excursions import DAY_MS, DeviceState, Sample, advance, rebuild
from qold.domain.limits import Limits

MINUTE = 60_000
QUARTER = 15 * MINUTE
HOUR = 60 * MINUTE
START = 20_000 * DAY_MS
COLD_ROOM = Limits(min_celsius=2.0, max_celsius=8.0)


def samples(*values, start_ms=START, step_ms=QUARTER):
    """Readings a quarter of an hour apart; None, a sensor fault, has no value and no sample."""
    return [
        Sample(start_ms + n * step_ms, n, value)
        for n, value in enumerate(values)
        if value is not None
    ]


def found(readings, limits=COLD_ROOM, rules=None):
    """The excursions after taking readings in order, as (kind, start, confirmed, end, extreme, observed)
    in minutes since START."""
    state, excursions = DeviceState(), {}
    for sample in readings:
        for excursion in advance(state, sample, rules or limits.temperature_rules()):
            excursions[excursion.kind, excursion.started_at_ms] = excursion
    return [told(excursion) for excursion in excursions.values()]


def told(excursion):
    def minutes(at_ms):
        return None if at_ms is None else (at_ms - START) // MINUTE

    return (
        excursion.kind,
        minutes(excursion.started_at_ms),
        minutes(excursion.confirmed_at_ms),
        minutes(excursion.ended_at_ms),
        excursion.extreme,
        excursion.observed_ms // MINUTE,
    )


def test_from_the_first_reading_outside_to_the_first_back_inside():
    assert found(samples(5, 8.01, 9.5, 8.5, 7.9, 5)) == [("temperature.high", 15, 15, 60, 9.5, 45)]
    assert found(samples(5, 1.5, -2, 1, 2.1)) == [("temperature.low", 15, 15, 60, -2, 45)]


def test_strictly_outside():
    assert found(samples(8.0, 2.0, 8.0)) == []
    assert found(samples(0.0, -0.0, 0.0), Limits(min_celsius=0.0, max_celsius=-0.0)) == []
    assert found(samples(-0.01), Limits(min_celsius=0.0)) != []


def test_a_missing_limit_is_no_check():
    assert found(samples(-50, 50), Limits(max_celsius=None, min_celsius=None)) == []


def test_zero_degrees_is_a_reading():
    assert found(samples(0.0, 5.0)) == [("temperature.low", 0, 0, 15, 0.0, 15)]


def test_a_sensor_fault_says_nothing():
    assert found(samples(9, None, 9, None, 5)) == [("temperature.high", 0, 0, 60, 9, 60)]


def test_battery():
    rules = Limits(delay_ms=HOUR, hysteresis=5.0).battery_rules()
    assert found(samples(21, 20, 19, 18, 20), rules=rules) == [("battery.low", 30, 30, 60, 18, 30)]


def test_an_excursion_with_a_delay_counts_when_the_observed_time_reaches_it():
    limits = Limits(max_celsius=8.0, delay_ms=30 * MINUTE)
    assert found(samples(9, 9, 5), limits) == []
    assert found(samples(9, 9, 9, 5), limits) == [("temperature.high", 0, 30, 45, 9, 45)]


def test_a_gap_of_more_than_two_intervals_pauses_the_delay():
    limits = Limits(max_celsius=8.0, delay_ms=30 * MINUTE)
    two = [Sample(START, 0, 9), Sample(START + 30 * MINUTE, 1, 9)]
    assert found(two, limits) == [("temperature.high", 0, 30, None, 9, 30)]
    beyond = [Sample(START, 0, 9), Sample(START + 30 * MINUTE + 1, 1, 9)]
    assert found(beyond, limits) == []
    more = [*beyond, Sample(START + 45 * MINUTE, 2, 9), Sample(START + 61 * MINUTE, 3, 9)]
    assert found(more, limits) == [("temperature.high", 0, 61, None, 9, 30)]


def test_hysteresis_of_the_return():
    limits = Limits(max_celsius=8.1, hysteresis=0.3)
    assert found(samples(9, 8.0, 7.81, 8.05, 7.8), limits) == [
        ("temperature.high", 0, 0, 60, 9, 60)
    ]


def test_at_the_limit_nothing_begins_however_far_the_return_is():
    limits = Limits(min_celsius=0.0, max_celsius=8.0, hysteresis=0.5)
    assert found(samples(8.0, 7.9, 0.0, -0.0, 0.1), limits) == []
    assert found(samples(8.01, 8.0), limits) == [("temperature.high", 0, 0, None, 8.01, 15)]


def test_a_limit_that_is_taken_away_ends_the_excursion():
    state = DeviceState()
    first, second = samples(9, 9)
    advance(state, first, COLD_ROOM.temperature_rules())
    (ended,) = advance(state, second, Limits().temperature_rules())
    assert told(ended) == ("temperature.high", 0, 0, 15, 9, 15)
    assert state.runs == {}


class Device:
    """Takes readings as they come, as the Temperature bolt does: advance, or rebuild from all."""

    def __init__(self, limits):
        self.rules, self.state = limits.temperature_rules(), DeviceState()
        self.known, self.excursions, self.too_late = set(), {}, 0

    def take(self, sample):
        self.known.add(sample)
        if self.state.is_in_order(sample):
            changed = advance(self.state, sample, self.rules)
        elif self.state.is_too_late(sample):
            self.too_late += 1
            return
        else:
            from_ms = self.state.rebuild_from_ms(sample)
            since = [known for known in self.known if known.at_ms >= from_ms]
            self.excursions = {
                key: excursion
                for key, excursion in self.excursions.items()
                if excursion.ended_at_ms is not None and excursion.ended_at_ms < from_ms
            }
            changed = rebuild(self.state, since, self.rules)
        for excursion in changed:
            self.excursions[excursion.kind, excursion.started_at_ms] = excursion


def after(readings, limits):
    device = Device(limits)
    for sample in readings:
        device.take(sample)
    assert device.too_late == 0
    return device


limits_st = st.builds(
    Limits,
    min_celsius=st.sampled_from([None, 2.0]),
    max_celsius=st.sampled_from([None, 8.0]),
    delay_ms=st.sampled_from([0, 30 * MINUTE, 60 * MINUTE]),
    hysteresis=st.sampled_from([0.0, 0.5]),
)
sample_st = st.builds(
    Sample,
    at_ms=st.integers(0, 8 * 96 - 1).map(lambda n: START + n * QUARTER),
    fingerprint=st.integers(0, 2),
    value=st.sampled_from([0.0, 1.9, 5.0, 7.5, 7.6, 8.0, 8.01, 12.0]),
)


@given(
    limits_st,
    st.lists(sample_st, min_size=1, max_size=25, unique_by=lambda s: (s.at_ms, s.fingerprint)),
    st.randoms(use_true_random=False),
)
def test_any_order_and_any_repetition_ends_in_the_same_list(limits, readings, rng):
    """Readings over eight days, shuffled, some given again."""
    in_order = after(sorted(readings), limits)
    shuffled = readings + rng.choices(readings, k=len(readings) // 2)
    rng.shuffle(shuffled)
    out_of_order = after(shuffled, limits)
    assert out_of_order.excursions == in_order.excursions
    assert out_of_order.state.runs == in_order.state.runs
    assert out_of_order.state.newest == in_order.state.newest


def test_a_reading_seven_days_late_joins_what_it_belongs_to():
    readings = samples(*(5.0 for _ in range(9 * 96)))
    late = readings[2 * 96 + 5]
    readings[2 * 96 + 5] = late = Sample(late.at_ms, late.fingerprint, 9.0)
    in_order = after(readings, COLD_ROOM)
    without = [sample for sample in readings if sample is not late]
    device = after([*without, late], COLD_ROOM)
    assert device.excursions == in_order.excursions != {}


def test_a_reading_before_the_first_that_was_heard_belongs_to_its_excursion():
    """The checkpoint of the first day lies before its first reading, also when that came late."""
    first, second, third = samples(9.0, 9.5, 9.0, start_ms=START + QUARTER)
    device = after([second, third, first], COLD_ROOM)
    assert device.excursions == after([first, second, third], COLD_ROOM).excursions
    assert len(device.excursions) == 1


def test_a_reading_beyond_the_guarantee_is_told_apart_and_changes_nothing():
    device = Device(COLD_ROOM)
    readings = samples(*(5.0 for _ in range(20 * 96)))
    for sample in readings:
        device.take(sample)
    device.take(Sample(START + QUARTER, 999, 50.0))
    assert (device.too_late, device.excursions) == (1, {})


def test_the_state_stays_small():
    """A year of readings keeps the checkpoints of nine or ten days."""
    state = DeviceState()
    rng = random.Random(1)
    for n in range(365 * 96):
        advance(
            state, Sample(START + n * QUARTER, n, rng.uniform(0, 10)), COLD_ROOM.temperature_rules()
        )
    assert len(state.checkpoints) <= 10
    assert sum(point.readings for point in state.checkpoints) <= 10 * 96


def test_the_state_knows_how_many_readings_a_rebuild_needs():
    device = after(samples(*(5.0 for _ in range(300))), COLD_ROOM)
    late = Sample(START + 200 * QUARTER + 1, 0, 5.0)
    from_ms = device.state.rebuild_from_ms(late)
    needed = [sample for sample in device.known if sample.at_ms >= from_ms]
    assert device.state.readings_since(from_ms) == len(needed)


@pytest.mark.parametrize("repeats", [1, 100])
def test_the_same_reading_a_hundred_times(repeats):
    device = Device(COLD_ROOM)
    for sample in samples(5, 9, 9):
        for _ in range(repeats):
            device.take(sample)
    assert [told(excursion) for excursion in device.excursions.values()] == [
        ("temperature.high", 15, 15, None, 9, 15)
    ]


def test_a_reading_of_the_same_day_before_the_very_first():
    """A device's first reading is no reason to forget what came before it on that day."""
    early, first, second = samples(9.0, 9.0, 9.0, start_ms=START + HOUR)
    state, rules = DeviceState(), COLD_ROOM.temperature_rules()
    for sample in (first, second):
        advance(state, sample, rules)
    (excursion,) = rebuild(state, [early, first, second], rules)
    assert told(excursion) == ("temperature.high", 60, 60, None, 9.0, 30)
