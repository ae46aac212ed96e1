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
                if change.version:
                    written = db.execute(
                        "UPDATE states SET version = version + 1, value = ?, expires_at_ms = ?"
                        " WHERE key = ? AND version = ?",
                        (change.value, change.expires_at_ms, change.key, change.version),
                    )
                else:
                    written = db.execute(
                        "INSERT INTO states VALUES (?, 1, ?, ?) ON CONFLICT DO NOTHING",
                        (change.key, change.value, change.expires_at_ms),
                    )
                if not written.rowcount:
                    conflicts.append(change.key)
        return conflicts

    def delete(self, keys: Collection[str]) -> None:
        with self._file.writing() as db:
            db.executemany("DELETE FROM states WHERE key = ?", [(key,) for key in keys])

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM states LIMIT 1")

    def close(self) -> None:
        self._file.close()
