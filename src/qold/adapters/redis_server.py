"""One Redis: connected at the first call, by TLS and login; every call ends in time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from qold.ports import Unavailable
from qold.private_files import read_private

USER = "qold"
CONNECT_S = 3.0
ANSWER_S = 6.0


class RedisServer:
    """Its connections; not for two threads at once, but any process may go on with it.

    `secrets` holds `redis.password` of the user `qold`, and its certificate in `certificates/`.
    """

    def __init__(self, host: str, port: int, database: int, secrets: Path) -> None:
        self._host, self._port, self._database = host, port, database
        self._secrets = secrets
        self._client: redis.Redis | None = None
        self._pid = 0
        self._who = f"rediss://{host}:{port}/{database}"

    @contextlib.contextmanager
    def calling(self) -> Iterator[redis.Redis]:
        """The client, for one round trip; raises only `Unavailable`."""
        try:
            yield self._connected()
        except (redis.RedisError, OSError) as exc:
            self.close()  # the next call begins anew: another certificate, a new password
            raise Unavailable(f"{self._who}: {type(exc).__name__}: {str(exc)[:200]}") from exc

    def ping(self) -> None:
        with self.calling() as client:
            client.ping()

    def close(self) -> None:
        """Let go of the connections; the next call opens them again."""
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()

    def _connected(self) -> redis.Redis:
        if self._client is None or self._pid != os.getpid():
            # What a fork left us belongs to the parent.
            certificates = self._secrets / "certificates"
            self._pid = os.getpid()
            self._client = redis.Redis(
                host=self._host,
                port=self._port,
                db=self._database,
                username=USER,
                password=read_private(self._secrets / "redis.password").decode("ascii").strip(),
                ssl=True,
                ssl_ca_certs=str(certificates / "ca.pem"),
                ssl_certfile=str(certificates / "qold.pem"),
                ssl_keyfile=str(certificates / "qold.key"),
                ssl_check_hostname=True,
                socket_connect_timeout=CONNECT_S,
                socket_timeout=ANSWER_S,
                retry=Retry(NoBackoff(), 0),  # whoever calls tries again
                decode_responses=True,
                client_name="qold",
            )
        return self._client
