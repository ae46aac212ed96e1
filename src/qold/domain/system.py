"""Which troubles of the system itself the staff is told of (source T3.5, T3.6).

Each trouble is told once and again only after it was over; ids are derived from how it began, so
that a look which is repeated after a crash names it alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from qold.domain.alerts import APART_MS, alert_id
from qold.domain.model import Alert

BEHIND_MS = 300_000
AWAY_MS = 60_000
MINUTE_MS = 60_000
LEAST_GROWTH = 1000
GAP_MS = 300_000
MAX_DETAIL = 80

TOLD_EVENTS = frozenset(
    {
        "clock-jump",
        "error",
        "outbox-drop",
        "outbox-full",
        "outbox-quarantined",
        "outbox-unavailable",
        "port-lost",
        "update-failed",
    }
)
UNTOLD_EVENTS = frozenset({"uplink-back"})
"""What is over already. An event that is in neither set is told of as `event`, under its own name."""

Value = str | int | float | bool | None


@dataclass(slots=True)
class EventWatch:
    """When the staff was last told of each kind of event of a gateway."""

    told_at_ms: dict[str, int] = field(default_factory=dict)


def judge_event(
    gateway_id: int,
    watch: EventWatch,
    kind: str,
    data: Mapping[str, Value],
    *,
    at_ms: int,
    received_at_ms: int,
) -> Alert | None:
    """The alert for what a gateway tells about itself, once an hour of our time for each kind."""
    if kind in UNTOLD_EVENTS:
        return None
    name = kind if kind in TOLD_EVENTS else "event"
    told_ms = watch.told_at_ms.get(name)
    if told_ms is not None and abs(received_at_ms - told_ms) < APART_MS:
        return None
    watch.told_at_ms[name] = received_at_ms
    said = [str(value) for key, value in data.items() if key != "count" or len(data) == 1]
    if name == "event":
        said.insert(0, kind)
    return _alert(f"gateway:{gateway_id}", name, at_ms, received_at_ms, ", ".join(said))


@dataclass(slots=True)
class LagWatch:
    """A consumer: since when it stands where it does, its lag minute by minute, the lag it was told with."""

    position: int = -1
    since_ms: int = 0
    looked_at_ms: int = 0
    minutes: list[tuple[int, int]] = field(default_factory=list)
    told_lag: int | None = None


def judge_lag(
    consumer: str, watch: LagWatch, *, lag: int, position: int, now_ms: int
) -> Alert | None:
    """The alert when a consumer stands still, or falls behind, for five minutes while records wait."""
    if not 0 <= now_ms - watch.looked_at_ms <= GAP_MS:
        watch.minutes, watch.position = [], -1
    watch.looked_at_ms = now_ms
    if position != watch.position or lag == 0:
        watch.position, watch.since_ms = position, now_ms
    if not watch.minutes or now_ms - watch.minutes[-1][0] >= MINUTE_MS:
        watch.minutes = [*watch.minutes[-5:], (now_ms, lag)]
    if watch.told_lag is not None:
        if lag <= watch.told_lag // 2:
            watch.told_lag = None
        return None
    stands = lag > 0 and now_ms - watch.since_ms >= BEHIND_MS
    if not stands and not _grows([found for _, found in watch.minutes]):
        return None
    watch.told_lag = lag
    began_ms = watch.since_ms if stands else watch.minutes[0][0]
    return _alert(f"system:{consumer}", "lag", began_ms, now_ms, str(lag))


def _grows(lags: list[int]) -> bool:
    """Every minute more, for five minutes, and by so much that it is no coincidence."""
    if len(lags) <= BEHIND_MS // MINUTE_MS:
        return False
    is_rising = all(earlier < later for earlier, later in pairwise(lags))
    return is_rising and lags[-1] >= max(2 * lags[0], lags[0] + LEAST_GROWTH)


@dataclass(slots=True)
class StoreWatch:
    """Since when a store does not answer, and whether that was told."""

    away_since_ms: int | None = None
    is_told: bool = False


def judge_store(name: str, watch: StoreWatch, *, problem: str, now_ms: int) -> Alert | None:
    """The alert when a store has not answered for a minute; `problem` is empty when it answers."""
    if not problem:
        watch.away_since_ms, watch.is_told = None, False
        return None
    if watch.away_since_ms is None or now_ms < watch.away_since_ms:
        watch.away_since_ms = now_ms
    if watch.is_told or now_ms - watch.away_since_ms < AWAY_MS:
        return None
    watch.is_told = True
    return _alert(f"system:{name}", "store-away", watch.away_since_ms, now_ms, problem)


@dataclass(slots=True)
class GrowthWatch:
    """How many records a topic of refusals had when it was last told of, and when that was."""

    count: int = -1
    told_at_ms: int = 0


def judge_growth(topic: str, watch: GrowthWatch, *, count: int, now_ms: int) -> Alert | None:
    """The alert when a topic has more refusals than before, once an hour; `count` is of all time."""
    if watch.count < 0 or count < watch.count:
        watch.count = count
    new = count - watch.count
    if not new or abs(now_ms - watch.told_at_ms) < APART_MS:
        return None
    began, watch.count, watch.told_at_ms = watch.count, count, now_ms
    return _alert(f"system:{topic}", "growth", began, now_ms, str(new), since_ms=now_ms)


def _alert(
    subject: str, what: str, began: int, fired_at_ms: int, detail: str, since_ms: int | None = None
) -> Alert:
    kind = f"system.{what}"
    printable = "".join(c if c.isprintable() else " " for c in detail)
    return Alert(
        id=alert_id(subject, kind, began),
        kind=kind,
        subject=subject,
        fired_at_ms=fired_at_ms,
        started_at_ms=began if since_ms is None else since_ms,
        detail=printable[:MAX_DETAIL],
    )
