"""Which excursions people are told of, and when (source 7.3.4; inventory A26, A29).

An excursion is told once: live at its first live reading, or historic when it was over before
anything live was heard. Two alerts of one device and kind are at least an hour of event time apart.
"""

import hashlib
from collections.abc import Sequence

from qold.domain.excursions import DeviceState, Excursion
from qold.domain.model import Alert

APART_MS = 3_600_000
LIVE_MS = 1_800_000


def decide(
    device_id: int,
    excursion: Excursion,
    fired_at_ms: Sequence[int],
    *,
    newest_at_ms: int,
    received_at_ms: int,
    limit: float | None = None,
) -> Alert | None:
    """The alert that an excursion calls for now; `fired_at_ms` are the earlier ones of its kind.

    `newest_at_ms` is the device's newest reading, `received_at_ms` when the present one came.
    """
    is_open = excursion.ended_at_ms is None
    is_live = is_open and received_at_ms - newest_at_ms <= LIVE_MS
    if is_open and not is_live:
        return None
    at_ms = newest_at_ms if is_open else excursion.confirmed_at_ms
    end_ms = newest_at_ms if excursion.ended_at_ms is None else excursion.ended_at_ms
    for fired_ms in fired_at_ms:
        if excursion.started_at_ms <= fired_ms <= end_ms or abs(at_ms - fired_ms) < APART_MS:
            return None
    return Alert(
        id=alert_id(device_id, excursion.kind, at_ms),
        kind=excursion.kind,
        subject=f"device:{device_id}",
        fired_at_ms=at_ms,
        started_at_ms=excursion.started_at_ms,
        ended_at_ms=excursion.ended_at_ms,
        value=excursion.extreme,
        limit=limit,
        is_live=is_live,
    )


def alert_id(subject: int | str, kind: str, at_ms: int) -> str:
    """24 hex digits, the same for the same firing reading or moment: also the idempotency key."""
    content = f"{subject}|{kind}|{at_ms}".encode()
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def remembered(fired_at_ms: Sequence[int], state: DeviceState) -> list[int]:
    """The firing times that can still matter: to what a late reading may rebuild, or to the next."""
    oldest = state.checkpoints[0]
    since_ms = min([oldest.from_ms, *(run.started_at_ms for run in oldest.runs.values())])
    return [at_ms for at_ms in fired_at_ms if at_ms > since_ms - APART_MS]
