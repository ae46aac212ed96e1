"""What staff must know of a gateway, told through the outbox like a reading."""

import json
import logging
from dataclasses import dataclass
from enum import StrEnum

from gateway.clock import Clock
from gateway.outbox import Outbox
from gateway.outbox_file import OutboxUnavailable

# One row an hour per kind; what happens in between is added up.
TELL_EVERY_MS = 3_600_000

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """Every kind of event, its `data` beside it; `count` is always there."""

    OUTBOX_DROP = "outbox-drop"  # count: messages dropped unsent to make room
    OUTBOX_FULL = "outbox-full"  # count: frames refused; the devices keep and repeat them
    OUTBOX_UNAVAILABLE = "outbox-unavailable"  # error; count: frames refused
    OUTBOX_QUARANTINED = "outbox-quarantined"  # file, problem, salvaged
    CLOCK_JUMP = "clock-jump"  # seconds: by how much wall time jumped
    PORT_LOST = "port-lost"  # port: no serial port for longer than a minute
    UPLINK_BACK = "uplink-back"  # seconds: how long nothing could be sent


@dataclass(slots=True)
class _Pending:
    count: int
    first_time: int
    data: dict[str, str | int]


class Events:
    """Collects events; `flush` writes them to the outbox, at most one an hour of each kind."""

    def __init__(self, outbox: Outbox, clock: Clock, topic: str) -> None:
        self._outbox = outbox
        self._clock = clock
        self._topic = topic
        self._pending: dict[Kind, _Pending] = {}
        self._told_at_ms: dict[Kind, int] = {}
        self._is_blocked = False

    def tell(self, kind: Kind, count: int = 1, **data: str | int) -> None:
        """Something happened `count` times; newer `data` replaces older."""
        now = self._clock.wall_ms() // 1000
        if kind not in self._pending:
            log.warning("event=%s count=%s data=%s", kind, count, data)
        pending = self._pending.setdefault(kind, _Pending(0, now, {}))
        pending.count += count
        pending.data = data

    def flush(self) -> None:
        """Write what is due; what the outbox cannot take now stays pending."""
        for quarantine in self._outbox.quarantined:
            self.tell(
                Kind.OUTBOX_QUARANTINED,
                file=quarantine.path.name,
                problem=quarantine.problem,
                salvaged=quarantine.salvaged,
            )
        self._outbox.quarantined.clear()
        due = [kind for kind in self._pending if self._is_due(kind)]
        if not due:
            return
        now = self._clock.wall_ms() // 1000
        rows = [(now, self._message(kind), self._topic) for kind in due]
        try:
            with self._outbox.writing():
                self._outbox.append(rows)
        except OutboxUnavailable as exc:
            # Once per outage: the next attempt follows within a second.
            if not self._is_blocked:
                log.warning("events=%s wait for the outbox: %s", len(due), exc)
            self._is_blocked = True
            return
        self._is_blocked = False
        for kind in due:
            del self._pending[kind]
            self._told_at_ms[kind] = self._clock.monotonic_ms()

    def _is_due(self, kind: Kind) -> bool:
        told_at_ms = self._told_at_ms.get(kind)
        return told_at_ms is None or self._clock.monotonic_ms() - told_at_ms >= TELL_EVERY_MS

    def _message(self, kind: Kind) -> str:
        pending = self._pending[kind]
        data = {**pending.data, "count": pending.count}
        event = {"kind": kind, "time": pending.first_time, "data": data}
        return json.dumps({"event": event}, separators=(",", ":"))
