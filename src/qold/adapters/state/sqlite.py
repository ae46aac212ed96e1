"""The embedded state store."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from qold.adapters.sqlite_file import SqliteFile
from qold.ports import StateChange, StoredState

_QUERY_KEYS = 500


class SqliteStateStore:
    """A StateStore in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "state")

    def load(self, keys: Collection[str], *, now_ms: int) -> Mapping[str, StoredState]:
        found: dict[str, StoredState] = {}
        wanted = list(keys)
        with self._file.reading() as db:
            for start in range(0, len(wanted), _QUERY_KEYS):
                block = wanted[start : start + _QUERY_KEYS]
                marks = ",".join("?" * len(block))
                rows = db.execute(
                    f"SELECT key, version, value FROM states WHERE key IN ({marks})"  # noqa: S608  # only marks
                    " AND (expires_at_ms IS NULL OR expires_at_ms > ?)",
                    (*block, now_ms),
                )
                found.update((key, StoredState(version, value)) for key, version, value in rows)
        return found

    def save(self, changes: Sequence[StateChange], *, now_ms: int) -> list[str]:
        conflicts = []
        with self._file.writing() as db:
            db.execute("DELETE FROM states WHERE expires_at_ms <= ?", (now_ms,))
            for change in changes:
                row = db.execute(
                    "SELECT version FROM states WHERE key = ?", (change.key,)
                ).fetchone()
                if (row[0] if row else 0) != change.version:
                    conflicts.append(change.key)
                    continue
                db.execute(
                    "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)",
                    (change.key, change.version + 1, change.value, change.expires_at_ms),
                )
        return conflicts

    def delete(self, keys: Collection[str]) -> None:
        with self._file.writing() as db:
            db.executemany("DELETE FROM states WHERE key = ?", [(key,) for key in keys])

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM states LIMIT 1")

    def close(self) -> None:
        self._file.close()
