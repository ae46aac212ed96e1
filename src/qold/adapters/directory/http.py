"""The directory of the Qold App (source 7.3.4; inventory A49)."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from qold.adapters.http_service import Answer, HttpService
from qold.domain.contacts import is_locale, is_name, is_phone
from qold.ports import Contact, Unavailable

log = logging.getLogger(__name__)

MISSING = 404
_FIELDS = {"name": is_name, "owner": is_name, "phone": is_phone, "locale": is_locale}


class HttpDirectory:
    """`GET /devices/{id}` and `GET /staff` -> {name, owner, phone, locale}; 404 is unknown."""

    def __init__(self, service: HttpService) -> None:
        self._service = service

    def look_up(self, device_ids: Collection[int]) -> Mapping[int, Contact]:
        """All of them within the time of one call, or `Unavailable`."""
        until_s = self._service.call_ends_s()
        found: dict[int, Contact] = {}
        for device_id in device_ids:
            answer = self._service.get(f"/devices/{device_id}", until_s=until_s)
            contact = _contact(answer, f"device:{device_id}")
            if contact is not None:
                found[device_id] = contact
        return found

    def staff(self) -> Contact | None:
        return _contact(self._service.get("/staff"), "staff")

    def ping(self) -> None:
        self._service.ping()

    def close(self) -> None:
        self._service.close()


def _contact(answer: Answer, whose: str) -> Contact | None:
    """A field that cannot be used is blank, so that the rest still counts."""
    if answer.status == MISSING:
        return None
    if answer.status >= 400:
        raise Unavailable(f"{answer.who}: {answer.status}")
    document = answer.document()
    usable: dict[str, Any] = {}
    for field, is_usable in _FIELDS.items():
        value = document.get(field)
        if value is None or value == "":
            continue
        if isinstance(value, str) and is_usable(value):
            usable[field] = value
        else:
            log.warning("%s: the %s that %s has cannot be used", whose, field, answer.who)
    return Contact(**usable)
