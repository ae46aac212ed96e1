"""The alert log in Cassandra: each alert opened by a transaction, what is to be told in `Pending`.

Indexes are written before what they lead to, and what people read of a delivery after it happened:
a process that ends in between leaves an entry that leads nowhere, or a status that is told late.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from qold.adapters.alert_log.cassandra_excursions import Excursions
from qold.adapters.alert_log.cassandra_opening import open_once
from qold.adapters.alert_log.cassandra_pending import CHANNELS, Digest, Pending
from qold.adapters.alert_log.cassandra_stories import Stories, alert_of, bucket
from qold.adapters.cassandra_session import CassandraSession
from qold.domain.model import (
    Alert,
    AlertStory,
    Channel,
    Delivery,
    DeviceExcursions,
    Message,
    StoredExcursion,
)

PAGE = 100

_LOOK_UNPLANNED = (
    "SELECT opened_at_ms, id FROM alerts_unplanned WHERE topology = ? AND opened_at_ms < ?"
)
_IS_PLANNED = "DELETE FROM alerts_unplanned WHERE topology = ? AND opened_at_ms = ? AND id = ?"
_PLANNED = "UPDATE alerts SET planned_at_ms = ? WHERE bucket = ? AND id = ?"
_ACKNOWLEDGE = (
    "UPDATE alerts SET acknowledged_by = ?, acknowledged_at_ms = ?"
    " WHERE bucket = ? AND id = ? IF acknowledged_at_ms = null"
)
_WAITING = (
    "INSERT INTO deliveries (alert_id, channel, address, status, changed_at_ms)"
    " VALUES (?, ?, ?, 'waiting', ?) IF NOT EXISTS"
)
_STATUS = (
    "UPDATE deliveries SET status = ?, message_id = ?, changed_at_ms = ?"
    " WHERE alert_id = ? AND channel = ? AND address = ?"
)
_LOOK_STATUS = (
    "SELECT alert_id, status FROM deliveries WHERE alert_id = ? AND channel = ? AND address = ?"
)
_MESSAGE = (
    "INSERT INTO messages (id, topology, channel, address, locale, alert_ids, names, attempts,"
    " detail) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '')"
)
_LOOK_MESSAGE = (
    "SELECT id, topology, channel, address, locale, alert_ids, names FROM messages WHERE id = ?"
)
_ATTEMPTS = "UPDATE messages SET attempts = ? WHERE id = ?"
_DETAIL = "UPDATE messages SET detail = ? WHERE id = ?"


class CassandraAlertLog:
    """An AlertLog in one keyspace."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._stories = Stories(session)
        self._pending = Pending(session)
        self._excursions = Excursions(session)

    def open_once(self, alerts: Sequence[Alert], *, topology: str, now_ms: int) -> set[str]:
        return open_once(self._session, self._stories, alerts, topology, now_ms)

    def put_excursions(self, changes: Sequence[DeviceExcursions]) -> None:
        self._excursions.put(changes)

    def unplanned(self, topology: str, *, before_ms: int, limit: int) -> list[Alert]:
        found: list[Alert] = []
        for entries in self._session.pages(
            _LOOK_UNPLANNED, (topology, before_ms), max(limit, PAGE)
        ):
            there = self._stories.load([entry.id for entry in entries])
            stale = []
            for entry in entries:
                row = there.get(entry.id)
                if row is not None:
                    if row.planned_at_ms is None and row.opened_at_ms == entry.opened_at_ms:
                        found.append(alert_of(row))
                    else:
                        stale.append((_IS_PLANNED, (topology, entry.opened_at_ms, entry.id)))
            if stale:
                self._session.execute_batches([stale])
            if len(found) >= limit:
                break
        return found[:limit]

    def plan(self, deliveries: Mapping[str, Sequence[Delivery]], *, now_ms: int) -> None:
        rows = self._stories.load(deliveries.keys())
        for topology in sorted({row.topology for row in rows.values()}):
            some = [row for row in rows.values() if row.topology == topology]
            plans = {row.id: deliveries[row.id] for row in some if row.planned_at_ms is None}
            if plans:
                times = {row.id: (row.opened_at_ms, row.fired_at_ms) for row in some}
                fresh = self._pending.plan(topology, plans, times)
                self._session.execute_all(
                    (_WAITING, (alert_id, d.channel, d.address, now_ms))
                    for alert_id in fresh
                    for d in deliveries[alert_id]
                )
                self._session.execute_all(
                    (_PLANNED, (now_ms, bucket(alert_id), alert_id)) for alert_id in plans
                )
            self._session.execute_all(
                (_IS_PLANNED, (topology, row.opened_at_ms, row.id)) for row in some
            )

    def claim(
        self, topology: str, channel: Channel, *, now_ms: int, lease_ms: int, limit: int
    ) -> list[Message]:
        def keep(new: Sequence[Digest]) -> None:
            self._session.execute_all(
                (
                    _MESSAGE,
                    (
                        one.id,
                        topology,
                        channel,
                        one.address,
                        one.waiting[0].locale,
                        [w.alert_id for w in one.waiting],
                        [w.name for w in one.waiting],
                    ),
                )
                for one in new
            )

        leased, new = self._pending.claim(
            topology, channel, now_ms=now_ms, lease_ms=lease_ms, limit=limit, keep=keep
        )
        self._session.execute_all(
            (_STATUS, ("sending", one.id, now_ms, w.alert_id, channel, one.address))
            for one in new
            for w in one.waiting
        )
        self._session.execute_all((_ATTEMPTS, (one.attempts, one.id)) for one in leased)
        return self._messages({one.id: one.attempts for one in leased})

    def settle(
        self,
        message_id: str,
        status: Literal["delivered", "refused"],
        *,
        now_ms: int,
        detail: str = "",
    ) -> None:
        for message in self._session.execute(_LOOK_MESSAGE, (message_id,)):
            self._tell(message, status, now_ms, unless={"delivered"})
            self._session.execute(_DETAIL, (detail, message_id))
            self._pending.settle(message.topology, message.channel, message_id)

    def retry(self, message_id: str, *, at_ms: int, detail: str) -> None:
        for message in self._session.execute(_LOOK_MESSAGE, (message_id,)):
            if self._pending.retry(message.topology, message.channel, message_id, at_ms):
                self._session.execute(_DETAIL, (detail, message_id))

    def expire(self, *, before_ms: int, now_ms: int) -> int:
        count = 0
        for topology in self._pending.topologies():
            for channel in CHANNELS:
                waiting, messages = self._pending.expire(topology, channel, before_ms)
                self._session.execute_all(
                    (_STATUS, ("expired", None, now_ms, w.alert_id, channel, w.address))
                    for w in waiting
                )
                count += len(waiting)
                for message_id in messages:
                    for message in self._session.execute(_LOOK_MESSAGE, (message_id,)):
                        done = {"delivered", "refused"}
                        count += self._tell(message, "expired", now_ms, unless=done)
        return count

    def alerts(
        self,
        *,
        device_id: int | None = None,
        only_open: bool = False,
        from_ms: int = 0,
        to_ms: int | None = None,
        limit: int = 1000,
    ) -> list[AlertStory]:
        return self._stories.listed(device_id, only_open, from_ms, to_ms, limit)

    def alert(self, alert_id: str) -> AlertStory | None:
        stories = self._stories.tell(list(self._stories.load([alert_id]).values()))
        return stories[0] if stories else None

    def acknowledge(self, alert_id: str, *, by: str, now_ms: int) -> bool:
        if not self._stories.load([alert_id]):
            return False
        self._session.execute(_ACKNOWLEDGE, (by, now_ms, bucket(alert_id), alert_id))
        return True

    def excursions(
        self, *, device_id: int | None = None, from_ms: int = 0, to_ms: int | None = None
    ) -> list[StoredExcursion]:
        return self._excursions.overlapping(device_id, from_ms, to_ms)

    def ping(self) -> None:
        self._session.ping()

    def close(self) -> None:
        self._session.close()

    def _messages(self, attempts: Mapping[str, int]) -> list[Message]:
        answers = self._session.execute_all((_LOOK_MESSAGE, (one,)) for one in attempts)
        rows = [row for answer in answers for row in answer]
        alerts = self._stories.load({alert_id for row in rows for alert_id in row.alert_ids})
        return [
            Message(
                row.id,
                row.channel,
                row.address,
                row.locale,
                tuple(alert_of(alerts[alert_id]) for alert_id in row.alert_ids),
                tuple(row.names),
                attempts[row.id],
            )
            for row in rows
        ]

    def _tell(self, message: Any, status: str, now_ms: int, *, unless: set[str]) -> int:
        """Note what became of a message's deliveries; returns of how many."""
        place = (message.channel, message.address)
        answers = self._session.execute_all(
            (_LOOK_STATUS, (alert_id, *place)) for alert_id in message.alert_ids
        )
        done = {row.alert_id for rows in answers for row in rows if row.status in unless}
        left = [alert_id for alert_id in message.alert_ids if alert_id not in done]
        self._session.execute_all(
            (_STATUS, (status, message.id, now_ms, alert_id, *place)) for alert_id in left
        )
        return len(left)
