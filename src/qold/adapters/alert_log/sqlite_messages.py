"""How the deliveries in the embedded alert log become messages; all within the caller's transaction."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from qold.domain.model import Alert, Message
from qold.domain.routing import DIGEST_MS, MAX_ALERTS_OF_A_MESSAGE, message_id

ALERT = (
    "id, kind, subject, fired_at_ms, started_at_ms, ended_at_ms, value, limit_value,"
    " is_live, detail"
)


def due(db: sqlite3.Connection, topology: str, channel: str, now_ms: int, limit: int) -> list[str]:
    """Messages whose retry or lease is due."""
    rows = db.execute(
        "SELECT id FROM messages WHERE is_sending AND topology = ? AND channel = ?"
        " AND next_at_ms <= ? ORDER BY next_at_ms, id LIMIT ?",
        (topology, channel, now_ms, limit),
    )
    return [message for (message,) in rows]


def new(db: sqlite3.Connection, topology: str, channel: str, now_ms: int) -> list[tuple[str, int]]:
    """(address, time) of what is due and in no message yet, the oldest first."""
    return db.execute(
        "SELECT address, min(due_at_ms) AS due FROM deliveries"
        " WHERE status = 'waiting' AND topology = ? AND channel = ? AND due_at_ms <= ?"
        " GROUP BY address ORDER BY due, address",
        (topology, channel, now_ms),
    ).fetchall()


def gather(
    db: sqlite3.Connection,
    topology: str,
    channel: str,
    address: str,
    due_at_ms: int,
    *,
    now_ms: int,
) -> str:
    """Make one message of what waits at an address; returns its id."""
    rows = db.execute(
        "SELECT alert_id, locale, opened_at_ms FROM deliveries WHERE status = 'waiting'"
        " AND topology = ? AND channel = ? AND address = ? AND due_at_ms <= ?"
        " ORDER BY due_at_ms, fired_at_ms, alert_id LIMIT ?",
        (topology, channel, address, due_at_ms + DIGEST_MS, MAX_ALERTS_OF_A_MESSAGE),
    ).fetchall()
    made = message_id(channel, address, [alert for alert, *_ in rows])
    newest_ms = max(opened_at_ms for *_, opened_at_ms in rows)
    db.execute(
        "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, 1, ?, 0, '')",
        (made, topology, channel, address, rows[0][1], newest_ms, now_ms),
    )
    db.executemany(
        "UPDATE deliveries SET message_id = ?, status = 'sending', changed_at_ms = ?"
        " WHERE alert_id = ? AND channel = ? AND address = ?",
        [(made, now_ms, alert, channel, address) for alert, *_ in rows],
    )
    return made


def message(db: sqlite3.Connection, identity: str) -> Message:
    """A message as it was gathered, with its attempts so far."""
    channel, address, locale, attempts = db.execute(
        "SELECT channel, address, locale, attempts FROM messages WHERE id = ?", (identity,)
    ).fetchone()
    names = ", ".join(f"alerts.{name}" for name in ALERT.split(", "))
    rows = db.execute(
        f"SELECT {names}, deliveries.name FROM deliveries JOIN alerts ON alerts.id = alert_id"  # noqa: S608  # our own names
        " WHERE message_id = ? ORDER BY due_at_ms, deliveries.fired_at_ms, alert_id",
        (identity,),
    ).fetchall()
    alerts = tuple(alert_of(row) for row in rows)
    about = tuple(row[-1] for row in rows)
    return Message(identity, channel, address, locale, alerts, about, attempts)


def alert_of(row: Sequence[Any]) -> Alert:
    """The alert of a row that begins with the columns `ALERT`."""
    values = (*row[:8], bool(row[8]), row[9])
    return Alert(*values)
