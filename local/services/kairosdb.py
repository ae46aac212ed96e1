"""KairosDB: time series on Cassandra. Its port, TLS on loopback, demands the password of nginx."""

import base64
import http.client
import json
import shutil
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from local.programs import ROOT, Program
from local.services import artifacts
from local.services.java_classes import TOOLS as JAVAC
from local.services.java_classes import OwnJar
from local.services.place import LOOPBACK, Place
from local.services.servers import NotReady, Tell
from qold.private_files import make_folder, write_private

METRICS = ("Temperature", "Battery")
HEARTBEAT = "qold.heartbeat"
HEARTBEAT_TTL_S = 24 * 3600
CALL_S = 5.0
NO_CONTENT = 204
# Takes the place of KairosDB's own HTTP module.
GUARD = "qold.GuardedHttp"
OWN_JAR = OwnJar("qold-kairosdb", ROOT / "deploy" / "kairosdb" / "java", "kairosdb")
# What KairosDB tells about itself: of all that, what shows a queue that grows.
TOLD = r"kairosdb\.(?!queue\.).*"

_CONF = """\
kairosdb: {
  service.telnet: "<disabled>"
  service.http: "%(guard)s"
  guard: { port: %(port)d, authorization: "%(authorization)s" }
  jetty.port: 0
  service.datastore: "org.kairosdb.datastore.cassandra.CassandraModule"
  datastore.cassandra: {
    # True would lose what the queue replays before it has reached Cassandra.
    start_async: false
    table_create_with.data_points: ""
    row_key_cache_size: 500000
    string_cache_size: 500000
    query_limit: 5000000
    query_time_limit_sec: 8
    write_cluster: {
      keyspace: "kairosdb"
      cql_host_list: ["%(cassandra)s"]
      use_ssl: true
      auth.user_name: "%(user)s"
      auth.password: "%(password)s"
      tag_indexed_row_key_lookup_metrics: [%(metrics)s]
    }
  }
  # A point that has been acknowledged is replayed after a crash only when another one enters the
  # queue: the reporter below sees to that. The other three make the replay short.
  queue_processor: {
    class: "org.kairosdb.core.queue.FileQueueProcessor"
    queue_path: "%(folder)s/queue"
    batch_size: 1000
    min_batch_size: 1
    min_batch_wait: 100
    seconds_till_checkpoint: 5
  }
  reporter: { schedule: "0/5 * * * * ?", ttl: %(ttl)d }
  service.filter: "org.kairosdb.filter.FilterModule"
  filter.regex: ["%(told)s"]
  queries.aggregate_stats: true
  query_cache.cache_dir: "%(folder)s/cache"
}
"""

_LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601,UTC} %-5level %logger{20} %msg%n%ex{3}</pattern></encoder>
  </appender>
  <logger name="org.kairosdb" level="INFO"/>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


class KairosDb:
    """KairosDB 1.3.0-1 as the user `kairosdb` of a Cassandra, `host:port`, with TLS both ways."""

    name = "kairosdb"
    tools: Mapping[str, str] = {**JAVAC, "java": "openjdk-17-jre-headless", "mvn": "maven"}

    def __init__(self, place: Place, *, cassandra: str) -> None:
        self._place = place
        self._cassandra = cassandra
        self.port = place.port(self.name)

    def prepare(self, tell: Tell) -> Program:
        jars = artifacts.fetch(
            self.name, tell=lambda have, want: tell(f"KairosDB: {have} of {want} jars")
        )
        folder = self._place.folder(self.name)
        conf = folder / "conf"  # everything in it is read as configuration, and it writes there
        for path in (conf, folder / "queue", folder / "cache"):
            make_folder(path)
        own_jar = OWN_JAR.install(folder, jars)
        write_private(conf / "kairosdb.conf", self._conf(folder))
        write_private(folder / "logback.xml", _LOGBACK)
        write_private(folder / "java.options", self._java_options(folder))
        return Program(
            self.name,
            (
                shutil.which("java") or "java",
                f"@{folder / 'java.options'}",  # passwords stay out of the process list
                *("-cp", f"{own_jar}:{jars}/*", "org.kairosdb.core.Main"),
                *("-c", "run", "-p", str(conf / "kairosdb.conf")),
            ),
            folder=folder,
            stop_s=20.0,
        )

    def is_ready(self) -> bool:
        try:
            return self._call("GET", "/api/v1/health/check") == NO_CONTENT
        except (OSError, http.client.HTTPException):
            return False

    def settle(self) -> None:
        """One point, so that what was acknowledged before a crash is stored now."""
        point = {
            "name": HEARTBEAT,
            "timestamp": time.time_ns() // 1_000_000,
            "value": 1,
            "tags": {"server": self.name},
            "ttl": HEARTBEAT_TTL_S,
        }
        status = self._call("POST", "/api/v1/datapoints", json.dumps(point).encode())
        if status != NO_CONTENT:
            raise NotReady(f"KairosDB answered {status} to its first point; see its log")

    def addresses(self) -> Mapping[str, str]:
        return {"KairosDB, this machine only": f"https://{LOOPBACK}:{self.port}"}

    def delete_metrics(self, prefix: str) -> None:
        """Delete those whose names begin so, with all their points."""
        names: list[str] = json.loads(self._answer("GET", "/api/v1/metricnames")[1])["results"]
        for name in names:
            if name.startswith(prefix):
                status = self._call("DELETE", f"/api/v1/metric/{quote(name)}")
                if status != NO_CONTENT:
                    raise OSError(f"KairosDB answered {status} to the deletion of {name}")

    def _call(self, method: str, path: str, body: bytes | None = None) -> int:
        return self._answer(method, path, body)[0]

    def _answer(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self._place.authority.ca))
        connection = http.client.HTTPSConnection(
            LOOPBACK, self.port, timeout=CALL_S, context=context
        )
        try:
            headers = {"Authorization": authorization(self._place)}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _conf(self, folder: Path) -> str:
        return _CONF % {
            "port": self.port,
            "guard": GUARD,
            "authorization": authorization(self._place),
            "cassandra": self._cassandra,
            "user": self.name,
            "password": self._place.password("cassandra.kairosdb"),
            "metrics": ", ".join(f'"{metric}"' for metric in METRICS),
            "folder": folder,
            "ttl": HEARTBEAT_TTL_S,
            "told": TOLD.replace("\\", "\\\\"),
        }

    def _java_options(self, folder: Path) -> str:
        authority = self._place.authority
        password, trust = self._place.password("kairosdb.stores"), self._place.password("trust")
        certificate = authority.certificate(self.name, unit="services")
        options = (
            "-Xms128m",
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            # Guice and the JSON library look into the JDK; without these it ends, or answers 500.
            *("--add-opens", "java.base/java.lang=ALL-UNNAMED"),
            *("--add-opens", "java.base/java.util=ALL-UNNAMED"),
            # Its Cassandra driver times out in handshakes of TLS 1.3.
            "-Djdk.tls.client.protocols=TLSv1.2",
            f"-Djavax.net.ssl.trustStore={authority.trust_store(trust)}",
            f"-Djavax.net.ssl.trustStorePassword={trust}",
            f"-Djavax.net.ssl.keyStore={authority.key_store(certificate, password)}",
            f"-Djavax.net.ssl.keyStorePassword={password}",
            f"-Dlogback.configurationFile={folder / 'logback.xml'}",
            f"-Djava.io.tmpdir={folder / 'cache'}",
        )
        return "".join(f'"{option}"\n' for option in options)


def authorization(place: Place) -> str:
    """Return the only Authorization header that KairosDB accepts: nginx's and this module's."""
    account = f"nginx:{place.password('kairosdb.nginx')}"
    return "Basic " + base64.b64encode(account.encode("ascii")).decode("ascii")
