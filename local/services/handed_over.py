"""What the stand-in services know, and what they were handed: pure bookkeeping, no sockets."""

import json
import threading
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from qold.domain.contacts import is_phone
from qold.domain.model import Contact

Reply = tuple[int, dict[str, Any]]

MAX_READINGS = 1_000_000
# Of all bodies that were taken; a reading has 70, so that 3.8 million fit.
MAX_BYTES = 256 * 2**20
# Digits of the largest device id.
MAX_DIGITS = 19
FULL: Reply = 507, {"error": "full: start the stand-in again"}
READING_FIELDS = {"id", "temperature", "battery", "t"}


class Sms(NamedTuple):
    """A text that reached its reader."""

    id: str
    to: str
    message: str


class HandedOver:
    """The four services' memory; safe between threads. Repeats are counted per service."""

    def __init__(self) -> None:
        self.contacts: dict[int, Contact] = {}
        self.staff: Contact | None = None
        self.sms: dict[str, Sms] = {}
        self.events: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.readings: deque[dict[str, str]] = deque(maxlen=MAX_READINGS)
        self.repeats: Counter[str] = Counter()
        self._posted: set[tuple[str, ...]] = set()
        self.bytes_left = MAX_BYTES
        self._lock = threading.Lock()

    def look_up(self, path: str) -> Reply:
        """qold-app: `/staff` or `/devices/{id}`."""
        contact = self.staff
        if path.startswith("/devices/"):
            identity = path.removeprefix("/devices/")
            is_id = identity.isdecimal() and len(identity) <= MAX_DIGITS
            contact = self.contacts.get(int(identity)) if is_id else None
        if contact is None:
            return 404, {"error": "unknown"}
        names = ("name", "owner", "phone", "locale")
        return 200, {name: getattr(contact, name) for name in names}

    def take_sms(self, body: bytes) -> Reply:
        """qold-sms: each id reaches its reader once."""
        found = _object(body)
        values = [found.get(name) for name in ("id", "to", "message")]
        if not all(isinstance(value, str) and value for value in values):
            return 400, {"error": "id, to and message are needed"}
        sms = Sms(*map(str, values))
        if not is_phone(sms.to):
            return 400, {"error": "to is not a phone number"}
        with self._lock:
            if not self._has_room(body):
                return FULL
            is_repeat = sms.id in self.sms
            self.repeats["qold-sms"] += is_repeat
            self.sms.setdefault(sms.id, sms)
        return 200, {"id": sms.id, "repeated": is_repeat}

    def take_event(self, path: str, body: bytes) -> Reply:
        """Keen: each id is one event of its collection."""
        found, collection = _object(body), path.removeprefix("/events/")
        if not isinstance(found.get("id"), str) or not found["id"] or not collection:
            return 400, {"error": "an event needs an id and a collection"}
        with self._lock:
            if not self._has_room(body):
                return FULL
            events = self.events.setdefault(collection, {})
            self.repeats["keen"] += found["id"] in events
            events.setdefault(found["id"], found)
        return 201, {"created": True}

    def take_reading(self, body: bytes) -> Reply:
        """qold-hw-api: keeps every reading in order, repeats as well."""
        found = _object(body)
        if set(found) != READING_FIELDS or not all(isinstance(v, str) for v in found.values()):
            return 400, {"error": "a reading has id, temperature, battery and t, all text"}
        identity = tuple(found[name] for name in sorted(READING_FIELDS))
        with self._lock:
            if not self._has_room(body):
                return FULL
            self.repeats["qold-hw-api"] += identity in self._posted
            self._posted.add(identity)
            self.readings.append(found)
        return 201, {"id": found["id"]}

    def _has_room(self, body: bytes) -> bool:
        self.bytes_left -= len(body)
        return self.bytes_left >= 0

    def summary(self) -> dict[str, Any]:
        """Everything, as JSON for another process; of the readings how many."""
        with self._lock:
            return {
                "sms": [sms._asdict() for sms in self.sms.values()],
                "events": {name: list(events.values()) for name, events in self.events.items()},
                "readings": len(self.readings),
                "repeats": dict(self.repeats),
            }


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
