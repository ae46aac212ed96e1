"""The outbox: what the gateway still has to send, in one SQLite file (source T7.2)."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peewee import (
    AutoField,
    DatabaseError,
    Field,
    IntegerField,
    Model,
    OperationalError,
    SqliteDatabase,
    chunked,
)

from gateway import memory
from gateway.clock import Clock
from gateway.outbox_file import OutboxUnavailable, Quarantine, open_file
from gateway.settings import GatewaySettings, Policy

# Retransmissions come within seconds, so a full outbox gives the rest of the memory away first.
MEMORY_WHEN_FULL_S = 600
_DROP_ROWS = 1000
_INSERT_ROWS = 1000


class Row(NamedTuple):
    """A message waiting; `timestamp` in Unix seconds of reception."""

    id: int
    timestamp: int
    message: str
    topic: str


class Span(NamedTuple):
    """The waiting messages without reading them: at most `last_id - first_id + 1`."""

    first_id: int
    last_id: int
    first_timestamp: int


class Outbox:
    """One process's connection; every method may raise OutboxUnavailable."""

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        self.quarantined: list[Quarantine] = []
        self.dropped = 0
        self._path = settings.outbox_path
        self._max_bytes = settings.outbox_max_bytes
        self._policy = settings.policy
        self._clock = clock
        self._database: SqliteDatabase | None = None
        self._messages: Any = None
        self._inode = 0
        self._opened_count = 0
        self._read_from = 0
        self._is_corrupt = False

    @contextlib.contextmanager
    def writing(self) -> Iterator[SqliteDatabase]:
        """One durable transaction: when this ends without an error, it is on the disk."""
        with self._connected() as database, database.atomic("IMMEDIATE"):
            yield database

    def append(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Within `writing`: add (timestamp, message, topic) rows in order."""
        fields = [self._messages.timestamp, self._messages.message, self._messages.topic]
        for chunk in chunked(rows, _INSERT_ROWS):
            self._messages.insert_many(chunk, fields=fields).execute()

    def make_room(self, database: SqliteDatabase) -> bool:
        """Within `writing`: True when readings may be added; drops the oldest if so told."""
        if _used(database) <= self._max_bytes:
            return True
        memory.forget(database, now=self._clock.wall_ms() // 1000, kept_s=MEMORY_WHEN_FULL_S)
        while _used(database) > self._max_bytes:
            dropped = self._drop_oldest(database) if self._policy is Policy.DROP_OLDEST else 0
            if not dropped:
                return False
            self.dropped += dropped
        return True

    def forget(self) -> None:
        """Drop from the memory what is older than 24 h."""
        with self.writing() as database:
            memory.forget(database, now=self._clock.wall_ms() // 1000)

    def span(self) -> Span | None:
        """The first and last waiting message, or None."""
        with self._connected() as database:
            row = database.execute_sql(
                "SELECT id, (SELECT max(id) FROM Messages), timestamp FROM Messages"
                " ORDER BY id LIMIT 1"
            ).fetchone()
        return None if row is None else Span(*row)

    def oldest(self, limit: int) -> list[Row]:
        """The oldest messages, in order of id."""
        with self._connected():
            self._read_from = self._opened_count
            query = self._messages.select().order_by(self._messages.id).limit(limit).tuples()
            return [Row(*row) for row in query]

    def delete(self, ids: Sequence[int]) -> None:
        """Delete what `oldest` gave and the uplink acknowledged."""
        with self.writing() as database:
            if self._opened_count != self._read_from:
                # Another file since: its ids name other messages, and salvaged ones go twice.
                return
            for message_id in ids:
                database.execute_sql("DELETE FROM Messages WHERE id = ?", (message_id,))

    def used_bytes(self) -> int:
        """What the messages and the memory take."""
        with self._connected() as database:
            return _used(database)

    def close(self) -> None:
        """Release the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[SqliteDatabase]:
        try:
            yield self._follow()
        # peewee translates what fails at execution, not what fails while rows are fetched.
        except (OperationalError, sqlite3.OperationalError) as exc:
            raise OutboxUnavailable(f"{self._path}: {exc}") from exc
        except (DatabaseError, sqlite3.DatabaseError) as exc:
            self._is_corrupt = True
            raise OutboxUnavailable(f"{self._path}: {exc}") from exc

    def _follow(self) -> SqliteDatabase:
        """The connection to the file now at the path: corrupt ones are moved aside, by either."""
        if (
            self._database is not None
            and not self._is_corrupt
            and _inode(self._path) == self._inode
        ):
            return self._database
        self.close()
        self._database, quarantine = open_file(
            self._path, max_bytes=self._max_bytes, wall_ms=self._clock.wall_ms()
        )
        self._messages = _model(self._database)
        self._is_corrupt = False
        self._inode = _inode(self._path)
        self._opened_count += 1
        if quarantine is not None:
            self.quarantined.append(quarantine)
        return self._database

    def _drop_oldest(self, database: SqliteDatabase) -> int:
        cursor = database.execute_sql(
            "DELETE FROM Messages WHERE id IN (SELECT id FROM Messages ORDER BY id LIMIT ?)",
            (_DROP_ROWS,),
        )
        return int(cursor.rowcount)


class _StringField(Field):
    """STRING, as the source declares its columns."""

    field_type = "STRING"


def _model(database: SqliteDatabase) -> Any:
    """The model of this database alone: a process may hold several outboxes."""

    class Messages(Model):
        id = AutoField()
        timestamp = IntegerField()
        message = _StringField()
        topic = _StringField()

        class Meta:
            table_name = "Messages"

    Messages.bind(database)
    return Messages


def _used(database: SqliteDatabase) -> int:
    pages, free, size = (
        database.pragma(name) for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
