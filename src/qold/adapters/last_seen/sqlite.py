"""The embedded record of when each watched device was last heard."""

from collections.abc import Collection, Mapping
from pathlib import Path

from qold.adapters.sqlite_file import SqliteFile

_QUERY_IDS = 500


class SqliteLastSeen:
    """A LastSeen in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "last_seen")

    def enrol(self, seen_at_ms: Mapping[int, int]) -> None:
        with self._file.writing() as db:
            db.executemany("INSERT OR IGNORE INTO last_seen VALUES (?, ?)", seen_at_ms.items())

    def touch(self, seen_at_ms: Mapping[int, int]) -> Mapping[int, int | None]:
        with self._file.writing():
            before = self.get(seen_at_ms)
            with self._file.reading() as db:
                db.executemany(
                    "INSERT INTO last_seen VALUES (?, ?) ON CONFLICT DO UPDATE"
                    " SET seen_at_ms = max(seen_at_ms, excluded.seen_at_ms)",
                    seen_at_ms.items(),
                )
        return {device_id: before.get(device_id) for device_id in seen_at_ms}

    def retire(self, device_ids: Collection[int]) -> None:
        with self._file.writing() as db:
            db.executemany("DELETE FROM last_seen WHERE device_id = ?", [(i,) for i in device_ids])

    def get(self, device_ids: Collection[int]) -> Mapping[int, int]:
        found: dict[int, int] = {}
        wanted = list(device_ids)
        with self._file.reading() as db:
            for start in range(0, len(wanted), _QUERY_IDS):
                block = wanted[start : start + _QUERY_IDS]
                marks = ",".join("?" * len(block))
                found.update(
                    db.execute(f"SELECT * FROM last_seen WHERE device_id IN ({marks})", block)  # noqa: S608  # only marks
                )
        return found

    def overdue(self, before_ms: int, *, after_id: int = 0, limit: int = 1000) -> list[int]:
        with self._file.reading() as db:
            return [
                device_id
                for (device_id,) in db.execute(
                    "SELECT device_id FROM last_seen WHERE seen_at_ms < ? AND device_id > ?"
                    " ORDER BY device_id LIMIT ?",
                    (before_ms, after_id, limit),
                )
            ]

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM last_seen LIMIT 1")

    def close(self) -> None:
        self._file.close()
