"""The texts people get: templates by locale in this folder, GSM-7, one SMS of 160 characters."""

import tomllib
import unicodedata
from datetime import datetime, tzinfo
from functools import cache
from importlib import resources
from typing import Any

from qold.domain.model import Alert, Message

MAX_CHARACTERS = 160
FALLBACK = "en"
_LEAST_NAME = 8
_GSM_7 = frozenset(
    "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"  # GSM 03.38, its line breaks left out
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)


def render(message: Message, *, now_ms: int, zone: tzinfo) -> str:
    """The text of a message in its reader's language and time zone: one alert whole, or a digest."""
    templates = _templates(message.locale)
    told = [
        (alert, name, _values(alert, templates, now_ms, zone))
        for alert, name in zip(message.alerts, message.names, strict=True)
    ]
    if len(told) == 1:
        alert, name, values = told[0]
        return _fitted(_template(templates["full"], alert), name, values)
    return _digest(templates, told)


def trial_text(locale: str) -> str:
    """What `./qold notify test` sends."""
    return to_gsm_7(_templates(locale)["test"])


def to_gsm_7(text: str) -> str:
    """The same text in the characters of an SMS: ã becomes a, what has no like becomes ?."""
    return "".join(_like(character) for character in text)


def _like(character: str) -> str:
    if character in _GSM_7:
        return character
    plain = unicodedata.normalize("NFKD", character)[:1]
    return plain if plain in _GSM_7 else "?"


@cache
def _templates(locale: str) -> dict[str, Any]:
    folder = resources.files("qold.texts")
    language = locale.replace("_", "-").partition("-")[0].lower()
    file = folder / f"{language}.toml"
    if not language.isalpha() or not file.is_file():
        file = folder / f"{FALLBACK}.toml"
    templates: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    return templates


def _template(templates: dict[str, str], alert: Alert) -> str:
    if not alert.is_live and alert.kind.startswith("temperature"):
        return templates["historic"]
    if alert.kind.startswith("system"):
        return templates.get(alert.kind, templates["system"])
    return templates[alert.kind]


def _values(alert: Alert, templates: dict[str, Any], now_ms: int, zone: tzinfo) -> dict[str, str]:
    now = datetime.fromtimestamp(now_ms / 1000, zone)

    def moment(at_ms: int | None) -> str:
        if at_ms is None:
            return ""
        at = datetime.fromtimestamp(at_ms / 1000, zone)
        return at.strftime(templates["time" if at.date() == now.date() else "day"])

    return {
        "value": _number(alert.value),
        "limit": _number(alert.limit),
        "since": moment(alert.started_at_ms),
        "until": moment(alert.ended_at_ms),
        "gone": _duration(alert.fired_at_ms - alert.started_at_ms),
        "detail": alert.detail,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _duration(milliseconds: int) -> str:
    minutes = milliseconds // 60_000
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _fitted(template: str, name: str, values: dict[str, str]) -> str:
    text = template.format(name=name, **values)
    if len(text) > MAX_CHARACTERS:
        room = max(_LEAST_NAME, len(name) - (len(text) - MAX_CHARACTERS))
        text = template.format(name=name[:room].rstrip(), **values)
    return to_gsm_7(text[:MAX_CHARACTERS])


def _digest(templates: dict[str, Any], told: list[tuple[Alert, str, dict[str, str]]]) -> str:
    items = [
        _template(templates["short"], alert).format(name=name[:30], **values)
        for alert, name, values in told
    ]
    for shown in range(len(items), 0, -1):
        rest = len(items) - shown
        more = templates["more"].format(count=rest) if rest else ""
        listed = ", ".join(items[:shown]) + more
        text: str = templates["digest"].format(count=len(items), items=listed)
        if len(text) <= MAX_CHARACTERS:
            break
    return to_gsm_7(text[:MAX_CHARACTERS])
