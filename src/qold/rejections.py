"""Refused readings on `reports.rejected`: the reason, where it came from, and no token (design §4)."""

import math
from collections.abc import Callable
from typing import Any

from qold.dead_letters import MAX_VALUE_BYTES
from qold.records import VERSION, encode
from qold.rows import Entry

Digest = Callable[[int, str], str]

# Levels of a malformed message that are kept. A reading has two; Python recurses through about 480.
MAX_DEPTH = 32


def rejection(
    reason: str,
    source: str,
    index: int,
    gateway_id: int | None,
    *,
    message: dict[str, Any] | None = None,
    detail: str = "",
    **described: int | str | None,
) -> Entry:
    """One refused reading, keyed like its report's source; `message` must hold digests, not tokens."""
    record: dict[str, Any] = {
        "v": VERSION,
        "reason": reason,
        "source": source,
        "index": index,
        "gateway": gateway_id,
    }
    if detail:
        record["detail"] = detail
    record.update({name: value for name, value in described.items() if value is not None})
    if message is not None:
        record["message"] = message
    value = encode(record)
    if len(value) > MAX_VALUE_BYTES:
        del record["message"]
        value = encode({**record, "detail": f"{detail}; message of {len(value)} bytes left out"})
    return Entry(source, value)


def without_token(message: dict[str, Any], device_digest: Digest) -> dict[str, Any]:
    """The same message with the device's token as its digest, its numbers and text as JSON can hold them."""
    cleaned = _storable(message)
    device = cleaned.get("device")
    if not isinstance(device, dict):
        return {**cleaned, "device": None}
    safe = {"id": device.get("id")}
    if isinstance(safe["id"], int) and isinstance(device.get("auth"), int | str):
        safe["auth"] = device_digest(safe["id"], str(device["auth"]))
    return {**cleaned, "device": safe}


def _storable(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        return "nested too deep"
    if isinstance(value, str):  # JSON's escapes can spell half a character, UTF-8 cannot
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_storable(key): _storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    return value
