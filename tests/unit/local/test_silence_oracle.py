"""What the silence oracle asks for where looks are late, as they are in real time."""

from local.simulator.bounds import Bounds
from local.simulator.ledger import Heard
from local.simulator.silence_oracle import expected_silences

START_S = 1_795_392_000
QUARTER_S, HOUR_S = 900, 3600
HOURS = 8


def heard(device_id, *, silent_from_s, until_s):
    """A reading every quarter of an hour, but none in between."""
    times = range(START_S + QUARTER_S, START_S + HOURS * HOUR_S, QUARTER_S)
    return [
        Heard(device_id, 1, at_s, at_s, 4.0, 90)
        for at_s in times
        if not silent_from_s <= at_s - START_S < until_s
    ]


def judge(until_s, slack_s):
    """One device silent from the second hour, another one never."""
    both = heard(1, silent_from_s=2 * HOUR_S, until_s=until_s)
    both += heard(2, silent_from_s=0, until_s=0)
    found = expected_silences(
        sorted(both, key=lambda one: one.received_s),
        {1: Bounds(), 2: Bounds()},
        start_s=START_S,
        end_s=START_S + HOURS * HOUR_S,
        slack_s=slack_s,
    )
    return [{(kind, (at_s - START_S) // QUARTER_S) for kind, _, at_s in told} for told in found]


SILENT, BACK = ("device.silent", 11), ("device.back", 20)


def test_at_once_a_silence_is_certain():
    assert judge(5 * HOUR_S, 0) == [{SILENT, BACK}, {SILENT, BACK}]


def test_one_that_outlasts_the_slack_is_certain():
    assert judge(5 * HOUR_S, 2 * HOUR_S) == [{SILENT, BACK}, {SILENT, BACK}]


def test_one_that_ends_within_the_slack_may_be_told_or_not():
    assert judge(5 * HOUR_S, 3 * HOUR_S) == [set(), {SILENT, BACK}]


def test_slack_makes_nobody_silent():
    assert judge(2 * HOUR_S, 2 * HOUR_S) == [set(), set()]
