"""Apache Cassandra on this machine: one node on loopback, mutual TLS and login from the start.

Roles: `qold` may make keyspaces and owns those it makes, `kairosdb` likewise (it asks for its
keyspace at every start); `qold_admin` is only used here. The built-in `cassandra` is dropped.
"""

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cassandra import AuthenticationFailed
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import RoundRobinPolicy

from local.programs import Program
from local.services import artifacts
from local.services.authority import Certificate
from local.services.cassandra_java import java_options
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell
from qold.private_files import make_folder, write_private

STOP_S = 30.0
SETTLE_S = 120.0
PATIENCE_S = 30.0
"""For each answer: who settles a node has just started it, perhaps beside others."""
ADMIN = "qold_admin"
CLIENTS = ("qold", "kairosdb")

_OPTIONS_REQUEST = b"\x04\x00\x00\x00\x05\x00\x00\x00\x00"  # CQL version 4, stream 0, no body
_SUPPORTED = 0x06
_LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
  <logger name="org.apache.cassandra.service.CassandraDaemon" level="INFO"/>
  <logger name="org.apache.cassandra.transport" level="INFO"/>
</configuration>
"""


class Cassandra:
    """The node of one state folder."""

    name = "cassandra"
    tools: Mapping[str, str] = {"java": "openjdk-17-jre-headless", "mvn": "maven"}

    def __init__(self, place: Place) -> None:
        self._place = place
        self.port = place.port("cassandra")

    def prepare(self, tell: Tell) -> Program:
        lib = artifacts.fetch(
            "cassandra", tell=lambda have, want: tell(f"cassandra: {have} of {want} jars")
        )
        folder = self._place.folder(self.name)
        make_folder(folder / "tmp")
        write_private(folder / "logback.xml", _LOGBACK)
        write_private(folder / "cassandra.yaml", json.dumps(self._configuration(folder), indent=1))
        write_private(folder / "java.options", "\n".join(java_options(folder, lib)))
        main = "org.apache.cassandra.service.CassandraDaemon"
        command = ("java", f"@{folder / 'java.options'}", main)
        return Program(self.name, command, {"CLASSPATH": ""}, folder, stop_s=STOP_S)

    def is_ready(self) -> bool:
        try:
            with (
                socket.create_connection((LOOPBACK, self.port), timeout=2.0) as plain,
                self._tls().wrap_socket(plain, server_hostname=LOOPBACK) as connection,
            ):
                connection.sendall(_OPTIONS_REQUEST)
                header = connection.recv(9)
                return len(header) == 9 and header[4] == _SUPPORTED
        except OSError:
            return False

    def settle(self) -> None:
        """Roles with their passwords; the default superuser is gone afterwards."""
        password = self._place.password("cassandra.admin")
        give_up_at = time.monotonic() + SETTLE_S
        while not self._can_log_in(ADMIN, password):
            # A node that has just made its system tables makes the first role a little later.
            if time.monotonic() > give_up_at:
                raise TimeoutError("cassandra: the administrator cannot log in; see its log")
            self._make_admin(password)
            time.sleep(0.2)
        with self.session(ADMIN, password) as session:
            session.execute("DROP ROLE IF EXISTS cassandra")
            for name in CLIENTS:
                self._make_client(session, name)
            session.execute(
                "CREATE KEYSPACE IF NOT EXISTS kairosdb WITH replication ="
                " {'class': 'SimpleStrategy', 'replication_factor': 1}"
            )
            session.execute("GRANT ALL ON KEYSPACE kairosdb TO kairosdb")

    def drop(self, *keyspaces: str) -> None:
        """Delete keyspaces with all that is in them, if they are there."""
        with self.session(ADMIN, self._place.password("cassandra.admin")) as session:
            for keyspace in keyspaces:
                session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")

    def addresses(self) -> Mapping[str, str]:
        return {"CQL, with TLS and login": f"{LOOPBACK}:{self.port}"}

    def settings(self) -> Mapping[str, str]:
        node = f"cassandra://{LOOPBACK}:{self.port}"
        return {
            "registry_url": f"{node}/qold",
            "alert_log_url": f"{node}/qold",
            "raw_url": f"{node}/qold_raw",
        }

    def _make_admin(self, password: str) -> None:
        with suppress(AuthenticationFailed), self.session("cassandra", "cassandra") as session:
            session.execute(
                f"CREATE ROLE IF NOT EXISTS {ADMIN} WITH SUPERUSER = true AND LOGIN = true"
                f" AND PASSWORD = {_quoted(password)}"
            )

    def _make_client(self, session: Any, name: str) -> None:
        password = self._place.password(_password_file(name))
        # Only where it changes anything: a password cannot be set twice within 5 s.
        if not self._can_log_in(name, password):
            session.execute(f"CREATE ROLE IF NOT EXISTS {name} WITH LOGIN = true")
            session.execute(f"ALTER ROLE {name} WITH PASSWORD = {_quoted(password)}")
        session.execute(f"GRANT CREATE ON ALL KEYSPACES TO {name}")

    def _can_log_in(self, name: str, password: str) -> bool:
        try:
            with self.session(name, password):
                return True
        except AuthenticationFailed:
            return False

    @contextmanager
    def session(self, user: str, password: str) -> Iterator[Any]:
        """A session of the driver; raises `AuthenticationFailed`, or the driver's own errors."""
        profile = ExecutionProfile(
            load_balancing_policy=RoundRobinPolicy(), request_timeout=PATIENCE_S
        )
        cluster = Cluster(
            [LOOPBACK],
            port=self.port,
            protocol_version=5,
            ssl_context=self._tls(),
            auth_provider=PlainTextAuthProvider(user, password),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connect_timeout=PATIENCE_S,
            control_connection_timeout=PATIENCE_S,
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
        )
        try:
            yield cluster.connect()
        except NoHostAvailable as exc:
            refused = [e for e in exc.errors.values() if isinstance(e, AuthenticationFailed)]
            raise (refused[0] if refused else exc) from None
        finally:
            cluster.shutdown()

    def _tls(self) -> ssl.SSLContext:
        own = self._certificate("qold", "services")
        context = ssl.create_default_context(cafile=str(own.ca))
        context.load_cert_chain(own.chain, own.key)
        return context

    def _certificate(self, name: str, unit: str) -> Certificate:
        return self._place.authority.certificate(name, unit=unit)

    def _configuration(self, folder: Path) -> dict[str, Any]:
        authority = self._place.authority
        own = self._certificate("cassandra", "servers")
        password, trust = self._place.password("cassandra.stores"), self._place.password("trust")
        stores = {
            "keystore": str(authority.key_store(own, password)),
            "keystore_password": password,
            "truststore": str(authority.trust_store(trust)),
            "truststore_password": trust,
            "store_type": "PKCS12",
            "require_client_auth": True,
        }
        # Nodes ask each other for no password: the authority also signs what gateways hold.
        nodes = {**stores, "truststore": str(authority.trust_store(trust, only=own))}
        storage_port = self._place.port("cassandra.storage")
        seeds = [{"seeds": f"{LOOPBACK}:{storage_port}"}]
        provider = "org.apache.cassandra.locator.SimpleSeedProvider"
        return {
            "cluster_name": "qold",
            "num_tokens": 16,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "endpoint_snitch": "SimpleSnitch",
            "seed_provider": [{"class_name": provider, "parameters": seeds}],
            "listen_address": LOOPBACK,
            "rpc_address": LOOPBACK,
            "storage_port": storage_port,
            "native_transport_port": self.port,
            "auto_bootstrap": False,
            "authenticator": "PasswordAuthenticator",
            "authorizer": "CassandraAuthorizer",
            "role_manager": "CassandraRoleManager",
            "client_encryption_options": {"enabled": True, "optional": False, **stores},
            "server_encryption_options": {
                "internode_encryption": "all",
                "optional": False,
                **nodes,
            },
            "data_file_directories": [str(folder / "data")],
            "commitlog_directory": str(folder / "commitlog"),
            "saved_caches_directory": str(folder / "saved_caches"),
            "hints_directory": str(folder / "hints"),
            # An acknowledged write is on disk (docs/adr/0020): each writer waits for an fsync that
            # it shares with those that came meanwhile. Waking them is what an fsync costs most.
            "commitlog_sync": "batch",
            "concurrent_writes": 32,
            "memtable": {
                "configurations": {
                    "trie": {"class_name": "TrieMemtable"},
                    "default": {"inherits": "trie"},
                }
            },
            "cas_contention_timeout": "5s",
            "write_request_timeout": "5s",
            "paxos_variant": "v2",
            "commitlog_segment_size": "16MiB",
            "commitlog_total_space": "256MiB",
            "memtable_heap_space": "128MiB",
            "memtable_offheap_space": "64MiB",
            "file_cache_size": "32MiB",
            "key_cache_size": "8MiB",
            "networking_cache_size": "16MiB",
            "concurrent_compactors": 1,
            "batch_size_warn_threshold": "640KiB",  # KairosDB's batches; ours are of one partition
            "batch_size_fail_threshold": "4MiB",
            "unlogged_batch_across_partitions_warn_threshold": 100,  # one node takes them all
            "auto_snapshot": False,
            "hinted_handoff_enabled": False,
        }


def _password_file(role: str) -> str:
    return "cassandra" if role == "qold" else f"cassandra.{role}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
