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

from gateway.clock import Clock
from gateway.memory import FORGET_ROWS, Memory
from gateway.outbox_file import OutboxUnavailable, Quarantine, open_file
from gateway.room import ITEM_BYTES, MESSAGE_BYTES, Division, Room
from gateway.settings import GatewaySettings, Policy

# Rows of one INSERT: SQLite allows 32 766 parameters, three a row.
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
        self._division = Division.of(settings.outbox_max_bytes)
        self.memory = Memory(self._division.remembered_items)
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
        try:
            with self._connected() as database, database.atomic("IMMEDIATE"):
                yield database
        except BaseException:
            self.memory.undo()
            raise
        self.memory.settle()

    def append(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Within `writing`: add (timestamp, message, topic) rows in order."""
        fields = [self._messages.timestamp, self._messages.message, self._messages.topic]
        for chunk in chunked(rows, _INSERT_ROWS):
            self._messages.insert_many(chunk, fields=fields).execute()

    def room(self, database: SqliteDatabase) -> Room:
        """Within `writing`: what may be added to the messages; the policy decides at the limit."""
        memory_bytes = self.memory.count(database) * ITEM_BYTES
        free_bytes = self._division.messages - (_used(database) - memory_bytes)
        return Room(free_bytes, lambda size: self._drop_oldest(database, size))

    def forget(self) -> None:
        """Drop from the memory what is older than 24 h or beyond its room."""
        now = self._clock.wall_ms() // 1000
        forgotten = FORGET_ROWS
        while forgotten >= FORGET_ROWS:
            # Short transactions, each with its own commit: SQLite's log stays small.
            with self.writing() as database:
                forgotten = self.memory.expire(database, now=now)
                if forgotten < FORGET_ROWS:
                    forgotten = self.memory.trim(database)

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
            self._path, division=self._division, wall_ms=self._clock.wall_ms()
        )
        self.memory.reopen()
        self._messages = _model(self._database)
        self._is_corrupt = False
        self._inode = _inode(self._path)
        self._opened_count += 1
        if quarantine is not None:
            self.quarantined.append(quarantine)
        return self._database

    def _drop_oldest(self, database: SqliteDatabase, size: int) -> int:
        """Drop messages of `size` bytes or a little more, if allowed; the bytes that were freed."""
        if self._policy is not Policy.DROP_OLDEST:
            return 0
        cursor = database.execute_sql(
            "SELECT id, length(CAST(message AS BLOB)) + length(CAST(topic AS BLOB))"
            " FROM Messages ORDER BY id"
        )
        freed = last_id = 0
        for message_id, text_bytes in cursor:
            last_id = message_id
            freed += text_bytes + MESSAGE_BYTES
            if freed >= size:
                break
        cursor.close()
        dropped = database.execute_sql("DELETE FROM Messages WHERE id <= ?", (last_id,))
        self.dropped += int(dropped.rowcount)
        return freed


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
