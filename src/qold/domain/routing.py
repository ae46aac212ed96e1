"""Who hears what, through which channel, and when (source T3.1-T3.3; inventory A28).

Users hear of temperature and silence, the staff of everything; whatever happens to a device is
also an event for dashboards. What is over already does not wake anybody.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from qold.domain.model import Alert, Contact, Delivery

Role = Literal["user", "staff"]

DIGEST_MS = 60_000
MAX_ALERTS_OF_A_MESSAGE = 1000
FIRST_RETRY_MS, LAST_RETRY_MS = 5_000, 300_000
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
    is_device = alert.subject.startswith("device:")
    name = contact.name if contact and is_device else ""
    name = name or alert.subject.replace(":", " ")
    phones = {person.phone: person for person in _people(alert, contact, staff) if person.phone}
    told = [Delivery("sms", phone, person.locale, name, due_ms) for phone, person in phones.items()]
    return [*told, Delivery("analytics", EVENTS, "", name, now_ms)]


def message_id(channel: str, address: str, alert_ids: Sequence[str]) -> str:
    """32 hex digits, the same for the same alerts at the same address: the idempotency key."""
    content = "|".join((channel, address, *sorted(alert_ids))).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def retry_delay_ms(attempts: int) -> int:
    """How long to wait after a message was tried so often (1, 2, …) and could not be handed over."""
    return int(min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** min(attempts - 1, 20)))


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
