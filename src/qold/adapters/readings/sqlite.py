"""The embedded reading store: one table per metric (source T5.2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qold.adapters.sqlite_file import SqliteFile
from qold.domain.readings import point_fault
from qold.ports import Aggregator, Metric, Point, Refused

_AGGREGATES: dict[Aggregator, str] = {
    "avg": "avg(value)",
    "min": "min(value)",
    "max": "max(value)",
    "sum": "sum(value)",
    "count": "count(value)",
}


class SqliteReadingStore:
    """A ReadingStore in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "readings")

    def write(self, metric: Metric, points: Sequence[Point]) -> list[Refused]:
        refused = []
        rows = []
        for index, point in enumerate(points):
            reason = point_fault(metric, point)
            if reason is None:
                rows.append(point)
            else:
                refused.append(Refused(index, reason))
        with self._file.writing() as db:
            db.executemany(f"INSERT OR REPLACE INTO {metric} VALUES (?, ?, ?)", rows)  # noqa: S608  # a Literal
        return refused

    def query(self, metric: Metric, device_id: int, from_ms: int, to_ms: int) -> list[Point]:
        query = (
            f"SELECT device_id, measured_at_ms, value FROM {metric} WHERE device_id = ?"  # noqa: S608  # a Literal
            " AND measured_at_ms >= ? AND measured_at_ms < ? ORDER BY measured_at_ms"
        )
        with self._file.reading() as db:
            return [Point(*row) for row in db.execute(query, (device_id, from_ms, to_ms))]

    def aggregate(
        self,
        metric: Metric,
        device_id: int,
        from_ms: int,
        to_ms: int,
        *,
        bucket_ms: int,
        aggregator: Aggregator,
    ) -> list[Point]:
        if aggregator in ("first", "last"):
            # SQLite gives a bare column the row of the only min() or max() in the query.
            place = "min" if aggregator == "first" else "max"
            value, extra = "value", f", {place}(measured_at_ms)"
        else:
            value, extra = _AGGREGATES[aggregator], ""
        query = (
            f"SELECT device_id, measured_at_ms / ? * ? AS bucket, {value}{extra}"  # noqa: S608  # Literals
            f" FROM {metric} WHERE device_id = ? AND measured_at_ms >= ? AND measured_at_ms < ?"
            " GROUP BY bucket ORDER BY bucket"
        )
        with self._file.reading() as db:
            rows = db.execute(query, (bucket_ms, bucket_ms, device_id, from_ms, to_ms))
            return [Point(*row[:3]) for row in rows]

    def count(self, metric: Metric) -> int:
        with self._file.reading() as db:
            return int(db.execute(f"SELECT count(*) FROM {metric}").fetchone()[0])  # noqa: S608  # a Literal

    def verify(self) -> Mapping[str, int]:
        return {}

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM Temperature LIMIT 1")

    def close(self) -> None:
        self._file.close()
