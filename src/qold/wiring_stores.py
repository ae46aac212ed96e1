"""Adapters of the distributed stores by URL; `wiring.py` has the table."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qold.clock import Clock
from qold.ports import AlertLog, LastSeen, RawStore, Registry, StateStore
from qold.settings import Settings, SettingsError

if TYPE_CHECKING:
    from qold.adapters.cassandra_session import CassandraSession
    from qold.adapters.redis_server import RedisServer

CQL_PORT, REDIS_PORT = 9042, 6379


def cassandra_registry(url: str, settings: Settings, clock: Clock) -> Registry:
    from qold.adapters.registry.cassandra import CassandraRegistry

    return CassandraRegistry(_cassandra("registry", url, settings))


def cassandra_raw(url: str, settings: Settings, clock: Clock) -> RawStore:
    from qold.adapters.raw.cassandra import CassandraRawStore

    return CassandraRawStore(_cassandra("raw", url, settings))


def cassandra_alert_log(url: str, settings: Settings, clock: Clock) -> AlertLog:
    from qold.adapters.alert_log.cassandra import CassandraAlertLog

    return CassandraAlertLog(_cassandra("alert_log", url, settings))


def redis_state(url: str, settings: Settings, clock: Clock) -> StateStore:
    from qold.adapters.state.redis import RedisStateStore

    return RedisStateStore(_redis(url, settings))


def redis_last_seen(url: str, settings: Settings, clock: Clock) -> LastSeen:
    from qold.adapters.last_seen.redis import RedisLastSeen

    return RedisLastSeen(_redis(url, settings))


def _cassandra(schema: str, url: str, settings: Settings) -> "CassandraSession":
    """`cassandra://host[,host…]:port/keyspace`."""
    from qold.adapters.cassandra_session import CassandraSession

    hosts, port, path = _parts(url, CQL_PORT)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", path):
        raise SettingsError([f"{url}: a keyspace is lower-case letters, digits and _"])
    return CassandraSession(hosts, port, path, schema, settings.secrets_dir)


def _redis(url: str, settings: Settings) -> "RedisServer":
    """`rediss://host:port/number`."""
    from qold.adapters.redis_server import RedisServer

    hosts, port, path = _parts(url, REDIS_PORT)
    if len(hosts) != 1 or not path.isdecimal():
        raise SettingsError([f"{url}: expected rediss://host:port/0"])
    return RedisServer(hosts[0], port, int(path), settings.secrets_dir)


def _parts(url: str, default_port: int) -> tuple[Sequence[str], int, str]:
    parts = urlsplit(url)
    names, _, port = parts.netloc.partition(":")
    hosts = [name for name in names.split(",") if name]
    if "@" in parts.netloc or parts.query or parts.fragment:
        problem = "a URL of a store is host:port and a path only"
        raise SettingsError([f"{parts.scheme}: {problem}; credentials belong in secrets/"])
    if not hosts or not (port or "1").isdecimal():
        raise SettingsError([f"{url}: expected {parts.scheme}://host:port/…"])
    return hosts, int(port or default_port), parts.path.removeprefix("/")
