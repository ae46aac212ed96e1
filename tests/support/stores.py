"""The adapters of one port for its contract suite: made by URL as the pipeline makes them, empty."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qold.adapters.cassandra_session import CassandraSession
from qold.adapters.redis_server import RedisServer
from qold.clock import SystemClock
from qold.ports import Unavailable
from qold.settings import Settings
from tests.support.processes import wait_until

HOST = "127.0.0.1"
KEPT = ("schema_versions", "raw_months")  # the latter names months, whether they have rows or not


class Stores:
    """Opens stores on the same data, again and again."""

    def __init__(
        self, settings: Settings, url_name: str, connect: Callable[..., Any], empty: Any
    ) -> None:
        self._settings = settings
        self._url_name = url_name
        self._connect = connect
        self._empty = empty
        self._opened: list[Any] = []

    @classmethod
    def of(
        cls,
        request: pytest.FixtureRequest,
        folder: Path,
        url_name: str,
        connect: Callable[..., Any],
    ) -> Iterator["Stores"]:
        """For a fixture whose parameter is the technology: yields it once, empty, and closes."""
        port = url_name.removesuffix("_url")
        technology = request.param
        if technology == "sqlite":
            settings, empty = Settings(state_dir=str(folder)), None
        else:
            server = request.getfixturevalue(technology)
            place = request.getfixturevalue("servers").place
            if technology == "cassandra":
                url = f"cassandra://{HOST}:{server.port}/contract_{port}"
                session = CassandraSession(
                    [HOST], server.port, f"contract_{port}", port, place.secrets
                )
                empty = _Clear(session)
            else:
                url = f"rediss://{HOST}:{server.port}/7"
                empty = _Unlink(RedisServer(HOST, server.port, 7, place.secrets))
            settings = replace(Settings(state_dir=str(place.state)), **{url_name: url})
            wait_until(lambda: _is_done(empty), f"{technology} has made its schema")
        stores = cls(settings, url_name, connect, empty)
        try:
            yield stores
        finally:
            for store in stores._opened:
                store.close()
            if empty is not None:
                empty.close()

    def open(self) -> Any:
        """Another connection to the data."""
        self._opened.append(self._connect(self._settings, SystemClock()))
        return self._opened[-1]

    def place(self) -> tuple[str, str]:
        """State folder and URL, for another process."""
        return self._settings.state_dir, getattr(self._settings, self._url_name)

    @property
    def is_quick(self) -> bool:
        """Whether the store is a file of this process."""
        return self._empty is None

    def open_empty(self) -> Any:
        """For a property's next example: a store with nothing in it."""
        if self._empty is None:
            url = f"sqlite:{self._url_name}-{len(self._opened)}.db"
            self._settings = replace(self._settings, **{self._url_name: url})
            return self.open()
        self._empty()
        return self._opened[0] if self._opened else self.open()


def _is_done(call: Callable[[], None]) -> bool:
    try:
        call()
    except Unavailable:
        return False
    return True


class _Clear:
    """Deletes partition by partition, which takes a tenth of the time of TRUNCATE."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session
        self.close = session.close

    def __call__(self) -> None:
        query = "SELECT table_name, column_name, kind, position FROM system_schema.columns WHERE keyspace_name = ?"
        keys: dict[str, list[tuple[int, str]]] = {}
        for table, column, kind, position in self._session.execute(
            query, (self._session.keyspace,)
        ):
            if kind == "partition_key" and table not in KEPT:
                keys.setdefault(table, []).append((position, column))
        for table, columns in keys.items():
            names = [name for _, name in sorted(columns)]
            query = f"SELECT DISTINCT {', '.join(names)} FROM {table}"  # noqa: S608  # the schema's
            partitions = self._session.execute(query)
            where = " AND ".join(f"{name} = ?" for name in names)
            delete = f"DELETE FROM {table} WHERE {where}"  # noqa: S608  # likewise
            self._session.execute_all((delete, tuple(partition)) for partition in partitions)


class _Unlink:
    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.close = server.close

    def __call__(self) -> None:
        with self._server.calling() as client:
            for key in client.scan_iter(count=1000):
                client.unlink(key)
