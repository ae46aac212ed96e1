"""The raw store in Cassandra (source T5.3): a partition per device and month."""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from uuid import UUID

from qold.adapters.cassandra_session import CassandraSession, Statement
from qold.ports import RawRow, Refused

LAST_MS = 2**42  # in the year 2109; what is measured later has a wrong clock
BATCH_ROWS = 100
COUNT_RANGES = 16  # each is counted within the time of one call

_PAGE = 1000
_DAY_MS = 86_400_000
_EPOCH_TICKS = 0x01B21DD213814000  # 100 ns from 1582-10-15 to 1970-01-01
_VERSION_1 = 0x1000
_VARIANT = 0x8000000000000000
# Of all fingerprints: each byte of a timeuuid is compared with its sign.
_FIRST = 0x0080808080808080
_INSERT = (
    "INSERT INTO raw (device_id, month, insertion_time, message, origin) VALUES (?, ?, ?, ?, ?)"
)
_MONTH = "INSERT INTO raw_months (one, month) VALUES (1, ?)"
_MONTHS = "SELECT month FROM raw_months WHERE one = 1 AND month >= ? AND month <= ?"
_READ = (
    "SELECT insertion_time, message, origin FROM raw WHERE device_id = ? AND month = ?"
    " AND insertion_time >= ? AND insertion_time < ?"
)
_COUNT = "SELECT count(*) AS n FROM raw WHERE token(device_id, month) > ? AND token(device_id, month) <= ?"


class CassandraRawStore:
    """A RawStore in one keyspace."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self._months: set[int] = set()

    def write(self, rows: Sequence[RawRow]) -> list[Refused]:
        refused = [
            Refused(index, "out-of-range") for index, row in enumerate(rows) if not _fits(row)
        ]
        out = {refusal.index for refusal in refused}
        partitions: dict[tuple[int, int], list[Statement]] = {}
        for index, row in enumerate(rows):
            if index not in out:
                key = row.device_id, _month(row.measured_at_ms)
                values = (*key, _time_uuid(row), row.message, row.origin)
                partitions.setdefault(key, []).append((_INSERT, values))
        if new := {month for _, month in partitions} - self._months:
            self._session.execute_all((_MONTH, (month,)) for month in new)
            self._months |= new
        self._session.execute_batches(self._batches(partitions.values()))
        return refused

    def read(self, device_id: int, from_ms: int, to_ms: int) -> Iterator[RawRow]:
        from_ms, to_ms = max(0, from_ms), min(to_ms, LAST_MS)
        if from_ms >= to_ms:
            return
        months = self._session.execute(_MONTHS, (_month(from_ms), _month(to_ms - 1)))
        for (month,) in months:
            yield from self._read_month(device_id, month, from_ms, to_ms)

    def count(self) -> int:
        step = 2**64 // COUNT_RANGES
        edges = [-(2**63) + step * number for number in range(COUNT_RANGES)] + [2**63 - 1]
        return sum(
            self._session.execute(_COUNT, (edges[number], edges[number + 1]))[0].n
            for number in range(COUNT_RANGES)
        )

    def ping(self) -> None:
        self._session.ping()

    def close(self) -> None:
        self._session.close()

    def _read_month(self, device_id: int, month: int, from_ms: int, to_ms: int) -> Iterator[RawRow]:
        values = (device_id, month, _uuid(from_ms, _FIRST), _uuid(to_ms, _FIRST))
        rows = (
            _row(device_id, *row)
            for page in self._session.pages(_READ, values, _PAGE)
            for row in page
        )
        # Cassandra compares what follows the time by signed bytes, we by the number.
        for _, together in groupby(rows, key=lambda row: row.measured_at_ms):
            yield from sorted(together, key=lambda row: row.fingerprint)

    def _batches(self, partitions: Iterable[list[Statement]]) -> Iterator[list[Statement]]:
        """Rows of one partition together; lonely ones with others that go to the same node."""
        mixed: dict[object, list[Statement]] = {}
        for statements in partitions:
            if len(statements) > BATCH_ROWS // 2:
                for start in range(0, len(statements), BATCH_ROWS):
                    yield statements[start : start + BATCH_ROWS]
                continue
            together = mixed.setdefault(self._session.node_of("raw", *statements[0]), [])
            together.extend(statements)
            if len(together) >= BATCH_ROWS:
                yield together.copy()
                together.clear()
        yield from (together for together in mixed.values() if together)


def _fits(row: RawRow) -> bool:
    return (
        1 <= row.device_id < 2**31
        and 0 <= row.measured_at_ms < LAST_MS
        and 0 <= row.fingerprint < 2**62
    )


def _month(at_ms: int) -> int:
    return _month_of_day(at_ms // _DAY_MS)


@lru_cache(1024)
def _month_of_day(day: int) -> int:
    moment = time.gmtime(day * _DAY_MS // 1000)
    return moment.tm_year * 100 + moment.tm_mon


def _time_uuid(row: RawRow) -> UUID:
    return _uuid(row.measured_at_ms, row.fingerprint)


def _uuid(at_ms: int, fingerprint: int) -> UUID:
    """Version 1: the time in its three pieces, then variant and fingerprint."""
    ticks = at_ms * 10_000 + _EPOCH_TICKS
    low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48
    head = low << 32 | middle << 16 | _VERSION_1 | high
    return UUID(int=head << 64 | _VARIANT | fingerprint)


def _row(device_id: int, place: UUID, message: str, origin: str) -> RawRow:
    fingerprint = place.int & (2**62 - 1)
    return RawRow(device_id, (place.time - _EPOCH_TICKS) // 10_000, fingerprint, message, origin)
