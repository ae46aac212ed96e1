"""The embedded raw store: rows in order of measurement per device (source T5.3).

The distributed twin's month and timeuuid are both made of the key columns here, so a file needs
neither.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from qold.adapters.sqlite_file import SqliteFile
from qold.ports import RawRow, Refused

_PAGE = 1000


class SqliteRawStore:
    """A RawStore in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "raw")

    def write(self, rows: Sequence[RawRow]) -> list[Refused]:
        refused = [
            Refused(index, "out-of-range") for index, row in enumerate(rows) if not _fits(row)
        ]
        out = {refusal.index for refusal in refused}
        with self._file.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO raw VALUES (?, ?, ?, ?, ?)",
                [
                    (row.device_id, row.measured_at_ms, row.fingerprint, row.message, row.origin)
                    for index, row in enumerate(rows)
                    if index not in out
                ],
            )
        return refused

    def read(self, device_id: int, from_ms: int, to_ms: int) -> Iterable[RawRow]:
        place = (from_ms, -1)
        while True:
            with self._file.reading() as db:
                page = db.execute(
                    "SELECT * FROM raw WHERE device_id = ?"
                    " AND (measured_at_ms, fingerprint) > (?, ?) AND measured_at_ms < ?"
                    " ORDER BY measured_at_ms, fingerprint LIMIT ?",
                    (device_id, *place, to_ms, _PAGE),
                ).fetchall()
            yield from (RawRow(*row) for row in page)
            if len(page) < _PAGE:
                return
            place = page[-1][1:3]

    def count(self) -> int:
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM raw").fetchone()[0])

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM raw LIMIT 1")

    def close(self) -> None:
        self._file.close()


def _fits(row: RawRow) -> bool:
    return (
        1 <= row.device_id < 2**31
        and 0 <= row.measured_at_ms < 2**53
        and 0 <= row.fingerprint < 2**62
    )
