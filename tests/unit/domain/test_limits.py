"""Limits as the registry's text map holds them."""

import pytest

from qold.domain.limits import Limits, read_limits


def test_what_is_not_given_has_its_default():
    assert read_limits({"name": "fridge 3"}) == (Limits(), [])
    assert Limits() == Limits(None, None, 20, 0, 0.0, 900_000)


def test_every_limit():
    config = {
        "minTemperature": "2",
        "maxTemperature": " 8.5 ",
        "minBattery": "15",
        "alertDelay": "1800",
        "hysteresis": "0.5",
        "reportInterval": "120",
    }
    assert read_limits(config) == (Limits(2.0, 8.5, 15, 1_800_000, 0.5, 120_000), [])


def test_zero_is_a_limit_and_empty_is_none():
    assert read_limits({"maxTemperature": "0", "minTemperature": ""})[0] == Limits(None, 0.0)
    assert read_limits({"maxTemperature": "-0.0", "minBattery": "0"})[0] == Limits(None, 0.0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maxTemperature", "warm"),
        ("maxTemperature", "nan"),
        ("minTemperature", "-inf"),
        ("minTemperature", "-400"),
        ("minBattery", "101"),
        ("minBattery", "-1"),
        ("alertDelay", "-5"),
        ("alertDelay", "100000"),
        ("hysteresis", "-0.1"),
        ("reportInterval", "0"),
        ("reportInterval", "1e400"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_holds(name, value):
    """Tried: text, NaN, infinities, out of range, negative, too long, zero."""
    limits, problems = read_limits({"hysteresis": "1", "minBattery": "5", name: value})
    assert len(problems) == 1
    assert problems[0].startswith(f"{name}: {value!r} is not a number from")
    expected = {"hysteresis": 1.0, "min_battery": 5}
    expected.pop({"minBattery": "min_battery"}.get(name, name), None)
    assert {field: getattr(limits, field) for field in expected} == expected


def test_a_minimum_above_the_maximum_is_named_and_neither_is_used():
    limits, problems = read_limits({"minTemperature": "8", "maxTemperature": "2"})
    assert limits == Limits()
    assert problems == ["minTemperature: 8 is above maxTemperature 2"]
    assert read_limits({"minTemperature": "4", "maxTemperature": "4"})[1] == []
