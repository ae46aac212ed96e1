"""What makes a contact usable: a number that can be dialled, a locale, names that fit in a text."""

import re

from qold.domain.model import Contact
from qold.plain_text import is_plain

MAX_NAME = 100
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_LOCALE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def is_phone(text: str) -> bool:
    """Whether it is E.164: `+` and 7 to 15 digits, of which the first is not 0."""
    return _PHONE.fullmatch(text) is not None


def problems(contact: Contact) -> list[str]:
    """Why a contact cannot be kept; a blank phone, name or owner is not a problem."""
    found = [
        f"{field}: {value!r} is longer than {MAX_NAME} characters or holds control characters"
        for field, value in (("name", contact.name), ("owner", contact.owner))
        if not is_name(value)
    ]
    if contact.phone and not is_phone(contact.phone):
        found.append(f"phone: {contact.phone!r} is not + and 7 to 15 digits such as +351912345678")
    if not is_locale(contact.locale):
        found.append(f"locale: {contact.locale!r} is not a language such as en or pt-PT")
    return found


def is_name(text: str) -> bool:
    """Whether it may stand in a text; blank may."""
    return len(text) <= MAX_NAME and is_plain(text)


def is_locale(text: str) -> bool:
    """Whether it names a language, with or without a region."""
    return _LOCALE.fullmatch(text) is not None
