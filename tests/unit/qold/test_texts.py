"""The texts people get: in their language, one SMS each, whatever the names are."""

import tomllib
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qold.texts
from qold.domain.model import Alert, Message
from qold.texts import MAX_CHARACTERS, render, to_gsm_7

LISBON_IN_SUMMER = timezone(timedelta(hours=1))
NOON_MS = 1_782_903_600_000  # 1 July 2026, 12:00 in that zone
KINDS = (
    "temperature.high", "temperature.low", "battery.low", "device.silent", "device.back",
    "gateway.silent", "gateway.back", "system.lag",
)  # fmt: skip


def alert(kind="temperature.high", **more):
    values = {
        "fired_at_ms": NOON_MS,
        "started_at_ms": NOON_MS - 45 * 60_000,
        "value": 12.5,
        "limit": 8.0,
        "detail": "3",
        **more,
    }
    return Alert(id="a", kind=kind, subject="device:7", **values)


def text(*alerts, locale="en", names=("Fridge 3",), zone=LISBON_IN_SUMMER):
    named = (names * len(alerts))[: len(alerts)]
    message = Message("m", "sms", "+351910000000", locale, alerts, named, 0)
    return render(message, now_ms=NOON_MS, zone=zone)


def test_what_where_how_much_since_when_and_what_to_do():
    assert text(alert()) == (
        "Fridge 3: 12.5 C, above 8 C since 11:15. Close the door, check the food."
    )
    assert text(alert("battery.low", value=19.0, limit=20.0), locale="pt-PT") == (
        "Fridge 3: bateria a 19 %, abaixo de 20 %. Substitua-a."
    )
    assert text(alert("device.back", started_at_ms=NOON_MS - 5_400_000)) == (
        "Fridge 3: heard again after 1 h 30 min."
    )


def test_another_day_has_its_date():
    yesterday = NOON_MS - 86_400_000
    historic = alert(started_at_ms=yesterday, ended_at_ms=yesterday + 3_600_000, is_live=False)
    assert "between 30/06 12:00 and 30/06 13:00" in text(historic)


def test_an_unknown_language_is_english():
    """Tried: a language without a file, a path, an empty one."""
    for locale in ("fr", "../en", "", "??"):
        assert text(alert(), locale=locale) == text(alert())


def test_fifteen_alerts_are_one_message():
    shop = text(*(alert("device.silent") for _ in range(15)), names=("Fridge in the back room",))
    assert shop.startswith("15 alerts: Fridge in the back room silent, ")
    assert shop.endswith(" more")
    assert len(shop) <= MAX_CHARACTERS


def test_characters_an_sms_does_not_have():
    assert to_gsm_7("Câmara nº 3, ção €") == "Camara no 3, cao ?"
    assert text(alert(), names=("Vitrine à é ö",)).startswith("Vitrine à é ö: ")


def test_a_name_cannot_begin_a_line_of_its_own():
    assert "\n" not in text(alert(), names=("Fridge\r\nCall +351900000000",))
    assert to_gsm_7("a\r\nb\x1b\u2028\u202e") == "a??b???"


@pytest.mark.parametrize("locale", ["en", "pt"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_text_that_fits(locale, kind):
    for is_live in (True, False):
        told = text(
            alert(kind, is_live=is_live, ended_at_ms=NOON_MS), locale=locale, names=("x" * 300,)
        )
        assert len(told) <= MAX_CHARACTERS
        assert "x" * 8 in told
        assert told == to_gsm_7(told)


@given(st.text(max_size=400), st.integers(1, 20), st.sampled_from(["en", "pt"]))
def test_any_name_fits(name, count, locale):
    told = text(*(alert() for _ in range(count)), names=(name,), locale=locale)
    assert len(told) <= MAX_CHARACTERS
    assert told == to_gsm_7(told)


def test_every_language_has_the_same_templates():
    folder = Path(qold.texts.__file__).parent
    shapes = {
        path.name: {(table, key) for table, keys in tomllib.loads(path.read_text("utf-8")).items()
                    for key in (keys if isinstance(keys, dict) else [""])}
        for path in folder.glob("*.toml")
    }  # fmt: skip
    assert len(shapes) == 2
    assert len({frozenset(shape) for shape in shapes.values()}) == 1
