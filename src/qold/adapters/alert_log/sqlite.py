"""The embedded alert log: alerts, excursions, and what became of telling people, in one file."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from qold.adapters.alert_log.sqlite_messages import ALERT, alert_of, due, gather, message, new
from qold.adapters.sqlite_file import SqliteFile
from qold.domain.model import (
    Alert,
    AlertStory,
    Channel,
    Delivery,
    DeliveryStatus,
    DeviceExcursions,
    Message,
    StoredExcursion,
)

_STORY = f"{ALERT}, topology, opened_at_ms, acknowledged_by, acknowledged_at_ms, over_at_ms"
_IS_OPEN = "coalesce(over_at_ms, -1) = -1 AND acknowledged_at_ms IS NULL"


class SqliteAlertLog:
    """An AlertLog in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "alert_log")

    def open_once(self, alerts: Sequence[Alert], *, topology: str, now_ms: int) -> set[str]:
        opened = set()
        with self._file.writing() as db:
            for alert in alerts:
                marks = ", ".join("?" * 12)
                inserted = db.execute(
                    f"INSERT OR IGNORE INTO alerts ({ALERT}, topology, opened_at_ms)"  # noqa: S608  # our own names
                    f" VALUES ({marks})",
                    (*_alert_row(alert), topology, now_ms),
                )
                if inserted.rowcount:
                    opened.add(alert.id)
        return opened

    def put_excursions(self, changes: Sequence[DeviceExcursions]) -> None:
        with self._file.writing() as db:
            for change in changes:
                if change.replace_from_ms is not None:
                    db.executemany(
                        "DELETE FROM excursions WHERE device_id = ? AND kind = ?"
                        " AND (started_at_ms >= ? OR ended_at_ms IS NULL OR ended_at_ms >= ?)",
                        [
                            (change.device_id, kind, *[change.replace_from_ms] * 2)
                            for kind in change.kinds
                        ],
                    )
                db.executemany(
                    "INSERT OR REPLACE INTO excursions VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            found.device_id,
                            found.kind,
                            found.started_at_ms,
                            found.confirmed_at_ms,
                            found.ended_at_ms,
                            found.extreme,
                            found.observed_ms,
                        )
                        for found in change.excursions
                    ],
                )

    def unplanned(self, topology: str, *, before_ms: int, limit: int) -> list[Alert]:
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {ALERT} FROM alerts WHERE planned_at_ms IS NULL"  # noqa: S608  # our own names
                " AND topology = ? AND opened_at_ms < ? ORDER BY opened_at_ms, id LIMIT ?",
                (topology, before_ms, limit),
            )
            return [alert_of(row) for row in rows]

    def plan(self, deliveries: Mapping[str, Sequence[Delivery]], *, now_ms: int) -> None:
        with self._file.writing() as db:
            for alert_id, planned in deliveries.items():
                updated = db.execute(
                    "UPDATE alerts SET planned_at_ms = ? WHERE id = ? AND planned_at_ms IS NULL",
                    (now_ms, alert_id),
                )
                if not updated.rowcount:
                    continue
                db.executemany(
                    "INSERT OR IGNORE INTO deliveries"
                    " SELECT id, ?, ?, ?, ?, ?, topology, opened_at_ms, fired_at_ms, NULL,"
                    " 'waiting', ? FROM alerts WHERE id = ?",
                    [
                        (d.channel, d.address, d.locale, d.name, d.due_at_ms, now_ms, alert_id)
                        for d in planned
                    ],
                )

    def claim(
        self, topology: str, channel: Channel, *, now_ms: int, lease_ms: int, limit: int
    ) -> list[Message]:
        with self._file.reading() as db:
            if not due(db, topology, channel, now_ms, 1) and not new(db, topology, channel, now_ms):
                return []  # the usual case, which takes no lock
        with self._file.writing() as db:
            ids = due(db, topology, channel, now_ms, limit)
            for address, due_at_ms in new(db, topology, channel, now_ms):
                if len(ids) >= limit:
                    break
                ids.append(gather(db, topology, channel, address, due_at_ms, now_ms=now_ms))
            db.executemany(
                "UPDATE messages SET attempts = attempts + 1, next_at_ms = ? WHERE id = ?",
                [(now_ms + lease_ms, claimed) for claimed in ids],
            )
            return [message(db, claimed) for claimed in ids]

    def settle(
        self,
        message_id: str,
        status: Literal["delivered", "refused"],
        *,
        now_ms: int,
        detail: str = "",
    ) -> None:
        with self._file.writing() as db:
            db.execute(
                "UPDATE messages SET is_sending = 0, detail = ? WHERE id = ?", (detail, message_id)
            )
            db.execute(
                "UPDATE deliveries SET status = ?, changed_at_ms = ?"
                " WHERE message_id = ? AND status != 'delivered'",
                (status, now_ms, message_id),
            )

    def retry(self, message_id: str, *, at_ms: int, detail: str) -> None:
        with self._file.writing() as db:
            db.execute(
                "UPDATE messages SET next_at_ms = ?, detail = ? WHERE id = ? AND is_sending",
                (at_ms, detail, message_id),
            )

    def expire(self, *, before_ms: int, now_ms: int) -> int:
        old = (
            "SELECT id FROM messages WHERE is_sending AND opened_at_ms < ?",
            "SELECT 1 FROM deliveries WHERE status = 'waiting' AND opened_at_ms < ? LIMIT 1",
        )
        with self._file.reading() as db:
            if not any(db.execute(query, (before_ms,)).fetchone() for query in old):
                return 0
        with self._file.writing() as db:
            messages = db.execute(old[0], (before_ms,)).fetchall()
            db.executemany("UPDATE messages SET is_sending = 0 WHERE id = ?", messages)
            expired = db.executemany(
                "UPDATE deliveries SET status = 'expired', changed_at_ms = ?"
                " WHERE message_id = ? AND status = 'sending'",
                [(now_ms, *message) for message in messages],
            ).rowcount
            waiting = db.execute(
                "UPDATE deliveries SET status = 'expired', changed_at_ms = ?"
                " WHERE status = 'waiting' AND opened_at_ms < ?",
                (now_ms, before_ms),
            ).rowcount
        return max(0, expired) + waiting

    def alerts(
        self,
        *,
        device_id: int | None = None,
        only_open: bool = False,
        from_ms: int = 0,
        to_ms: int | None = None,
        limit: int = 1000,
    ) -> list[AlertStory]:
        conditions, values = ["fired_at_ms >= ?"], [from_ms, limit]
        if to_ms is not None:
            conditions.append("fired_at_ms < ?")
            values.insert(-1, to_ms)
        if only_open:
            conditions.append(_IS_OPEN)
        subject: list[str] = []
        if device_id is not None:
            conditions.insert(0, "subject = ?")
            subject.append(f"device:{device_id}")
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT {_STORY} FROM stories WHERE {' AND '.join(conditions)}"  # noqa: S608  # our own words
                " ORDER BY fired_at_ms DESC, id LIMIT ?",
                (*subject, *values),
            ).fetchall()
            return [_story(db, row) for row in rows]

    def alert(self, alert_id: str) -> AlertStory | None:
        with self._file.reading() as db:
            row = db.execute(
                f"SELECT {_STORY} FROM stories WHERE id = ?",  # noqa: S608  # our own names
                (alert_id,),
            ).fetchone()
            return _story(db, row) if row else None

    def acknowledge(self, alert_id: str, *, by: str, now_ms: int) -> bool:
        with self._file.writing() as db:
            db.execute(
                "UPDATE alerts SET acknowledged_by = ?, acknowledged_at_ms = ?"
                " WHERE id = ? AND acknowledged_at_ms IS NULL",
                (by, now_ms, alert_id),
            )
            found = db.execute("SELECT 1 FROM alerts WHERE id = ?", (alert_id,)).fetchone()
        return found is not None

    def excursions(
        self, *, device_id: int | None = None, from_ms: int = 0, to_ms: int | None = None
    ) -> list[StoredExcursion]:
        conditions, values = ["(ended_at_ms IS NULL OR ended_at_ms > ?)"], [from_ms]
        if to_ms is not None:
            conditions.append("started_at_ms < ?")
            values.append(to_ms)
        if device_id is not None:
            conditions.append("device_id = ?")
            values.append(device_id)
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT * FROM excursions WHERE {' AND '.join(conditions)}"  # noqa: S608  # our own words
                " ORDER BY device_id, started_at_ms, kind",
                values,
            )
            return [StoredExcursion(*row) for row in rows]

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM alerts LIMIT 1")

    def close(self) -> None:
        self._file.close()


def _story(db: sqlite3.Connection, row: Sequence[Any]) -> AlertStory:
    topology, opened_at_ms, by, acknowledged_at_ms, over_at_ms = row[10:]
    over = None if over_at_ms == -1 else over_at_ms
    statuses = tuple(_statuses(db, row[0]))
    return AlertStory(alert_of(row), topology, opened_at_ms, over, by, acknowledged_at_ms, statuses)


def _statuses(db: sqlite3.Connection, alert_id: str) -> Iterator[DeliveryStatus]:
    rows = db.execute(
        "SELECT deliveries.channel, deliveries.address, status, message_id,"
        " coalesce(attempts, 0), changed_at_ms, coalesce(detail, '') FROM deliveries"
        " LEFT JOIN messages ON messages.id = message_id WHERE alert_id = ?"
        " ORDER BY deliveries.channel, deliveries.address",
        (alert_id,),
    )
    return (DeliveryStatus(*row) for row in rows)


def _alert_row(alert: Alert) -> tuple[Any, ...]:
    return (
        alert.id,
        alert.kind,
        alert.subject,
        alert.fired_at_ms,
        alert.started_at_ms,
        alert.ended_at_ms,
        alert.value,
        alert.limit,
        alert.is_live,
        alert.detail,
    )
