"""The embedded registry: the source's three tables (T5.5 to T5.7) in one file."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from qold.adapters.sqlite_file import SqliteFile
from qold.ports import Device, Gateway, Resource

Row = TypeVar("Row", Device, Gateway)
Table = Literal["Devices", "Gateways"]

_QUERY_IDS = 500


class SqliteRegistry:
    """A Registry in one file."""

    def __init__(self, path: str | Path) -> None:
        self._file = SqliteFile(path, "registry")

    def allocate(self, resource: Resource, count: int) -> range:
        if count < 1:
            raise ValueError(f"cannot allocate {count} ids")
        with self._file.writing() as db:
            row = db.execute(
                "SELECT next_id FROM Resource_counters WHERE resource = ?", (resource,)
            ).fetchone()
            first = row[0] if row else 1
            db.execute(
                "INSERT OR REPLACE INTO Resource_counters VALUES (?, ?)", (resource, first + count)
            )
        return range(first, first + count)

    def put_devices(self, devices: Iterable[Device]) -> None:
        self._put("Devices", devices)

    def put_gateways(self, gateways: Iterable[Gateway]) -> None:
        self._put("Gateways", gateways)

    def devices(self, ids: Collection[int]) -> Mapping[int, Device]:
        return self._some("Devices", Device, ids)

    def gateways(self, ids: Collection[int]) -> Mapping[int, Gateway]:
        return self._some("Gateways", Gateway, ids)

    def list_devices(self, *, after_id: int = 0, limit: int = 1000) -> list[Device]:
        return self._page("Devices", Device, after_id, limit)

    def list_gateways(self, *, after_id: int = 0, limit: int = 1000) -> list[Gateway]:
        return self._page("Gateways", Gateway, after_id, limit)

    def delete_device(self, device_id: int) -> bool:
        return self._delete("Devices", device_id)

    def delete_gateway(self, gateway_id: int) -> bool:
        return self._delete("Gateways", gateway_id)

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM Devices LIMIT 1")

    def close(self) -> None:
        self._file.close()

    def _put(self, table: Table, rows: Iterable[Device] | Iterable[Gateway]) -> None:
        with self._file.writing() as db:
            db.executemany(
                f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)",  # noqa: S608  # a Literal
                [(row.id, row.auth, row.active, json.dumps(dict(row.config))) for row in rows],
            )

    def _some(self, table: Table, make: Callable[..., Row], ids: Collection[int]) -> dict[int, Row]:
        found: dict[int, Row] = {}
        wanted = list(ids)
        with self._file.reading() as db:
            for start in range(0, len(wanted), _QUERY_IDS):
                block = wanted[start : start + _QUERY_IDS]
                marks = ",".join("?" * len(block))
                query = f"SELECT * FROM {table} WHERE id IN ({marks})"  # noqa: S608  # a Literal
                found.update((row[0], _row(make, row)) for row in db.execute(query, block))
        return found

    def _page(self, table: Table, make: Callable[..., Row], after_id: int, limit: int) -> list[Row]:
        query = f"SELECT * FROM {table} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608  # a Literal
        with self._file.reading() as db:
            return [_row(make, row) for row in db.execute(query, (after_id, limit))]

    def _delete(self, table: Table, identity: int) -> bool:
        with self._file.writing() as db:
            cursor: sqlite3.Cursor = db.execute(
                f"DELETE FROM {table} WHERE id = ?",  # noqa: S608  # a Literal
                (identity,),
            )
        return cursor.rowcount > 0


def _row(make: Callable[..., Row], row: tuple[int, str, int, str]) -> Row:
    identity, auth, state, config = row
    return make(identity, auth, bool(state), json.loads(config))
