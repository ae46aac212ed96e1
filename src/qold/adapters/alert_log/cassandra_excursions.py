"""Excursions in Cassandra: a partition per device."""

from collections.abc import Iterator, Sequence

from qold.adapters.cassandra_session import CassandraSession, Statement
from qold.domain.model import DeviceExcursions, StoredExcursion

_EXCURSION = "device_id, kind, started_at_ms, confirmed_at_ms, ended_at_ms, extreme, observed_ms"
_OF_DEVICE = f"SELECT {_EXCURSION} FROM excursions WHERE device_id = ?"  # noqa: S608  # our own names
_OF_ALL = f"SELECT {_EXCURSION} FROM excursions"  # noqa: S608  # likewise
_PUT = f"INSERT INTO excursions ({_EXCURSION}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # likewise
_UNDO = "DELETE FROM excursions WHERE device_id = ? AND kind = ? AND started_at_ms = ?"


class Excursions:
    """What the alert log keeps of readings outside their limits."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    def put(self, changes: Sequence[DeviceExcursions]) -> None:
        for change in changes:
            statements: list[Statement] = [
                (
                    _PUT,
                    (
                        e.device_id,
                        e.kind,
                        e.started_at_ms,
                        e.confirmed_at_ms,
                        e.ended_at_ms,
                        e.extreme,
                        e.observed_ms,
                    ),
                )
                for e in change.excursions
            ]
            if change.replace_from_ms is not None:
                # Not what is put again: of a delete and an insert at one time, the delete stays.
                kept = {(e.kind, e.started_at_ms) for e in change.excursions}
                gone = [
                    (_UNDO, (e.device_id, e.kind, e.started_at_ms))
                    for e in self._read(change.device_id)
                    if e.kind in change.kinds
                    and (e.kind, e.started_at_ms) not in kept
                    and _is_from(e, change.replace_from_ms)
                ]
                statements += gone
            if statements:
                self._session.execute_batches([statements])

    def overlapping(
        self, device_id: int | None, from_ms: int, to_ms: int | None
    ) -> list[StoredExcursion]:
        """Those of a period, in order of device, start and kind; of all devices it reads them all."""
        found = [
            e
            for e in self._read(device_id)
            if (e.ended_at_ms is None or e.ended_at_ms > from_ms)
            and (to_ms is None or e.started_at_ms < to_ms)
        ]
        return sorted(found, key=lambda e: (e.device_id, e.started_at_ms, e.kind))

    def _read(self, device_id: int | None) -> Iterator[StoredExcursion]:
        query, values = (_OF_ALL, ()) if device_id is None else (_OF_DEVICE, (device_id,))
        for page in self._session.pages(query, values, 1000):
            yield from (StoredExcursion(*row) for row in page)


def _is_from(excursion: StoredExcursion, from_ms: int) -> bool:
    """Whether it was open then, or began later."""
    ended_at_ms = excursion.ended_at_ms
    return excursion.started_at_ms >= from_ms or ended_at_ms is None or ended_at_ms >= from_ms
