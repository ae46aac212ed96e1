"""Opening the outbox file: checked, at the right version, or moved aside and begun anew."""

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from peewee import PeeweeException, SqliteDatabase

from gateway.room import PAGE_BYTES, Division
from qold.private_files import check_file, make_folder, open_private

VERSION = 1
BUSY_TIMEOUT_S = 5

_SCHEMA = Path(__file__).parent / "schema" / f"outbox-{VERSION}.sql"
_SALVAGE_ROWS = 1000
_FROM_THE_FRONT = (
    "SELECT id, timestamp, message, topic FROM Messages"
    " WHERE typeof(message) = 'text' AND typeof(topic) = 'text' ORDER BY id"
)

log = logging.getLogger(__name__)


class OutboxUnavailable(Exception):
    """The file cannot be used now: no space, locked, unreadable. Later it may."""


class NewerOutbox(Exception):
    """The file was written by a newer version of this software."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A corrupt file was moved to `path`; `salvaged` of its messages are in the new one."""

    path: Path
    problem: str
    salvaged: int


def open_file(
    path: Path, *, division: Division, wall_ms: int
) -> tuple[SqliteDatabase, Quarantine | None]:
    """A connected database at the current version; raises OutboxUnavailable or NewerOutbox."""
    try:
        make_folder(path.parent)
        check_file(path)
        with _only_one(path):
            problem = _problem(path)
            quarantine = None if problem is None else _mend(path, problem, division, wall_ms)
            return _connect(path, division), quarantine
    except (sqlite3.Error, PeeweeException, OSError) as exc:
        raise OutboxUnavailable(f"{path}: {exc}") from exc


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """`input` and `output` start together; one of them looks and mends, then the other looks."""
    with open(open_private(f"{path}.lock", os.O_RDONLY | os.O_CREAT), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _problem(path: Path) -> str | None:
    mended = _mended(path)
    if mended.exists() and not path.exists():
        mended.rename(path)
    if not path.exists() or path.stat().st_size == 0:
        return None
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise NewerOutbox(f"{path}: version {version}, this software knows {VERSION}")
            # Not integrity_check: minutes on a memory card, for an index that can be rebuilt.
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:
            return str(exc)
    if verdict != "ok":
        return str(verdict)
    return "tables without a version" if version == 0 and tables else None


def _mend(path: Path, problem: str, division: Division, wall_ms: int) -> Quarantine:
    """A new file is whole before the corrupt one goes, so that this may end at any moment."""
    mended = _mended(path)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{mended}{suffix}").unlink(missing_ok=True)
    database = _connect(mended, division)
    # Room for every message of the old file, which may have been written under a larger limit.
    old_pages = sum(_size(Path(f"{path}{suffix}")) for suffix in ("", "-wal")) // PAGE_BYTES
    database.pragma("max_page_count", division.file_pages + old_pages)
    try:
        salvaged = _salvage(path, database)
    finally:
        database.close()
    aside = _move_aside(path, wall_ms)
    mended.rename(path)
    log.error("path=%s corrupt: %s; moved to %s, salvaged=%s", path, problem, aside, salvaged)
    return Quarantine(aside, problem, salvaged)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mended(path: Path) -> Path:
    return path.with_name(f"{path.name}.mended")


def _move_aside(path: Path, wall_ms: int) -> Path:
    stamp = datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in ("-wal", "-shm", ""):
        source = Path(f"{path}{suffix}")
        if source.exists():
            source.rename(f"{aside}{suffix}")
    return aside


def _connect(path: Path, division: Division) -> SqliteDatabase:
    # It holds device tokens; SQLite gives the files beside it the same mode.
    with contextlib.suppress(FileExistsError):
        os.close(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    database = SqliteDatabase(
        path,
        timeout=BUSY_TIMEOUT_S,
        pragmas={
            "journal_mode": "wal",
            "synchronous": "full",
            "journal_size_limit": division.checkpoint_pages * PAGE_BYTES,
            "wal_autocheckpoint": division.checkpoint_pages,
            "max_page_count": division.file_pages,
        },
    )
    database.connect()
    connection = database.connection()
    # A damaged text must not stop the rows behind it.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    if database.pragma("user_version") == 0:
        schema = _SCHEMA.read_text("utf-8")
        connection.executescript(
            f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {VERSION}; COMMIT"
        )
    return database


def _salvage(corrupt: Path, database: SqliteDatabase) -> int:
    """Copy what can still be read, from both ends towards the damage."""
    into = database.connection()
    with contextlib.closing(sqlite3.connect(corrupt, timeout=BUSY_TIMEOUT_S)) as source:
        for statement in (_FROM_THE_FRONT, _FROM_THE_FRONT + " DESC"):
            with contextlib.suppress(sqlite3.DatabaseError):
                cursor = source.execute(statement)
                while rows := _fetch(cursor):
                    # One commit for all: a memory card needs tens of milliseconds for each.
                    with database.atomic():
                        into.executemany("INSERT OR IGNORE INTO Messages VALUES (?, ?, ?, ?)", rows)
    (count,) = into.execute("SELECT count(*) FROM Messages").fetchone()
    return int(count)


def _fetch(cursor: sqlite3.Cursor) -> list[tuple[int, int, str, str]]:
    rows: list[tuple[int, int, str, str]] = []
    with contextlib.suppress(sqlite3.DatabaseError):
        rows.extend(row for row, _ in zip(cursor, range(_SALVAGE_ROWS), strict=False))
    return rows
