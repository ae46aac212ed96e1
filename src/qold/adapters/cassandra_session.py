"""One keyspace of Cassandra: connected at the first call, schema by version, calls that end in time."""

import contextlib
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cassandra import ConsistencyLevel, DriverException, UnresolvableContactPoints
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import BatchStatement, BatchType

from qold.adapters.cassandra_schema import apply_schema
from qold.ports import Unavailable
from qold.private_files import read_private

USER = "qold"
CALL_S = 9.0
CONNECT_S = 8.0
WINDOW = 128

Statement = tuple[str, Sequence[Any]]
"""CQL with ? marks, and the values for them."""


class ConnectTimeout(Exception):
    """Still connecting; the next call goes on with it."""


class CassandraSession:
    """Statements for one keyspace; not for two threads at once, but any process may go on with it.

    `secrets` holds `cassandra.password` of the role `qold`, and its certificate in `certificates/`.
    Every method raises only `Unavailable`, within 10 s.
    """

    def __init__(
        self, hosts: Sequence[str], port: int, keyspace: str, schema: str, secrets: Path
    ) -> None:
        """`schema` is a folder of `qold/schema` with files v1.cql, v2.cql, …"""
        self.keyspace = keyspace
        self._hosts, self._port = list(hosts), port
        self._schema = schema
        self._secrets = secrets
        self._cluster: Any = None
        self._session: Any = None
        self._connecting: _Connecting | None = None
        self._pid = 0
        self._prepared: dict[str, Any] = {}
        self._who = f"cassandra://{','.join(hosts)}:{port}/{keyspace}"

    def execute(self, cql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of one statement; of a conditional one the first row says `applied`."""
        return self.execute_all([(cql, values)])[0]

    def execute_all(self, statements: Iterable[Statement]) -> list[list[Any]]:
        """The rows of each statement, in order; so many are in flight at once as are good for it."""
        with self._calling() as (session, end_s):
            bound = (self._bind(session, *statement) for statement in statements)
            return [list(result) for result in _windowed(session, bound, end_s)]

    def execute_batches(self, batches: Iterable[Sequence[Statement]]) -> None:
        """Unlogged batches, each best of rows of one partition or of one node."""
        with self._calling() as (session, end_s):
            for _ in _windowed(session, (self._batch(session, b) for b in batches), end_s):
                pass

    def execute_if(self, statements: Sequence[Statement]) -> bool:
        """Statements of one partition, all or none: whether the conditions held."""
        return self.execute_ifs([statements])[0]

    def execute_ifs(self, batches: Iterable[Sequence[Statement]]) -> list[bool]:
        """The same for several partitions, each by itself."""
        with self._calling() as (session, end_s):
            bound = (self._batch(session, batch) for batch in batches)
            return [bool(result.was_applied) for result in _windowed(session, bound, end_s)]

    def pages(self, cql: str, values: Sequence[Any], size: int) -> Iterator[list[Any]]:
        """The rows of a query, `size` at a time."""
        state = None
        while True:
            with self._calling() as (session, end_s):
                statement = self._bind(session, cql, values)
                statement.fetch_size = size
                left_s = max(0.001, end_s - time.monotonic())
                result = session.execute(statement, timeout=left_s, paging_state=state)
                rows, state = list(result.current_rows), result.paging_state
            if rows:
                yield rows
            if state is None:
                return

    def node_of(self, table: str, cql: str, values: Sequence[Any]) -> object:
        """What statements with equal answers have in common: the first replica of their partition."""
        with self._calling() as (session, _):
            metadata = self._cluster.metadata
            if len(metadata.all_hosts()) <= 1:
                return None
            key = self._bind(session, cql, values).routing_key
            return next(iter(metadata.get_replicas(self.keyspace, key)), None)

    def ping(self) -> None:
        self.execute("SELECT key FROM system.local")

    def close(self) -> None:
        """Let go of the connections; the next call opens them again."""
        cluster, connecting = self._cluster, self._connecting
        self._cluster = self._session = self._connecting = None
        self._prepared = {}
        if self._pid != os.getpid():
            return
        if connecting is not None:
            connecting.abandon()
        if cluster is not None:
            cluster.shutdown()

    @contextlib.contextmanager
    def _calling(self) -> Iterator[tuple[Any, float]]:
        """The session, and until when (monotonic) the call may last."""
        end_s = time.monotonic() + CALL_S
        try:
            yield self._connected(), end_s
        except ConnectTimeout as exc:
            raise self._unavailable(exc) from exc
        except (NoHostAvailable, UnresolvableContactPoints, ConnectionException, OSError) as exc:
            self.close()  # the next call begins anew: other addresses, certificates, a new password
            raise self._unavailable(exc) from exc
        except DriverException as exc:
            raise self._unavailable(exc) from exc

    def _unavailable(self, exc: Exception) -> Unavailable:
        errors = getattr(exc, "errors", None)  # NoHostAvailable's: by host, or a list of hosts
        causes = list(errors.values()) if isinstance(errors, dict) else []
        cause = causes[0] if causes else exc
        return Unavailable(f"{self._who}: {type(cause).__name__}: {str(cause)[:200]}")

    def _bind(self, session: Any, cql: str, values: Sequence[Any]) -> Any:
        prepared = self._prepared.get(cql)
        if prepared is None:
            prepared = self._prepared[cql] = session.prepare(cql)
            prepared.is_idempotent = " IF " not in cql
        return prepared.bind(values)

    def _batch(self, session: Any, statements: Sequence[Statement]) -> Any:
        if len(statements) == 1:
            return self._bind(session, *statements[0])
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = not any(" IF " in cql for cql, _ in statements)
        for statement in statements:
            batch.add(self._bind(session, *statement))
        return batch

    def _connected(self) -> Any:
        if self._pid != os.getpid():
            # What a fork left us belongs to the parent.
            self._cluster = self._session = self._connecting = None
            self._prepared, self._pid = {}, os.getpid()
        if self._session is None:
            # In a thread, because the driver's time-outs bound each step and not all of them; where
            # a call ends before it, the next one waits for the same.
            connecting = self._connecting or _Connecting(
                self._make_cluster, self.keyspace, self._schema
            )
            self._connecting = connecting
            connecting.join(CALL_S)
            if connecting.is_alive():
                raise ConnectTimeout("no connection in time")
            self._connecting = None
            self._cluster, self._session = connecting.result()
        return self._session

    def _make_cluster(self) -> Any:
        password = read_private(self._secrets / "cassandra.password").decode("ascii").strip()
        certificates = self._secrets / "certificates"
        context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        context.load_cert_chain(certificates / "qold.pem", certificates / "qold.key")
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
            retry_policy=FallthroughRetryPolicy(),  # whoever calls tries again, with back-off
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            request_timeout=CALL_S,
        )
        return Cluster(
            self._hosts,
            port=self._port,
            protocol_version=5,
            ssl_context=context,
            auth_provider=PlainTextAuthProvider(USER, password),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
            connect_timeout=CONNECT_S,
            control_connection_timeout=CONNECT_S,  # the driver's 2 s are few for a busy server's schema
            max_schema_agreement_wait=3,
            schema_metadata_enabled=True,  # tells which node has a partition
        )


class _Connecting(threading.Thread):
    """Connects and brings the schema up to date; begins at once."""

    def __init__(self, make_cluster: Callable[[], Any], keyspace: str, schema: str) -> None:
        super().__init__(name="cassandra-connect", daemon=True)
        self._make_cluster = make_cluster
        self._keyspace, self._schema = keyspace, schema
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._cluster: Any = None
        self._session: Any = None
        self._failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._cluster = self._make_cluster()
            session = self._cluster.connect()
            apply_schema(session, self._keyspace, self._schema)
            session.set_keyspace(self._keyspace)
            self._session = session
        except BaseException as exc:  # noqa: BLE001  # raised by `result`, in the thread that waits
            self._failure = exc
        with self._lock:
            if self._cluster is not None and (self._failure or self._is_abandoned):
                self._cluster.shutdown()

    def abandon(self) -> None:
        """Nobody wants the result any more."""
        with self._lock:
            self._is_abandoned = True
            if self._session is not None:
                self._cluster.shutdown()

    def result(self) -> tuple[Any, Any]:
        """Cluster and session, once it has ended; raises what it met."""
        if self._failure is not None:
            raise self._failure
        return self._cluster, self._session


def _windowed(session: Any, statements: Iterable[Any], end_s: float) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for statement in statements:
        if len(waiting) >= WINDOW:
            yield waiting.popleft().result()
        left_s = max(0.001, end_s - time.monotonic())
        waiting.append(session.execute_async(statement, timeout=left_s))
    while waiting:
        yield waiting.popleft().result()
