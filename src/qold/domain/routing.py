"""Who hears what, through which channel, and when (source T3.1-T3.3; inventory A28).

Users hear of temperature and silence, the staff of everything; whatever happens to a device is
also an event for dashboards. What is over already does not wake anybody.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from qold.domain.model import Alert, Contact, Delivery

Role = Literal["user", "staff"]

DIGEST_MS = 60_000
QUIET_FROM_HOUR, QUIET_TO_HOUR = 22, 7
EVENTS = "alerts"

ROLES: dict[str, tuple[Role, ...]] = {
    "temperature": ("user", "staff"),
    "device": ("user", "staff"),
    "gateway": ("user", "staff"),
    "battery": ("staff",),
    "system": ("staff",),
}


def deliveries(
    alert: Alert, contact: Contact | None, staff: Contact | None, *, now_ms: int, zone: tzinfo
) -> list[Delivery]:
    """Every way in which an alert is told; a user who cannot be reached is stood in for by staff."""
    due_ms = now_ms + DIGEST_MS if alert.is_live else max(now_ms, _morning_ms(now_ms, zone))
    name = contact.name if contact and contact.name else alert.subject.replace(":", " ")
    phones = {person.phone: person for person in _people(alert, contact, staff) if person.phone}
    told = [Delivery("sms", phone, person.locale, name, due_ms) for phone, person in phones.items()]
    return [*told, Delivery("analytics", EVENTS, "", name, now_ms)]


def _people(alert: Alert, contact: Contact | None, staff: Contact | None) -> Iterator[Contact]:
    for role in ROLES[alert.kind.partition(".")[0]]:
        person = contact if role == "user" and contact and contact.phone else staff
        if person is not None:
            yield person


def _morning_ms(now_ms: int, zone: tzinfo) -> int:
    """When the quiet hours that hold now are over; now itself outside of them."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    if QUIET_TO_HOUR <= now.hour < QUIET_FROM_HOUR:
        return now_ms
    morning = now.replace(hour=QUIET_TO_HOUR, minute=0, second=0, microsecond=0)
    if morning <= now:
        morning += timedelta(days=1)
    return round(morning.timestamp() * 1000)
