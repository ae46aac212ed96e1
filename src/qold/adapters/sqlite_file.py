"""One SQLite file: opened at the first call, durable commits, schema by version."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from qold.ports import Unavailable
from qold.private_files import check_file, make_folder, open_private

BUSY_TIMEOUT_S = 10.0
MEMORY = ":memory:"


class SqliteFile:
    """Holds one connection; every method raises only `Unavailable` (or `Rejected` by the caller)."""

    def __init__(self, path: str | Path, schema: str) -> None:
        """`schema` is a folder of `qold/schema` with files v1.sql, v2.sql, …"""
        self.path = str(path)
        self._schema = schema
        self._connection: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries."""
        try:
            yield self._connected()
        except sqlite3.Error as exc:
            raise self._unavailable(exc) from exc

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, durable on exit; rolled back when the block raises."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.Error as exc:
            raise self._unavailable(exc) from exc

    def close(self) -> None:
        """Close; the next call opens again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if self.path != MEMORY:
            try:
                make_folder(Path(self.path).parent)
                # O_EXCL: closing a descriptor of a file that is there drops every lock this process
                # has on it, and the next process to close it deletes the WAL we go on writing.
                with contextlib.suppress(FileExistsError):
                    os.close(open_private(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
                check_file(self.path)
            except OSError as exc:
                raise Unavailable(f"{self.path}: {exc.strerror}") from exc
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        scripts = _scripts(self._schema)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(scripts):
            raise Unavailable(
                f"{self.path}: schema version {version} was written by a newer Qold "
                f"(this one knows {len(scripts)}); upgrade Qold"
            )
        if version == len(scripts):
            return
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for script in scripts[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(scripts)}")
        connection.execute("COMMIT")

    def _unavailable(self, exc: sqlite3.Error) -> Unavailable:
        return Unavailable(f"{self.path}: {exc}")


def _scripts(schema: str) -> list[str]:
    folder = resources.files("qold.schema") / schema
    scripts: list[str] = []
    while (script := folder / f"v{len(scripts) + 1}.sql").is_file():
        text = script.read_text("utf-8")
        scripts.append("\n".join(line.partition("--")[0] for line in text.splitlines()))
    return scripts
