"""Who hears what, and when."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from qold.domain.model import Alert, Contact
from qold.domain.routing import DIGEST_MS, deliveries, message_id, retry_delay_ms

OWNER = Contact("Fridge 3", "Ana", "+351911111111", "pt")
STAFF = Contact("", "Qold", "+351922222222", "en")
NOON_MS = 1_795_435_200_000


def told(kind, contact=OWNER, staff=STAFF, *, is_live=True, now_ms=NOON_MS, zone=UTC):
    alert = Alert("a", kind, "device:7", NOON_MS, NOON_MS, is_live=is_live)
    return deliveries(alert, contact, staff, now_ms=now_ms, zone=zone)


def phones(*arguments, **more):
    return [found.address for found in told(*arguments, **more) if found.channel == "sms"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("temperature.high", [OWNER.phone, STAFF.phone]),
        ("temperature.low", [OWNER.phone, STAFF.phone]),
        ("device.silent", [OWNER.phone, STAFF.phone]),
        ("device.back", [OWNER.phone, STAFF.phone]),
        ("gateway.silent", [OWNER.phone, STAFF.phone]),
        ("battery.low", [STAFF.phone]),
        ("system.lag", [STAFF.phone]),
    ],
)
def test_users_hear_of_food_and_silence_and_staff_of_everything(kind, expected):
    assert phones(kind) == expected


def test_everything_is_an_event_too():
    assert [found.channel for found in told("system.lag")] == ["sms", "analytics"]


def test_a_user_who_cannot_be_reached_is_stood_in_for_by_staff():
    """Tried: an unknown device, a contact without a phone, nobody at all."""
    assert phones("temperature.high", None) == [STAFF.phone]
    assert phones("temperature.high", Contact("Fridge 3")) == [STAFF.phone]
    assert phones("temperature.high", None, None) == []
    assert told("temperature.high", None)[0].name == "device 7"


def test_one_phone_is_told_once():
    assert phones("temperature.high", OWNER, OWNER) == [OWNER.phone]


def test_live_ones_wait_for_the_digest_only():
    assert {found.due_at_ms for found in told("temperature.high") if found.channel == "sms"} == {
        NOON_MS + DIGEST_MS
    }


@pytest.mark.parametrize(
    ("hour", "minute", "waits_until"),
    [(21, 59, None), (22, 0, (24, 7)), (23, 30, (24, 7)), (3, 0, (23, 7)), (6, 59, (23, 7)), (7, 0, None)],
)  # fmt: skip
def test_what_is_over_wakes_nobody(hour, minute, waits_until):
    now = datetime(2026, 11, 23, hour, minute, tzinfo=ZoneInfo("Europe/Lisbon"))
    now_ms = round(now.timestamp() * 1000)
    due = {
        found.due_at_ms
        for found in told("temperature.high", is_live=False, now_ms=now_ms, zone=now.tzinfo)
        if found.channel == "sms"
    }
    expected = now if waits_until is None else datetime(2026, 11, *waits_until, tzinfo=now.tzinfo)
    assert due == {round(expected.timestamp() * 1000)}


def test_a_message_is_named_after_its_alerts_and_its_address():
    one = message_id("sms", OWNER.phone, ["a", "b"])
    assert one == message_id("sms", OWNER.phone, ["b", "a"])
    others = {
        message_id("sms", STAFF.phone, ["a", "b"]),
        message_id("analytics", OWNER.phone, ["a", "b"]),
        message_id("sms", OWNER.phone, ["a"]),
    }
    assert one not in others
    assert len(others) == 3


def test_a_provider_that_is_away_is_left_alone_ever_longer_up_to_five_minutes():
    assert [retry_delay_ms(n) // 1000 for n in (1, 2, 3, 4, 7, 100)] == [5, 10, 20, 40, 300, 300]
