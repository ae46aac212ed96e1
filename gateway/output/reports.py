"""Rows of the outbox into the messages that are published (docs/wire-format.md)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.outbox import Row

VERSION = 1


@dataclass(frozen=True, slots=True)
class Message:
    """One value for the log, and the outbox rows it carries."""

    value: bytes
    row_ids: tuple[int, ...]
    reading_count: int


class Envelope:
    """Adds who sends: the outbox itself holds no gateway credentials."""

    def __init__(self, gateway_id: int, token: str, *, max_readings: int) -> None:
        self._gateway = {"id": gateway_id, "auth": token}
        self._max_readings = max_readings

    def messages(self, rows: Iterable[Row], *, sent: int) -> Iterator[Message]:
        """Rows of one topic, in order: readings as reports, anything else one by one."""
        waiting: list[tuple[int, dict[str, Any]]] = []
        for row in rows:
            content = _content(row.message)
            if content is not None and _is_reading(content):
                waiting.append((row.id, content))
                if len(waiting) < self._max_readings:
                    continue
            if waiting:
                yield self._report(waiting, sent)
                waiting = []
            if content is None:
                # Not ours to judge: published as it is, refused and counted behind the log.
                yield Message(row.message.encode(), (row.id,), 0)
            elif not _is_reading(content):
                yield Message(self._sealed(content), (row.id,), 0)
        if waiting:
            yield self._report(waiting, sent)

    def _report(self, readings: list[tuple[int, dict[str, Any]]], sent: int) -> Message:
        batches: dict[tuple[object, object], dict[str, Any]] = {}
        for _, content in readings:
            device = content["device"]
            key = (device["id"], device["auth"])
            batch = batches.setdefault(key, {"device": device, "readings": []})
            batch["readings"].append(content["reading"])
        value = self._sealed({"sent": sent, "batches": list(batches.values())})
        return Message(value, tuple(row_id for row_id, _ in readings), len(readings))

    def _sealed(self, content: dict[str, Any]) -> bytes:
        message = {"v": VERSION, "gateway": self._gateway, **content}
        return json.dumps(message, separators=(",", ":")).encode()


def _content(message: str) -> dict[str, Any] | None:
    try:
        content = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_reading(content: dict[str, Any]) -> bool:
    device = content.get("device")
    return (
        isinstance(device, dict)
        and type(device.get("id")) is int
        and isinstance(device.get("auth"), int | str)
        and isinstance(content.get("reading"), dict)
    )
