"""Silence and return, by example, and against a plain model that looks at the whole story."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qold.domain.silence import (
    DeviceWatch,
    GatewayWatch,
    Heard,
    Through,
    device_heard_at_ms,
    device_limit_ms,
    gateway_heard_at_ms,
    gateway_limit_ms,
    hear_device,
    hear_gateway,
    judge_device,
    judge_gateway,
)

T = 1_795_456_000_000
MINUTE, HOUR = 60_000, 3_600_000
QUARTER = 15 * MINUTE


@pytest.mark.parametrize(
    ("interval_ms", "device_ms", "gateway_ms"),
    [
        (MINUTE, HOUR, 3 * MINUTE),
        (QUARTER, HOUR, 3 * QUARTER),
        (QUARTER + 1, HOUR + 4, 3 * QUARTER + 3),
        (6 * HOUR, 24 * HOUR, 18 * HOUR),
    ],
)
def test_a_gateway_is_always_silent_before_its_devices(interval_ms, device_ms, gateway_ms):
    assert device_limit_ms(interval_ms) == device_ms
    assert gateway_limit_ms(interval_ms) == gateway_ms < device_ms


@pytest.mark.parametrize(
    ("age_ms", "device_age_ms", "gateway_age_ms"),
    [
        (-5 * MINUTE, 0, 0),  # its clock is a little ahead
        (0, 0, 0),
        (5 * MINUTE, 5 * MINUTE, 5 * MINUTE),
        (5 * MINUTE + 1, 0, 0),
        (HOUR + QUARTER, 0, 0),  # an hour behind, and it lingered
        (90 * MINUTE, 0, 0),
        (90 * MINUTE + 1, None, 0),  # late: its gateway delivers, of the device it says nothing
        (8 * 24 * HOUR, None, 0),
    ],
)
def test_when_a_reading_says_that_somebody_lives(age_ms, device_age_ms, gateway_age_ms):
    said = device_heard_at_ms(T - age_ms, T)
    assert said == (None if device_age_ms is None else T - device_age_ms)
    assert gateway_heard_at_ms(T - age_ms, T) == T - gateway_age_ms


def judge(watch, heard_ms, judged_ms, through=None, interval_ms=QUARTER, number=7):
    return judge_device(
        number, watch, heard_ms, through, interval_ms=interval_ms, judged_at_ms=judged_ms
    )


def test_one_alert_for_a_silence_and_one_for_its_end():
    watch = DeviceWatch()
    assert judge(watch, T, T + HOUR - 1) is None
    silent = judge(watch, T, T + HOUR)
    assert (silent.kind, silent.subject) == ("device.silent", "device:7")
    assert (silent.started_at_ms, silent.fired_at_ms, silent.ended_at_ms) == (T, T + HOUR, None)
    assert judge(watch, T, T + 2 * HOUR) is None
    assert hear_device(7, watch, Heard(T, 1)) is None, "that it was heard then is known"
    back = hear_device(7, watch, Heard(T + 5 * HOUR, 1))
    assert (back.kind, back.started_at_ms, back.fired_at_ms) == ("device.back", T, T + 5 * HOUR)
    assert hear_device(7, watch, Heard(T + 6 * HOUR, 1)) is None
    again = judge(watch, T + 6 * HOUR, T + 7 * HOUR)
    assert again.kind == "device.silent"
    assert len({silent.id, back.id, again.id}) == 3


def test_alerts_are_named_after_the_silence_whoever_ends_it():
    def story(back_ms):
        watch = DeviceWatch()
        return judge(watch, T, T + HOUR).id, hear_device(7, watch, Heard(back_ms, 1)).id

    assert story(T + 2 * HOUR) == story(T + 3 * HOUR)


def test_a_device_is_folded_into_its_gateway():
    gateway, device = GatewayWatch(), DeviceWatch(gateway_id=2)
    silent = judge_gateway(
        2, gateway, T, interval_ms=QUARTER, devices=15, device_id=7, judged_at_ms=T + HOUR
    )
    assert (silent.kind, silent.subject, silent.detail) == ("gateway.silent", "gateway:2", "15")
    assert silent.fired_at_ms == T + 3 * QUARTER
    assert judge(device, T, T + 5 * HOUR, Through(gateway, T, QUARTER)) is None
    back_ms = T + 6 * HOUR
    back = hear_gateway(2, gateway, back_ms)
    assert (back.kind, back.started_at_ms, back.fired_at_ms) == ("gateway.back", T, back_ms)
    late_ms = back_ms + HOUR
    fresh = Through(gateway, late_ms, QUARTER)
    assert judge(device, T, late_ms - 1, fresh) is None, "it is counted from the return"
    assert judge(device, T, late_ms, fresh).fired_at_ms == late_ms


def test_nobody_is_told_of_a_device_while_its_gateway_is_in_doubt():
    device, gateway = DeviceWatch(gateway_id=2), GatewayWatch()
    judged_ms = T + HOUR + MINUTE
    doubtful = Through(gateway, judged_ms - QUARTER - 1, QUARTER)
    assert judge(device, T, judged_ms, doubtful) is None
    assert judge(device, T, judged_ms, Through(gateway, judged_ms - QUARTER, QUARTER)) is not None


# A shop of one gateway and three devices, minute by minute: who speaks (0, 1, 2) and who is judged.
story_st = st.lists(
    st.tuples(
        st.sampled_from([1, 5, 14, 15, 15, 15, 44, 45, 46, 59, 60, 61, 300]),
        st.sets(st.sampled_from([0, 1, 2]), max_size=3),
        st.booleans(),
    ),
    max_size=40,
)


def by_the_rules(story):
    """Alerts of the shop as (kind, subject, minute since, minute fired)."""
    heard = dict.fromkeys([0, 1, 2], T)
    gateway, gateway_heard = GatewayWatch(), T
    devices = {n: DeviceWatch(gateway_id=9) for n in heard}
    now_ms, alerts = T, []
    for minutes, speaking, is_judged in story:
        now_ms += minutes * MINUTE
        for n in sorted(speaking):
            alerts.append(hear_gateway(9, gateway, now_ms))
            alerts.append(hear_device(n, devices[n], Heard(now_ms, 9)))
            heard[n] = gateway_heard = now_ms
        if is_judged:
            alerts.append(
                judge_gateway(
                    9,
                    gateway,
                    gateway_heard,
                    interval_ms=QUARTER,
                    devices=3,
                    device_id=1,
                    judged_at_ms=now_ms,
                )
            )
            through = Through(gateway, gateway_heard, QUARTER)
            alerts += [judge(devices[n], heard[n], now_ms, through, number=n) for n in devices]
    return [alert for alert in alerts if alert is not None]


@given(story_st)
def test_a_silence_is_told_once_and_ends_once(story):
    alerts = by_the_rules(story)
    assert len({alert.id for alert in alerts}) == len(alerts)
    told = {}
    for alert in alerts:
        # kind and subject alternate: silent, back, silent, …
        what = alert.subject, alert.kind.partition(".")[2]
        assert told.get(alert.subject, "back") != what[1]
        told[alert.subject] = what[1]


def by_the_whole_story(story):
    """The same as sets, each look by itself over everything that was spoken before it."""
    spoken, silences, now_ms = [(T, n) for n in range(3)], set(), T
    for minutes, speaking, is_judged in story:
        now_ms += minutes * MINUTE
        spoken += [(now_ms, n) for n in speaking]
        if not is_judged:
            continue
        latest_ms = max(at_ms for at_ms, _ in spoken)
        if now_ms - latest_ms >= 3 * QUARTER:
            silences.add(("gateway", 9, latest_ms))
        if now_ms - latest_ms > QUARTER:
            continue
        returns = [
            min(at_ms for at_ms, _ in spoken if at_ms > since_ms)
            for what, _, since_ms in silences
            if what == "gateway"
        ]
        for n in range(3):
            since_ms = max(at_ms for at_ms, who in spoken if who == n)
            if now_ms - max(since_ms, *returns, 0) >= HOUR:
                silences.add(("device", n, since_ms))
    ends = set()
    for what, number, since_ms in silences:
        later = [at for at, n in spoken if at > since_ms and (what == "gateway" or n == number)]
        if later:
            ends.add((what, number, since_ms, min(later)))
    return silences, ends


@given(story_st)
def test_silences_and_returns_are_those_of_the_whole_story(story):
    silences, ends = set(), set()
    for alert in by_the_rules(story):
        what, number = alert.subject.split(":")
        if alert.kind.endswith("silent"):
            silences.add((what, int(number), alert.started_at_ms))
        else:
            ends.add((what, int(number), alert.started_at_ms, alert.fired_at_ms))
    assert (silences, ends) == by_the_whole_story(story)


@given(
    st.lists(
        st.tuples(st.integers(-60, 600), st.integers(0, 3000)).map(
            lambda pair: (T + (pair[1] - pair[0]) * MINUTE, T + pair[1] * MINUTE)
        ),
        min_size=1,
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_and_repetition_of_readings_says_the_same(readings, rng):
    def latest(series):
        said = [device_heard_at_ms(*reading) for reading in series]
        return max((at_ms for at_ms in said if at_ms is not None), default=None)

    mixed = readings + rng.choices(readings, k=5)
    rng.shuffle(mixed)
    assert latest(mixed) == latest(readings)
