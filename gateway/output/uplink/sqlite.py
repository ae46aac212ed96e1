"""The embedded log: rows into its file, whose format is the contract (docs/wire-format.md)."""

import contextlib
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

from gateway.clock import Clock
from gateway.output.uplink import UplinkUnavailable
from qold.private_files import NotPrivate, check_file, check_folder

VERSION = 1
PARTITIONS = 4
_BUSY_TIMEOUT_S = 5
_TOPIC_SHIFT, _PARTITION_SHIFT = 48, 40


class SqliteUplink:
    """Appends to a log file on this machine; it does not make one.

    A file of more than `max_bytes` is refused until the pipeline has read what is in it.
    """

    def __init__(self, path: str | Path, clock: Clock, *, max_bytes: int = 4 * 2**30) -> None:
        self._path = Path(path)
        self._clock = clock
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None

    def publish(self, topic: str, values: Sequence[bytes], *, key: str) -> int:
        if not values:
            return 0
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._append(connection, topic, values, key)
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self.close()
            raise UplinkUnavailable(f"{self._path}: {exc}") from exc
        return len(values)

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        try:
            check_folder(self._path.parent)
            check_file(self._path)
        except NotPrivate as exc:
            raise UplinkUnavailable(f"{exc.filename}: {exc.strerror}; {exc.fix}") from exc
        if not self._path.is_file():
            raise UplinkUnavailable(f"{self._path}: no log there; `./qold up` makes it")
        # mode=rw: a file deleted in between is not made again without its schema.
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            connection.execute("PRAGMA synchronous=FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise UplinkUnavailable(
                    f"{self._path}: version {version} of the log, this software writes {VERSION};"
                    " `./qold up` makes or upgrades it"
                )
            undo.pop_all()
        self._connection = connection
        return connection

    def _append(
        self, connection: sqlite3.Connection, topic: str, values: Sequence[bytes], key: str
    ) -> None:
        if _bytes_used(connection) > self._max_bytes:
            raise UplinkUnavailable(
                f"{self._path}: full, {self._max_bytes} bytes wait to be read; is `./qold up` running?"
            )
        number, partitions = _topic(connection, topic)
        partition = zlib.crc32(key.encode()) % partitions
        (offset,) = connection.execute(
            "SELECT next_offset FROM heads WHERE topic_number = ? AND partition = ?",
            (number, partition),
        ).fetchone()
        first_id = number << _TOPIC_SHIFT | partition << _PARTITION_SHIFT | offset
        now_ms = self._clock.wall_ms()
        connection.executemany(
            "INSERT INTO records (id, key, value, appended_at_ms) VALUES (?, ?, ?, ?)",
            [(first_id + index, key, value, now_ms) for index, value in enumerate(values)],
        )
        connection.execute(
            "UPDATE heads SET next_offset = ? WHERE topic_number = ? AND partition = ?",
            (offset + len(values), number, partition),
        )


def _bytes_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _topic(connection: sqlite3.Connection, topic: str) -> tuple[int, int]:
    row = connection.execute(
        "SELECT number, partitions FROM topics WHERE topic = ?", (topic,)
    ).fetchone()
    if row is not None:
        return int(row[0]), int(row[1])
    (number,) = connection.execute("SELECT coalesce(max(number) + 1, 0) FROM topics").fetchone()
    connection.execute("INSERT INTO topics VALUES (?, ?, ?)", (topic, number, PARTITIONS))
    connection.executemany(
        "INSERT INTO heads VALUES (?, ?, 0, 0)", [(number, p) for p in range(PARTITIONS)]
    )
    return number, PARTITIONS
