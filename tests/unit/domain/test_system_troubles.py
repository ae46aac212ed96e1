"""What the staff is told of the system itself: each trouble once, until it is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qold.domain.system import (
    EventWatch,
    GrowthWatch,
    LagWatch,
    StoreWatch,
    judge_event,
    judge_growth,
    judge_lag,
    judge_store,
)

T = 1_795_456_000_000
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000


def told(gateway, watch, kind, minutes=0, **data):
    at_ms = T + minutes * MINUTE
    alert = judge_event(gateway, watch, kind, data, at_ms=at_ms, received_at_ms=at_ms)
    return alert and (alert.kind, alert.subject, alert.detail)


def test_what_a_gateway_tells_is_told_once_an_hour_and_kind():
    watch = EventWatch()
    assert told(2, watch, "outbox-drop", count=12) == ("system.outbox-drop", "gateway:2", "12")
    assert told(2, watch, "outbox-drop", 59, count=9) is None
    assert told(2, watch, "port-lost", 59, port="/dev/ttyUSB0", count=1) == (
        "system.port-lost",
        "gateway:2",
        "/dev/ttyUSB0",
    )
    assert told(2, watch, "outbox-drop", 60, count=9) is not None
    assert told(2, watch, "outbox-drop", 60 - 24 * 60, count=9) is not None, "our clock was set"


def test_what_is_over_is_not_told_and_what_is_new_is():
    watch = EventWatch()
    assert told(2, watch, "uplink-back", seconds=900, count=1) is None
    assert told(2, watch, "battery on\nfire", count=3) == (
        "system.event",
        "gateway:2",
        "battery on fire, 3",
    )
    for kind in map(str, range(100)):
        assert told(2, watch, kind) is None
    assert len(watch.told_at_ms) == 1, "a gateway that goes mad fills nothing"


def follow(looks, *, every_ms=30 * SECOND):
    """Alerts of a consumer, as (minute, lag), for (lag, position) at each look."""
    watch, found = LagWatch(), []
    for number, (lag, position) in enumerate(looks):
        now_ms = T + number * every_ms
        alert = judge_lag("raw.readings", watch, lag=lag, position=position, now_ms=now_ms)
        if alert is not None:
            found.append(((now_ms - T) // MINUTE, int(alert.detail)))
    return found


def test_a_consumer_that_stands_still_while_records_wait_is_told_after_five_minutes():
    assert follow([(3, 70)] * 10) == []
    assert follow([(3, 70)] * 30) == [(5, 3)]
    assert follow([(0, 70)] * 100) == []


def test_a_consumer_that_falls_behind_is_told_and_one_that_is_busy_is_not():
    assert follow([(500 * n, 1000 * n) for n in range(30)]) == [(5, 5000)]
    assert follow([(5000 + n % 7 * 300, 1000 * n) for n in range(200)]) == []
    assert follow([(10**6 - 1000 * n, 1000 * n) for n in range(200)]) == []


def test_a_trouble_that_is_over_may_be_told_again():
    behind = [(500 * n, 1000 * n) for n in range(20)]
    assert follow([*behind, *[(9500, 20_000)] * 20]) == [(5, 5000)]
    assert len(follow([*behind, (0, 30_000), *[(9, 30_000)] * 12])) == 2


@pytest.mark.parametrize("jump_ms", [-HOUR, HOUR])
def test_a_jump_of_the_clock_is_no_lag(jump_ms):
    watch = LagWatch()
    for n in range(4):
        judge_lag("a", watch, lag=3, position=70, now_ms=T + n * 30 * SECOND)
    now_ms = T + jump_ms
    assert judge_lag("a", watch, lag=3, position=70, now_ms=now_ms) is None
    found = [
        judge_lag("a", watch, lag=3, position=70, now_ms=now_ms + n * 30 * SECOND)
        for n in range(1, 12)
    ]
    assert [alert is not None for alert in found] == [False] * 9 + [True, False]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 5)), max_size=80))
def test_a_consumer_is_told_of_once_until_its_lag_has_halved(looks):
    watch, lag_told = LagWatch(), None
    for number, (lag, position) in enumerate(looks):
        now_ms = T + number * 30 * SECOND
        alert = judge_lag("a", watch, lag=lag, position=position, now_ms=now_ms)
        if lag_told is not None and lag <= lag_told // 2:
            lag_told = None
        assert alert is None or lag_told is None
        if alert is not None:
            assert lag > 0
            lag_told = lag


def test_a_store_is_away_after_a_minute_and_back_at_once():
    watch = StoreWatch()
    looks = [("", 0), ("refused", 30), ("refused", 60), ("refused", 90), ("refused", 600)]
    looks += [("", 630), ("timeout", 660), ("timeout", 720)]
    alerts = [
        judge_store("registry", watch, problem=problem, now_ms=T + second * SECOND)
        for problem, second in looks
    ]
    found = [(a.subject, a.detail, (a.started_at_ms - T) // SECOND) for a in alerts if a]
    assert found == [("system:registry", "refused", 30), ("system:registry", "timeout", 660)]
    assert len({a.id for a in alerts if a}) == 2


def test_refusals_are_told_with_how_many_there_are_since_and_once_an_hour():
    watch = GrowthWatch()
    counts = [
        (40, 0),
        (40, 1),
        (43, 2),
        (50, 30),
        (50, 63),
        (50, 200),
        (2, 201),
        (3, 202),
        (3, 300),
    ]
    alerts = [
        judge_growth("readings.dlq", watch, count=count, now_ms=T + minute * MINUTE)
        for count, minute in counts
    ]
    found = [((a.fired_at_ms - T) // MINUTE, a.subject, a.detail) for a in alerts if a is not None]
    assert found == [
        (2, "system:readings.dlq", "3"),
        (63, "system:readings.dlq", "7"),
        (202, "system:readings.dlq", "1"),
    ]


def test_a_look_repeated_after_a_crash_names_its_trouble_alike():
    def stand(last_ms):
        watch = LagWatch()
        for n in range(10):
            judge_lag("a", watch, lag=3, position=70, now_ms=T + n * 30 * SECOND)
        return judge_lag("a", watch, lag=3, position=70, now_ms=T + last_ms)

    assert stand(5 * MINUTE).id == stand(5 * MINUTE + 20 * SECOND).id
