"""What is not told yet, in Cassandra: a partition per topology, changed by one transaction at a time.

A change reads the partition's version and what it needs, decides, and writes all or nothing under
the condition that the version is still the same.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from qold.adapters.cassandra_session import CassandraSession, Statement
from qold.domain.model import Delivery
from qold.domain.routing import DIGEST_MS, MAX_ALERTS_OF_A_MESSAGE, message_id
from qold.ports import Unavailable

T = TypeVar("T")

PATIENCE_S = 8.0
PAUSE_S = 0.01
PLAN_KEPT_S = 7 * 86_400
"""A plan is remembered so long beside the alert's own mark, for a planner that reads it late."""

_VERSION = "SELECT version FROM pending WHERE topology = ? LIMIT 1"
_FIRST = "UPDATE pending SET version = 1 WHERE topology = ? IF version = null"
_NEXT = "UPDATE pending SET version = ? WHERE topology = ? IF version = ?"
_SOME = "SELECT key, data FROM pending WHERE topology = ? AND kind = ? AND key IN ?"
_ALL = "SELECT key, data FROM pending WHERE topology = ? AND kind = ?"
_UNTIL = "SELECT key, data FROM pending WHERE topology = ? AND kind = ? AND key < ?"
_PUT = "INSERT INTO pending (topology, kind, key, data) VALUES (?, ?, ?, ?)"
_MARK = f"{_PUT} USING TTL {PLAN_KEPT_S}"
_TAKE = "DELETE FROM pending WHERE topology = ? AND kind = ? AND key = ?"
_TOPOLOGIES = "SELECT DISTINCT topology FROM pending"
CHANNELS = ("sms", "analytics")


class Waiting(NamedTuple):
    """A delivery that is in no message yet."""

    key: str
    alert_id: str
    address: str
    locale: str
    name: str
    due_at_ms: int
    opened_at_ms: int
    fired_at_ms: int


class Sending(NamedTuple):
    """A message that is claimed, or due to be claimed again."""

    id: str
    address: str
    opened_at_ms: int  # of its newest alert
    next_at_ms: int
    attempts: int


class Digest(NamedTuple):
    """What becomes one message."""

    id: str
    address: str
    waiting: list[Waiting]


class Pending:
    """The partitions of all topologies."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    def topologies(self) -> list[str]:
        return [row.topology for row in self._session.execute(_TOPOLOGIES)]

    def plan(
        self,
        topology: str,
        plans: Mapping[str, Sequence[Delivery]],
        times: Mapping[str, tuple[int, int]],
    ) -> set[str]:
        """Keep the plans of alerts that have none; `times` are when opened and fired. Returns whose."""

        def decide() -> tuple[list[Statement], set[str]]:
            rows = self._session.execute(_SOME, (topology, "plan", list(plans)))
            fresh = plans.keys() - {row.key for row in rows}
            statements: list[Statement] = [(_MARK, (topology, "plan", key, "")) for key in fresh]
            for alert_id in fresh:
                opened_at_ms, fired_at_ms = times[alert_id]
                for d in plans[alert_id]:
                    key = f"{d.due_at_ms:015d} {alert_id} {d.address}"
                    data = (alert_id, d.address, d.locale, d.name, d.due_at_ms)
                    text = json.dumps((*data, opened_at_ms, fired_at_ms))
                    statements.append((_PUT, (topology, f"wait:{d.channel}", key, text)))
            return statements, fresh

        return self._change(topology, decide)

    def waiting(self, topology: str, channel: str, *, until_ms: int | None = None) -> list[Waiting]:
        """In order of due time; those due by `until_ms`."""
        kind = f"wait:{channel}"
        rows = (
            self._session.execute(_ALL, (topology, kind))
            if until_ms is None
            else self._session.execute(_UNTIL, (topology, kind, f"{until_ms + 1:015d}"))
        )
        return [Waiting(row.key, *json.loads(row.data)) for row in rows]

    def sending(self, topology: str, channel: str) -> list[Sending]:
        rows = self._session.execute(_ALL, (topology, f"send:{channel}"))
        return [Sending(row.key, *json.loads(row.data)) for row in rows]

    def claim(
        self,
        topology: str,
        channel: str,
        *,
        now_ms: int,
        lease_ms: int,
        limit: int,
        keep: Callable[[Sequence[Digest]], None],
    ) -> tuple[list[Sending], list[Digest]]:
        """Messages that are due again and digests that are new, all leased; `keep` stores the latter."""

        def decide() -> tuple[list[Statement], tuple[list[Sending], list[Digest]]]:
            again = [one for one in self.sending(topology, channel) if one.next_at_ms <= now_ms]
            again = sorted(again, key=lambda one: (one.next_at_ms, one.id))[:limit]
            waiting = self.waiting(topology, channel, until_ms=now_ms + DIGEST_MS)
            new = _gather(waiting, channel, now_ms)[: limit - len(again)]
            keep(new)
            until_ms = now_ms + lease_ms
            leased = [one._replace(next_at_ms=until_ms, attempts=one.attempts + 1) for one in again]
            leased += [
                Sending(one.id, one.address, max(w.opened_at_ms for w in one.waiting), until_ms, 1)
                for one in new
            ]
            taken = [w.key for one in new for w in one.waiting]
            statements = [self._put(topology, channel, one) for one in leased]
            statements += [(_TAKE, (topology, f"wait:{channel}", key)) for key in taken]
            return statements, (leased, new)

        return self._change(topology, decide)

    def retry(self, topology: str, channel: str, identity: str, at_ms: int) -> bool:
        """False when it is sent no more."""

        def decide() -> tuple[list[Statement], bool]:
            found = [one for one in self._sending_one(topology, channel, identity)]
            statements = [
                self._put(topology, channel, one._replace(next_at_ms=at_ms)) for one in found
            ]
            return statements, bool(found)

        return self._change(topology, decide)

    def settle(self, topology: str, channel: str, identity: str) -> None:
        def decide() -> tuple[list[Statement], None]:
            found = self._sending_one(topology, channel, identity)
            return [(_TAKE, (topology, f"send:{channel}", one.id)) for one in found], None

        self._change(topology, decide)

    def expire(
        self, topology: str, channel: str, before_ms: int
    ) -> tuple[list[Waiting], list[str]]:
        """Take away what was opened before: deliveries without a message, and messages."""

        def decide() -> tuple[list[Statement], tuple[list[Waiting], list[str]]]:
            waiting = [w for w in self.waiting(topology, channel) if w.opened_at_ms < before_ms]
            sending = [s for s in self.sending(topology, channel) if s.opened_at_ms < before_ms]
            statements: list[Statement] = [
                (_TAKE, (topology, f"wait:{channel}", w.key)) for w in waiting
            ]
            statements += [(_TAKE, (topology, f"send:{channel}", s.id)) for s in sending]
            return statements, (waiting, [s.id for s in sending])

        return self._change(topology, decide)

    def _sending_one(self, topology: str, channel: str, identity: str) -> list[Sending]:
        rows = self._session.execute(_SOME, (topology, f"send:{channel}", [identity]))
        return [Sending(row.key, *json.loads(row.data)) for row in rows]

    def _put(self, topology: str, channel: str, one: Sending) -> Statement:
        return _PUT, (topology, f"send:{channel}", one.id, json.dumps(one[1:]))

    def _change(self, topology: str, decide: Callable[[], tuple[list[Statement], T]]) -> T:
        give_up_at = time.monotonic() + PATIENCE_S
        pause_s = PAUSE_S
        while True:
            rows = self._session.execute(_VERSION, (topology,))
            version = rows[0].version if rows else None
            statements, outcome = decide()
            if not statements:
                return outcome
            condition: Statement = (
                (_FIRST, (topology,))
                if version is None
                else (_NEXT, (version + 1, topology, version))
            )
            if self._session.execute_if([condition, *statements]):
                return outcome
            if time.monotonic() > give_up_at:
                raise Unavailable(f"too many change what {topology} tells at once")
            time.sleep(random.uniform(0, pause_s))
            pause_s *= 2


def _gather(waiting: Sequence[Waiting], channel: str, now_ms: int) -> list[Digest]:
    """One message per address where something is due, with all that is due within a digest of it."""
    by_address: dict[str, list[Waiting]] = {}
    for one in waiting:
        by_address.setdefault(one.address, []).append(one)
    first = {address: min(w.due_at_ms for w in some) for address, some in by_address.items()}
    digests = []
    for due_at_ms, address in sorted((due, a) for a, due in first.items() if due <= now_ms):
        some = [w for w in by_address[address] if w.due_at_ms <= due_at_ms + DIGEST_MS]
        some.sort(key=lambda w: (w.due_at_ms, w.fired_at_ms, w.alert_id))
        del some[MAX_ALERTS_OF_A_MESSAGE:]
        digests.append(
            Digest(message_id(channel, address, [w.alert_id for w in some]), address, some)
        )
    return digests
