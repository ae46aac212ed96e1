"""The embedded directory: contacts in a file of their own, apart from the registry (source 5.4.1.9)."""

from collections.abc import Collection, Mapping
from pathlib import Path

from qold.adapters.sqlite_file import SqliteFile
from qold.domain.contacts import problems
from qold.ports import Contact, Rejected

_QUERY_IDS = 500


class SqliteDirectory:
    """A ContactBook in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "directory")

    def look_up(self, device_ids: Collection[int]) -> Mapping[int, Contact]:
        found: dict[int, Contact] = {}
        wanted = list(device_ids)
        with self._file.reading() as db:
            for start in range(0, len(wanted), _QUERY_IDS):
                block = wanted[start : start + _QUERY_IDS]
                marks = ",".join("?" * len(block))
                query = f"SELECT * FROM contacts WHERE device_id IN ({marks})"  # noqa: S608  # only marks
                found.update((row[0], Contact(*row[1:])) for row in db.execute(query, block))
        return found

    def staff(self) -> Contact | None:
        with self._file.reading() as db:
            row = db.execute("SELECT name, owner, phone, locale FROM staff").fetchone()
        return Contact(*row) if row else None

    def put(self, device_id: int, contact: Contact) -> None:
        if device_id < 1:
            raise Rejected("bad-contact", f"device_id: {device_id} is not an id")
        _check(contact)
        with self._file.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?, ?)",
                (device_id, contact.name, contact.owner, contact.phone, contact.locale),
            )

    def put_staff(self, contact: Contact) -> None:
        _check(contact)
        if not contact.phone:
            raise Rejected(
                "bad-contact", "phone: the staff needs one, as the fallback of everybody"
            )
        with self._file.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO staff VALUES (1, ?, ?, ?, ?)",
                (contact.name, contact.owner, contact.phone, contact.locale),
            )

    def list(self, *, after_id: int = 0, limit: int = 1000) -> list[tuple[int, Contact]]:
        with self._file.reading() as db:
            return [
                (row[0], Contact(*row[1:]))
                for row in db.execute(
                    "SELECT * FROM contacts WHERE device_id > ? ORDER BY device_id LIMIT ?",
                    (after_id, limit),
                )
            ]

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM contacts LIMIT 1")

    def close(self) -> None:
        self._file.close()


def _check(contact: Contact) -> None:
    if found := problems(contact):
        raise Rejected("bad-contact", "; ".join(found))
