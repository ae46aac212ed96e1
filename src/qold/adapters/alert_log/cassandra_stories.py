"""Reading alerts from Cassandra: by id, by device and time, each with all that became of it."""

import time
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from qold.adapters.cassandra_session import CassandraSession
from qold.domain.model import Alert, AlertStory, DeliveryStatus

BUCKETS = 64
BLOCK = 50
FOREVER_MS = 2**62
ALERT = "id, kind, subject, fired_at_ms, started_at_ms, ended_at_ms, value, limit_value, is_live, detail"

_LOAD = (
    f"SELECT {ALERT}, topology, opened_at_ms, planned_at_ms, acknowledged_by, acknowledged_at_ms"  # noqa: S608  # our own names
    " FROM alerts WHERE bucket = ? AND id IN ?"
)
_MONTHS = "SELECT DISTINCT month FROM alerts_by_month"
_OF_MONTH = "SELECT fired_at_ms, id FROM alerts_by_month WHERE month = ? AND fired_at_ms >= ? AND fired_at_ms < ?"
_OF_SUBJECT = "SELECT fired_at_ms, id, kind, started_at_ms FROM alerts_by_subject WHERE subject = ? AND fired_at_ms >= ? AND fired_at_ms < ?"
_DELIVERIES = (
    "SELECT channel, address, status, message_id, changed_at_ms FROM deliveries WHERE alert_id = ?"
)
_MESSAGES = "SELECT id, attempts, detail FROM messages WHERE id IN ?"
_EXCURSIONS = "SELECT started_at_ms, ended_at_ms FROM excursions WHERE device_id = ? AND kind = ? AND started_at_ms <= ?"


class Stories:
    """What is read of alerts."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    def load(self, ids: Collection[str]) -> dict[str, Any]:
        """The rows of the alerts that are there."""
        buckets: dict[int, list[str]] = {}
        for alert_id in ids:
            buckets.setdefault(bucket(alert_id), []).append(alert_id)
        answers = self._session.execute_all(
            (_LOAD, (number, some[start : start + BLOCK]))
            for number, some in buckets.items()
            for start in range(0, len(some), BLOCK)
        )
        # A row without its kind is what a late mark has left of an alert that was never there.
        return {row.id: row for rows in answers for row in rows if row.kind is not None}

    def listed(
        self, device_id: int | None, only_open: bool, from_ms: int, to_ms: int | None, limit: int
    ) -> list[AlertStory]:
        """Newest first."""
        found: list[AlertStory] = []
        until_ms = FOREVER_MS if to_ms is None else to_ms
        for entries in self._entries(device_id, from_ms, until_ms, min(1000, limit)):
            there = self.load([entry.id for entry in entries])
            rows = [
                there[entry.id]
                for entry in entries
                if entry.id in there and there[entry.id].fired_at_ms == entry.fired_at_ms
            ]
            if only_open:
                rows = [row for row in rows if row.acknowledged_at_ms is None]
            stories = self.tell(rows)
            found += [s for s in stories if not only_open or s.over_at_ms is None]
            if len(found) >= limit:
                break
        return found[:limit]

    def tell(self, rows: Sequence[Any]) -> list[AlertStory]:
        """The story of each row that `load` gave."""
        deliveries = self._deliveries([row.id for row in rows])
        over = self._over_at_ms(rows)
        return [
            AlertStory(
                alert=alert_of(row),
                topology=row.topology,
                opened_at_ms=row.opened_at_ms,
                over_at_ms=over[row.id],
                acknowledged_by=row.acknowledged_by,
                acknowledged_at_ms=row.acknowledged_at_ms,
                deliveries=tuple(deliveries[row.id]),
            )
            for row in rows
        ]

    def _entries(
        self, device_id: int | None, from_ms: int, until_ms: int, size: int
    ) -> Iterator[list[Any]]:
        if device_id is not None:
            values = (f"device:{device_id}", from_ms, until_ms)
            yield from self._session.pages(_OF_SUBJECT, values, size)
            return
        first, last = month(from_ms), month(until_ms - 1)
        months = sorted((row.month for row in self._session.execute(_MONTHS)), reverse=True)
        for number in months:
            if first <= number <= last:
                yield from self._session.pages(_OF_MONTH, (number, from_ms, until_ms), size)

    def _deliveries(self, ids: Sequence[str]) -> dict[str, list[DeliveryStatus]]:
        answers = self._session.execute_all((_DELIVERIES, (alert_id,)) for alert_id in ids)
        named = sorted({row.message_id for rows in answers for row in rows if row.message_id})
        blocks = [named[start : start + BLOCK] for start in range(0, len(named), BLOCK)]
        messages = {
            row.id: row
            for rows in self._session.execute_all((_MESSAGES, (block,)) for block in blocks)
            for row in rows
        }
        return {
            alert_id: [
                DeliveryStatus(
                    row.channel,
                    row.address,
                    row.status,
                    row.message_id,
                    messages[row.message_id].attempts if row.message_id in messages else 0,
                    row.changed_at_ms,
                    messages[row.message_id].detail if row.message_id in messages else "",
                )
                for row in rows
            ]
            for alert_id, rows in zip(ids, answers, strict=True)
        }

    def _over_at_ms(self, rows: Sequence[Any]) -> dict[str, int | None]:
        over: dict[str, int | None] = {}
        of_excursions, of_returns = [], []
        for row in rows:
            if row.ended_at_ms is not None:
                over[row.id] = row.ended_at_ms
            elif row.kind.endswith(".back"):
                over[row.id] = row.fired_at_ms
            elif row.kind.endswith(".silent"):
                of_returns.append(row)
            elif row.kind.startswith(("temperature.", "battery.")):
                of_excursions.append(row)
            else:
                over[row.id] = None
        answers = self._session.execute_all(
            (_EXCURSIONS, (int(row.subject.partition(":")[2]), row.kind, row.fired_at_ms))
            for row in of_excursions
        )
        for row, excursions in zip(of_excursions, answers, strict=True):
            over[row.id] = _end_of(row.fired_at_ms, excursions)
        answers = self._session.execute_all(
            (_OF_SUBJECT, (row.subject, row.started_at_ms, FOREVER_MS)) for row in of_returns
        )
        for row, entries in zip(of_returns, answers, strict=True):
            back = row.kind.removesuffix(".silent") + ".back"
            ends = (
                entry.fired_at_ms
                for entry in entries
                if entry.kind == back and entry.started_at_ms == row.started_at_ms
            )
            over[row.id] = min(ends, default=None)
        return over


def alert_of(row: Any) -> Alert:
    return Alert(*row[:10])


def bucket(alert_id: str) -> int:
    """The partition of an alert."""
    return zlib.crc32(alert_id.encode()) % BUCKETS


def month(at_ms: int) -> int:
    """202611, and so on; what no calendar has is its end."""
    moment = time.gmtime(min(max(at_ms, 0), 253_402_300_799_999) // 1000)
    return moment.tm_year * 100 + moment.tm_mon


def _end_of(fired_at_ms: int, excursions: Sequence[Any]) -> int | None:
    """When the excursion was over that an alert fired in; as it fired where there is none."""
    for found in reversed(excursions):
        if found.ended_at_ms is None or found.ended_at_ms >= fired_at_ms:
            end: int | None = found.ended_at_ms
            return end
    return fired_at_ms
