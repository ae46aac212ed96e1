"""Refusals on `reports.rejected`: the reason, where it came from, and no token (docs/wire-format.md)."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from qold.dead_letters import MAX_VALUE_BYTES, OVERSIZED, describe
from qold.domain.refusal_budget import NO_GATEWAY, Overrun
from qold.records import VERSION, encode
from qold.reports import SHOWN, Fault, Unreadable
from qold.rows import LogRow, Refusal, shard

Digest = Callable[[int, str], str]

# Levels of a malformed message that are kept. A reading has two; Python recurses through about 480.
MAX_DEPTH = 32
# Malformed readings of a report that are each written; with more, one record stands for all.
MAX_FAULTS = 100
# Bytes of one message within a summary: ten of them leave room in a record.
MAX_SHOWN_BYTES = 2048
# Kinds of fault that a summary counts by name, so that it stays a short record.
MAX_KINDS = 20


def rejection(
    reason: str,
    source: str,
    index: int,
    gateway_id: int | None,
    appended_at_ms: int,
    *,
    is_proven: bool = False,
    message: dict[str, Any] | None = None,
    detail: str = "",
    readings: int | None = None,
    **described: Any,
) -> Refusal:
    """One refusal, keyed like its report's source; `message` must hold digests, not tokens.

    `readings` is how many it stands for, None for one reading.
    """
    record: dict[str, Any] = {
        "v": VERSION,
        "reason": reason,
        "source": source,
        "index": index,
        "gateway": gateway_id,
    }
    if detail:
        record["detail"] = detail
    if readings is not None:
        record["readings"] = readings
    record.update({name: value for name, value in described.items() if value is not None})
    if message is not None:
        record["message"] = message
    value = encode(record)
    if len(value) > MAX_VALUE_BYTES:
        record.pop("message", None)
        value = encode({**record, "detail": f"{detail}; message of {len(value)} bytes left out"})
    return Refusal(
        source,
        value,
        index,
        reason,
        1 if readings is None else readings,
        gateway_id or NO_GATEWAY,
        appended_at_ms,
        is_proven,
    )


def unreadable(fault: Unreadable, source: str, row: LogRow, digest: Digest) -> Refusal:
    """The refusal of a whole report; its bytes are described, not quoted."""
    described = describe(row.value)
    counts = {fault.reason: fault.readings} if fault.first else None
    return rejection(
        fault.reason,
        source,
        0,
        fault.gateway.id if fault.gateway else None,
        row.appended_at_ms,
        detail=fault.detail,
        readings=fault.readings,
        sha256=described["sha256"],
        length=described["length"],
        error_position=fault.position,
        counts=counts,
        first=_shown(fault.first, digest) or None,
    )


def unread(source: str, row: LogRow) -> Refusal:
    """The one refusal of a record, or a batch of records, that is larger than a reader takes."""
    detail = "larger than a reader takes into memory; not read"
    return rejection(
        OVERSIZED,
        source,
        0,
        None,
        row.appended_at_ms,
        detail=detail,
        readings=1,
        length=row.unread_bytes,
    )


def malformed(
    faults: Sequence[Fault], source: str, gateway_id: int, row: LogRow, digest: Digest
) -> list[Refusal]:
    """The refusals of a report's malformed readings: one each, or one for more than `MAX_FAULTS`."""
    if len(faults) <= MAX_FAULTS:
        return [
            rejection(
                "malformed",
                source,
                fault.index,
                gateway_id,
                row.appended_at_ms,
                message=without_token(fault.message, digest),
                detail=fault.detail,
            )
            for fault in faults
        ]
    kinds = Counter(fault.detail for fault in faults).most_common()
    counts = dict(kinds[:MAX_KINDS])
    if len(kinds) > MAX_KINDS:
        counts["other"] = sum(count for _, count in kinds[MAX_KINDS:])
    summary = rejection(
        "malformed",
        source,
        faults[0].index,
        gateway_id,
        row.appended_at_ms,
        detail=f"{len(faults)} malformed readings in one report",
        readings=len(faults),
        counts=counts,
        first=_shown(faults, digest),
    )
    return [summary]


def over_budget(overrun: Overrun) -> Refusal:
    """How many readings were refused and not written, since the last such record."""
    account = overrun.account
    return rejection(
        "over-budget",
        overrun.source,
        overrun.index,
        account.gateway_id or None,
        account.hour_ms,
        is_proven=account.is_proven,
        detail="counted, not written",
        readings=overrun.counts.total(),
        proven=account.is_proven,
        hour=account.hour_ms // 1000,
        counts=dict(overrun.counts.most_common()),
    )


def by_gateway(refusals: Iterable[Refusal], shards: int) -> dict[int, list[Refusal]]:
    """Refusals by the shard whose task holds their budget; all unproven ones share a task."""
    grouped: dict[int, list[Refusal]] = defaultdict(list)
    for refusal in refusals:
        grouped[shard(refusal.gateway_id, shards) if refusal.is_proven else 0].append(refusal)
    return grouped


def _shown(faults: Iterable[Fault], digest: Digest) -> list[dict[str, Any]]:
    shown = []
    for fault in islice(faults, SHOWN):
        one: dict[str, Any] = {"index": fault.index, "device": fault.device_id}
        if fault.detail:
            message = without_token(fault.message, digest)
            one["detail"] = fault.detail
            if len(encode(message)) <= MAX_SHOWN_BYTES:
                one["message"] = message
        shown.append(one)
    return shown


def without_token(message: dict[str, Any], device_digest: Digest) -> dict[str, Any]:
    """The same message with the device's token as its digest, its numbers and text as JSON can hold them.

    A token in any other place is left out.
    """
    cleaned = _storable(message)
    sent = message.get("device")
    if not isinstance(sent, dict):
        return {**cleaned, "device": None}
    identity, token = sent.get("id"), _storable(sent.get("auth"))
    safe = {"id": _storable(identity)}
    if isinstance(identity, int) and isinstance(token, int | str):
        safe["auth"] = device_digest(identity, str(token))
    return {**cleaned, "device": safe}


def _storable(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        return "nested too deep"
    if isinstance(value, str):  # JSON's escapes can spell half a character, UTF-8 cannot
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {
            _storable(key): "left out" if key == "auth" else _storable(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    return value
