"""Alerts: an excursion is told once, an hour apart, live or historic."""

from hypothesis import given
from hypothesis import strategies as st

from qold.domain.alerts import alert_id, decide, remembered
from qold.domain.excursions import DAY_MS, DeviceState, Sample, advance
from qold.domain.limits import Limits

MINUTE = 60_000
QUARTER = 15 * MINUTE
HOUR = 60 * MINUTE
START = 20_000 * DAY_MS
RULES = Limits(max_celsius=8.0).temperature_rules()


class Device:
    """Advances and decides, reading by reading, as the Temperature bolt does."""

    def __init__(self):
        self.state, self.fired, self.alerts = DeviceState(), [], []

    def take(self, at_ms, celsius, late_ms=0):
        for excursion in advance(self.state, Sample(at_ms, 0, celsius), RULES):
            alert = decide(
                7, excursion, self.fired, newest_at_ms=at_ms, received_at_ms=at_ms + late_ms
            )
            if alert is not None:
                self.alerts.append(alert)
                self.fired = remembered([*self.fired, alert.fired_at_ms], self.state)

    def take_all(self, *values, step_ms=QUARTER, late_ms=0):
        for n, value in enumerate(values):
            self.take(START + n * step_ms, value, late_ms)
        return [
            (
                alert.is_live,
                (alert.fired_at_ms - START) // MINUTE,
                (alert.started_at_ms - START) // MINUTE,
            )
            for alert in self.alerts
        ]


def test_the_first_reading_outside_alerts_and_no_other():
    assert Device().take_all(5, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 5) == [(True, 15, 15)]


def test_two_excursions_within_an_hour_are_one_alert():
    assert Device().take_all(9, 5, 9, 5) == [(True, 0, 0)]
    assert Device().take_all(9, 5, 5, 5, 9) == [(True, 0, 0), (True, 60, 60)]
    device = Device()
    for at_ms, celsius in ((0, 9), (1, 5), (HOUR - 1, 9)):
        device.take(START + at_ms, celsius)
    assert len(device.alerts) == 1


def test_the_hour_slides_from_the_last_alert():
    """Outside at 0, 45, 75 and 105 minutes: told at 0 and 75; 105 is within the hour of 75."""
    assert Device().take_all(9, 5, 5, 9, 5, 9, 5, 9, 5) == [(True, 0, 0), (True, 75, 75)]


def test_what_was_held_back_is_told_when_the_hour_is_over_and_it_still_holds():
    assert Device().take_all(9, 5, 9, 9, 9, 9) == [(True, 0, 0), (True, 60, 30)]


def test_a_flushed_backlog_is_one_historic_alert_for_what_is_over():
    assert Device().take_all(5, 9, 9, 9, 5, 5, late_ms=6 * HOUR) == [(False, 15, 15)]


def test_a_flushed_backlog_alerts_at_once_for_what_still_holds():
    """Six hours of readings arrive at the same moment; the door has been open for four."""
    device = Device()
    now = START + 6 * HOUR
    for n in range(25):
        at_ms = START + n * QUARTER
        device.take(at_ms, 9.0 if n >= 8 else 5.0, late_ms=now - at_ms)
    (alert,) = device.alerts
    assert alert.is_live
    assert alert.started_at_ms == START + 8 * QUARTER
    assert now - alert.fired_at_ms == 30 * MINUTE


def test_thirty_minutes_late_is_live_and_a_millisecond_more_is_not():
    assert Device().take_all(9, late_ms=30 * MINUTE) == [(True, 0, 0)]
    assert Device().take_all(9, late_ms=30 * MINUTE + 1) == []


def test_an_id_belongs_to_its_firing_reading():
    device = Device()
    device.take_all(9)
    assert device.alerts[0].id == alert_id(7, "temperature.high", START)
    others = {
        alert_id(8, "temperature.high", START),
        alert_id(7, "temperature.low", START),
        alert_id(7, "temperature.high", START + 1),
    }
    assert device.alerts[0].id not in others
    assert len(others) == 3


@given(
    st.lists(
        st.tuples(
            st.integers(1, 90), st.sampled_from([5.0, 9.0]), st.sampled_from([0, 20, 31, 600])
        ),
        max_size=60,
    )
)
def test_never_two_alerts_within_an_hour_and_never_one_for_nothing(steps):
    device, at_ms = Device(), START
    outside = set()
    for gap_min, celsius, late_min in steps:
        at_ms += gap_min * MINUTE
        if celsius > 8.0:
            outside.add(at_ms)
        device.take(at_ms, celsius, late_min * MINUTE)
    times = [alert.fired_at_ms for alert in device.alerts]
    assert all(abs(a - b) >= HOUR for i, a in enumerate(times) for b in times[:i])
    assert set(times) <= outside
