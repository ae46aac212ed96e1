"""Redis on this machine: TLS with client certificates, one user, every write in the append-only file."""

import hashlib
import ssl
from collections.abc import Mapping

from redis import Redis as Client
from redis import RedisError

from local.programs import Program
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell
from qold.private_files import write_private

USER = "qold"
MAX_MEMORY = "256mb"


class Redis:
    """The server of one state folder."""

    name = "redis"
    tools: Mapping[str, str] = {"redis-server": "redis-server"}

    def __init__(self, place: Place) -> None:
        self._place = place
        self.port = place.port("redis")

    def prepare(self, tell: Tell) -> Program:
        folder = self._place.folder(self.name)
        path = folder / "redis.conf"
        write_private(path, self._configuration(str(folder)))
        return Program(self.name, ("redis-server", str(path)), folder=folder, stop_s=10.0)

    def is_ready(self) -> bool:
        client = self._client()
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()

    def settle(self) -> None:
        """Nothing: its user stands in its configuration."""

    def addresses(self) -> Mapping[str, str]:
        return {"RESP, with TLS and login": f"{LOOPBACK}:{self.port}"}

    def settings(self) -> Mapping[str, str]:
        url = f"rediss://{LOOPBACK}:{self.port}/0"
        return {"state_url": url, "last_seen_url": url}

    def empty(self, database: int) -> None:
        """Delete everything in one of its databases."""
        with self._client(database) as client:
            for key in client.scan_iter(count=1000):
                client.unlink(key)

    def _client(self, database: int = 0) -> Client:
        own = self._place.authority.certificate("qold", unit="services")
        return Client(
            host=LOOPBACK,
            port=self.port,
            db=database,
            username=USER,
            password=self._place.password("redis"),
            ssl=True,
            ssl_ca_certs=str(own.ca),
            ssl_certfile=str(own.chain),
            ssl_keyfile=str(own.key),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
            socket_timeout=2.0,
        )

    def _configuration(self, folder: str) -> str:
        server = self._place.authority.certificate("redis", unit="servers")
        digest = hashlib.sha256(self._place.password("redis").encode()).hexdigest()
        lines = (
            f"bind {LOOPBACK}",
            "port 0",
            f"tls-port {self.port}",
            f'tls-cert-file "{server.chain}"',
            f'tls-key-file "{server.key}"',
            f'tls-ca-cert-file "{server.ca}"',
            "tls-auth-clients yes",
            'tls-protocols "TLSv1.2 TLSv1.3"',
            # Nobody can log in as `default`, but the append-only file is loaded in its name: without
            # its permissions a restart begins empty.
            "user default off resetpass ~* &* +@all",
            f"user {USER} on #{digest} ~* &* +@all -@admin -@dangerous +info"
            # The state store sends one script; functions would stay in the append-only file.
            " -function -script +script|load +script|exists",
            f'dir "{folder}"',
            # What it has answered is on disk. With `everysec` it may answer and write up to 2 s later,
            # while a slow disk syncs; a batch costs one fsync.
            "appendonly yes",
            "appendfsync always",
            'save ""',
            f"maxmemory {MAX_MEMORY}",
            "maxmemory-policy noeviction",  # what is full says so; no state goes in silence
            "daemonize no",
            'logfile ""',
            "loglevel notice",
        )
        return "\n".join(lines) + "\n"
