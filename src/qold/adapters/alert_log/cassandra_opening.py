"""Alerts are opened in Cassandra by transactions, many at once."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from qold.adapters.alert_log.cassandra_stories import ALERT, Stories, bucket, month
from qold.adapters.cassandra_session import CassandraSession, Statement
from qold.domain.model import Alert
from qold.ports import Unavailable

PATIENCE_S = 8.0
PAUSE_S = 0.05
BLOCK = 100

_OPEN = (
    f"INSERT INTO alerts (bucket, {ALERT}, topology, opened_at_ms)"  # noqa: S608  # our own names
    f" VALUES ({', '.join('?' * 13)}) IF NOT EXISTS"
)
_BY_MONTH = "INSERT INTO alerts_by_month (month, fired_at_ms, id) VALUES (?, ?, ?)"
_BY_SUBJECT = (
    "INSERT INTO alerts_by_subject (subject, fired_at_ms, id, kind, started_at_ms)"
    " VALUES (?, ?, ?, ?, ?)"
)
_UNPLANNED = "INSERT INTO alerts_unplanned (topology, opened_at_ms, id) VALUES (?, ?, ?)"


def open_once(
    session: CassandraSession,
    stories: Stories,
    alerts: Sequence[Alert],
    topology: str,
    now_ms: int,
) -> set[str]:
    """Keep alerts with what leads to them; returns the ids that were not there."""
    give_up_at = time.monotonic() + PATIENCE_S
    there = stories.load({alert.id for alert in alerts})
    fresh = {alert.id: alert for alert in reversed(alerts) if alert.id not in there}
    session.execute_batches(_index(fresh.values(), topology, now_ms))
    opened: set[str] = set()
    while fresh:
        groups = list(_by_bucket(fresh.values()))
        applied = session.execute_ifs(
            [(_OPEN, _row(alert, topology, now_ms)) for alert in group] for group in groups
        )
        done = [
            alert.id
            for group, is_in in zip(groups, applied, strict=True)
            if is_in
            for alert in group
        ]
        opened.update(done)
        for alert_id in done:
            del fresh[alert_id]
        if fresh:
            # All of a group or none: somebody else was first with one of them.
            for alert_id in stories.load(fresh.keys()):
                del fresh[alert_id]
            if time.monotonic() > give_up_at:
                raise Unavailable("too many open alerts at once")
            time.sleep(random.uniform(0, PAUSE_S))
    return opened


def _index(alerts: Iterable[Alert], topology: str, now_ms: int) -> Iterator[list[Statement]]:
    statements: list[Statement] = []
    for alert in alerts:
        at_ms = alert.fired_at_ms
        statements += [
            (_BY_MONTH, (month(at_ms), at_ms, alert.id)),
            (_BY_SUBJECT, (alert.subject, at_ms, alert.id, alert.kind, alert.started_at_ms)),
            (_UNPLANNED, (topology, now_ms, alert.id)),
        ]
    statements.sort(key=lambda statement: (statement[0], str(statement[1][0])))
    return (statements[start : start + BLOCK] for start in range(0, len(statements), BLOCK))


def _by_bucket(alerts: Iterable[Alert]) -> Iterator[list[Alert]]:
    ordered = sorted(alerts, key=lambda alert: bucket(alert.id))
    for _, group in groupby(ordered, key=lambda alert: bucket(alert.id)):
        some = list(group)
        yield from (some[start : start + BLOCK] for start in range(0, len(some), BLOCK))


def _row(alert: Alert, topology: str, now_ms: int) -> tuple[Any, ...]:
    return (
        bucket(alert.id),
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
        topology,
        now_ms,
    )
