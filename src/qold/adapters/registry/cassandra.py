"""The registry in Cassandra: the source's tables (T5.5 to T5.7), and one that puts ids in order."""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

from qold.adapters.cassandra_session import CassandraSession, Statement
from qold.ports import Device, Gateway, Resource, Unavailable

Row = TypeVar("Row", Device, Gateway)
Table = Literal["Devices", "Gateways"]

PATIENCE_S = 5.0
PAUSE_S = 0.02

_QUERY_IDS = 50
_BATCH_ROWS = 50
_RESOURCES: dict[Table, Resource] = {"Devices": "device", "Gateways": "gateway"}
_FIRST = "INSERT INTO Resource_counters (resource, next_id) VALUES (?, ?) IF NOT EXISTS"
_LOOK = "SELECT next_id FROM Resource_counters WHERE resource = ?"
_NEXT = "UPDATE Resource_counters SET next_id = ? WHERE resource = ? IF next_id = ?"
_ENLIST = "INSERT INTO Resource_ids (resource, id) VALUES (?, ?)"
_PAGE = "SELECT id FROM Resource_ids WHERE resource = ? AND id > ? LIMIT ?"
_STRIKE = "DELETE FROM Resource_ids WHERE resource = ? AND id = ?"


class CassandraRegistry:
    """A Registry in one keyspace."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    def allocate(self, resource: Resource, count: int) -> range:
        if count < 1:
            raise ValueError(f"cannot allocate {count} ids")
        give_up_at = time.monotonic() + PATIENCE_S
        pause_s = PAUSE_S
        there = self._session.execute(_LOOK, (resource,))
        first: int | None = there[0].next_id if there else None
        while True:
            try:
                row = self._take(resource, first, count)
            except Unavailable:
                # Whether it came to pass is unknown: the next transaction finds out, and these
                # ids are given to nobody.
                if time.monotonic() > give_up_at:
                    raise
                continue
            if row.applied:
                return range(first or 1, (first or 1) + count)
            first = getattr(row, "next_id", None)
            if time.monotonic() > give_up_at:
                raise Unavailable(f"too many allocate {resource} ids at once")
            # Longer each time: transactions on one row that meet undo each other.
            time.sleep(random.uniform(0, pause_s))
            pause_s *= 2

    def _take(self, resource: Resource, first: int | None, count: int) -> Any:
        if first is None:
            return self._session.execute(_FIRST, (resource, 1 + count))[0]
        return self._session.execute(_NEXT, (first + count, resource, first))[0]

    def put_devices(self, devices: Iterable[Device]) -> None:
        self._put("Devices", list(devices))

    def put_gateways(self, gateways: Iterable[Gateway]) -> None:
        self._put("Gateways", list(gateways))

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
        self._session.ping()

    def close(self) -> None:
        self._session.close()

    def _put(self, table: Table, rows: Sequence[Device] | Sequence[Gateway]) -> None:
        # The list of ids first: a row that is not listed could not be found, a listed id without
        # a row is left out.
        resource = _RESOURCES[table]
        listed: list[Statement] = [(_ENLIST, (resource, row.id)) for row in rows]
        self._session.execute_batches(_blocks(listed, _BATCH_ROWS))
        insert = f"INSERT INTO {table} (id, auth, state, config) VALUES (?, ?, ?, ?)"  # noqa: S608  # a Literal
        self._session.execute_all(
            (insert, (row.id, row.auth, row.active, dict(row.config))) for row in rows
        )

    def _some(self, table: Table, make: Callable[..., Row], ids: Collection[int]) -> dict[int, Row]:
        query = f"SELECT id, auth, state, config FROM {table} WHERE id IN ?"  # noqa: S608  # a Literal
        answers = self._session.execute_all(
            (query, (block,)) for block in _blocks(list(ids), _QUERY_IDS)
        )
        return {row.id: _row(make, row) for rows in answers for row in rows}

    def _page(self, table: Table, make: Callable[..., Row], after_id: int, limit: int) -> list[Row]:
        page: list[Row] = []
        while len(page) < limit:
            wanted = limit - len(page)
            listed = self._session.execute(_PAGE, (_RESOURCES[table], after_id, wanted))
            ids = [row.id for row in listed]
            found = self._some(table, make, ids)
            page += [found[i] for i in ids if i in found]
            if len(ids) < wanted:
                break
            after_id = ids[-1]
        return page

    def _delete(self, table: Table, identity: int) -> bool:
        was_there = bool(self._session.execute(f"SELECT id FROM {table} WHERE id = ?", (identity,)))  # noqa: S608  # a Literal
        self._session.execute(f"DELETE FROM {table} WHERE id = ?", (identity,))  # noqa: S608  # a Literal
        self._session.execute(_STRIKE, (_RESOURCES[table], identity))
        return was_there


def _blocks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _row(make: Callable[..., Row], row: Any) -> Row:
    return make(row.id, row.auth, row.state, dict(row.config or {}))
