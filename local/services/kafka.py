"""Apache Kafka on this machine, in KRaft mode: brokers that are their own controllers.

Two doors. The edge is for gateways: client certificates, the principal is taken from the whole
subject, and an access list per gateway. The inner one is for services and brokers, by name, over
mutual TLS; a gateway's certificate is nobody there, as a service's is nobody at the edge.

Profile `thesis` is the source's (5.4.1.5): one certificate shared by all gateways, and an inner
listener in plaintext whose users are anonymous.
"""

import hashlib
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from local.programs import ROOT, Program
from local.services import artifacts
from local.services.java_classes import TOOLS as JAVAC
from local.services.java_classes import OwnJar
from local.services.kafka_access import Access
from local.services.place import Place, is_listening
from local.services.servers import Tell
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Unavailable
from qold.private_files import write_private
from qold.settings import Settings

DEPLOYED = ROOT / "deploy" / "kafka"
HEAP = "256m"
# Checks requests of gateways before the broker unpacks them (docs/adr/0029).
EDGE = "qold.CheckedEdge"
STOP_S = 10.0
SETTLE_S = 120.0
MAX_MESSAGE_BYTES = 4 * 2**20
# Of any client. A broker allocates what a request announces: Kafka's 100 MiB, three times, are more
# than the heap.
MAX_REQUEST_BYTES = 2 * MAX_MESSAGE_BYTES
FORMAT_S = 600.0
# Gateways on metered links ask for metadata every 15 minutes; a connection that is closed between
# two questions costs more than it saves. It holds for the whole broker, not for a listener.
MAX_IDLE_MS = 3_600_000
# A consumer that had nothing to commit for long must not begin anew.
OFFSETS_KEPT_MINUTES = 365 * 24 * 60

_GATEWAYS = "RULE:^CN=(gateway-[0-9]+),OU=gateways,O=Qold$/$1/,DEFAULT"
_ALL_GATEWAYS = "RULE:^CN=gateway,OU=gateways,O=Qold$/gateway/,DEFAULT"
_SERVICES = (
    "RULE:^CN=([a-z0-9-]+),OU=services,O=Qold$/service-$1/,"
    "RULE:^CN=[a-z0-9-]+,OU=brokers,O=Qold$/broker/,DEFAULT"
)


class ChangedBrokers(RuntimeError):
    """The state folder was made for another number of brokers, or for another profile."""


class Kafka:
    """One broker of `of`; they stand at 127.0.0.1, .2, .3, … and share their ports."""

    tools: Mapping[str, str] = {**JAVAC, "java": "openjdk-17-jre-headless", "mvn": "maven"}
    lock = "kafka"
    own_jar: OwnJar | None = OwnJar("qold-kafka", DEPLOYED / "java", "kafka")
    scheme = "kafka"  # of the URL by which services reach it
    # The property that names the file of its logging, and that file.
    logging = ("log4j2.configurationFile", DEPLOYED / "log4j2.xml")

    def __init__(self, place: Place, *, node: int = 1, of: int = 1, thesis: bool = False) -> None:
        self.name = "kafka" if of == 1 else f"kafka-{node}"
        self._place = place
        self._node, self._of, self._thesis = node, of, thesis
        self.host = _host(node)
        self.edge_port = place.port("kafka.edge")
        self.inner_port = place.port("kafka")
        self._controller_port = place.port("kafka.controller")
        self._access: Access | None = None

    @classmethod
    def cluster(cls, place: Place, brokers: int, *, thesis: bool = False) -> list[Self]:
        """Every broker of a state folder, to be brought up in this order."""
        return [cls(place, node=node, of=brokers, thesis=thesis) for node in range(1, brokers + 1)]

    @classmethod
    def of_state(cls, settings: Settings) -> "Kafka | None":
        """The last broker of those that were started in a state folder, if its log is there."""
        place = Place(settings.state_dir)
        if not (place.state / "services" / "kafka" / "shape").exists():
            return None
        scheme, _, servers = settings.log_url.partition("://")
        count = servers.count(",") + 1
        found = cls(place, node=count, of=count, thesis=scheme.endswith("+plaintext"))
        return found if found.log_url == settings.log_url else None

    @property
    def state(self) -> Path:
        """The state folder, which has the secrets."""
        return self._place.state

    @property
    def log_url(self) -> str:
        """What `log_url` of the settings must say."""
        transport = "+plaintext" if self._thesis else ""
        return f"{self.scheme}{transport}://{self._bootstrap(self.inner_port)}"

    def prepare(self, tell: Tell) -> Program:
        lib = artifacts.fetch(
            self.lock, tell=lambda have, want: tell(f"{self.name}: {have} of {want} jars")
        )
        folder = self._place.folder(self.name)
        named_by, logging = self.logging
        self._keep_shape(folder)
        properties = folder / "server.properties"
        lines = [f"{name}={value}" for name, value in self._properties(folder).items()]
        write_private(properties, "\n".join(lines) + "\n")
        own_jar = self.own_jar and self.own_jar.install(self._place.folder("kafka"), lib)
        java = (
            "java",
            f"-Xmx{HEAP}",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",  # half the processor time of a start, and fast enough
            "-XX:+ExitOnOutOfMemoryError",
            f"-D{named_by}={logging.as_uri()}",
            "-cp",
            ":".join(map(str, (*filter(None, [own_jar]), lib / "*"))),
        )
        if not (folder / "data" / "meta.properties").exists():
            tell(f"{self.name}: formatting its storage")
            self._format(java, properties)
        command = (*java, "kafka.Kafka", str(properties))
        return Program(self.name, command, {"CLASSPATH": ""}, folder, stop_s=STOP_S)

    def is_ready(self) -> bool:
        """The last broker of several waits for all, because none answers before most run."""
        if self._node < self._of:
            return True
        return is_listening(self.inner_port, self.host) and self.access.brokers() == self._of

    def settle(self) -> None:
        if self._node < self._of:
            return
        settings = replace(Settings.load(self._place.state), log_url=self.log_url)
        message_log = wiring.message_log(settings, SystemClock())
        give_up_at = time.monotonic() + SETTLE_S
        while True:
            try:
                message_log.create_topics(settings.topics())
                break
            except Unavailable:
                # Brokers that have just started are slow to answer.
                if time.monotonic() > give_up_at:
                    raise
        message_log.close()
        if self._thesis:
            self.access.allow("gateway", _gateway_topics(settings))

    @property
    def uplink_url(self) -> str:
        """What a gateway's settings must say."""
        return f"kafka://{self._bootstrap(self.edge_port)}"

    def allow_gateway(self, gateway_id: int, settings: Settings | None = None) -> None:
        """Let it write its reports and events, of the place if not told; returns when it holds."""
        if not self._thesis:
            settings = settings or Settings.load(self._place.state)
            self.access.allow(_principal(gateway_id), _gateway_topics(settings))

    def write_gateway_certificates(self, gateway_id: int, folder: Path) -> None:
        """`ca.pem`, `gateway.pem` and `gateway.key`, to be carried to the gateway."""
        name = "gateway" if self._thesis else _principal(gateway_id)
        own = self._place.authority.certificate(name, unit="gateways", hosts=(name,))
        own.carry_to(folder, "gateway")

    def addresses(self) -> Mapping[str, str]:
        if self._node < self._of:
            return {}
        inner = "services, plaintext" if self._thesis else "services, mutual TLS"
        return {
            "gateways, with a client certificate": self._bootstrap(self.edge_port),
            inner: self._bootstrap(self.inner_port),
        }

    @property
    def access(self) -> Access:
        """Access lists, as the service `qold`."""
        if self._access is None:
            own = (
                None if self._thesis else self._place.authority.certificate("qold", unit="services")
            )
            self._access = Access(self._bootstrap(self.inner_port), own)
        return self._access

    def _bootstrap(self, port: int) -> str:
        return ",".join(f"{_host(node)}:{port}" for node in range(1, self._of + 1))

    def _keep_shape(self, folder: Path) -> None:
        """A quorum and its listeners are chosen once; raises `ChangedBrokers`."""
        shape = f"{self._of} thesis" if self._thesis else f"{self._of}"
        path = self._place.folder("kafka") / "shape"
        if not path.exists():
            write_private(path, shape)
        elif path.read_text("ascii") != shape:
            raise ChangedBrokers(
                f"{self._place.state} was made with brokers: {path.read_text('ascii')}\n"
                "fix: start it as it was made, or name another --state DIR"
            )

    def _format(self, java: tuple[str, ...], properties: Path) -> None:
        # The same for every broker of this state, and for no other.
        digest = hashlib.sha256(self._place.authority.ca.read_bytes()).digest()
        cluster_id = urlsafe_b64encode(digest[:16]).decode().rstrip("=")
        tool = ("kafka.tools.StorageTool", "format", "--ignore-formatted")
        done = subprocess.run(
            [*java, *tool, f"--cluster-id={cluster_id}", "-c", str(properties)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FORMAT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: storage not formatted: {done.stderr.strip()[-500:]}")

    def _properties(self, folder: Path) -> dict[str, object]:
        own = self._place.authority.certificate(
            self.name, unit="brokers", hosts=("localhost", "kafka.localhost", self.host)
        )
        nodes = range(1, self._of + 1)
        copies, safe = min(3, self._of), 2 if self._of > 2 else 1
        inner = "PLAINTEXT" if self._thesis else "SSL"
        return {
            "process.roles": "broker,controller",
            "node.id": self._node,
            "controller.quorum.voters": ",".join(
                f"{node}@{_host(node)}:{self._controller_port}" for node in nodes
            ),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"EDGE://{self.host}:{self.edge_port},"
            f"INNER://{self.host}:{self.inner_port},"
            f"CONTROLLER://{self.host}:{self._controller_port}",
            "inter.broker.listener.name": "INNER",
            "listener.security.protocol.map": f"EDGE:SSL,INNER:{inner},CONTROLLER:{inner}",
            "ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": own.both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": own.ca,
            "ssl.principal.mapping.rules": _SERVICES,
            "listener.name.edge.ssl.client.auth": "required",
            "listener.name.edge.ssl.principal.mapping.rules": (
                _ALL_GATEWAYS if self._thesis else _GATEWAYS
            ),
            **({"listener.name.edge.ssl.engine.factory.class": EDGE} if self.own_jar else {}),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS" if self._thesis else "User:broker;User:service-qold",
            "auto.create.topics.enable": "false",
            "log.dirs": folder / "data",
            "log.message.timestamp.type": "LogAppendTime",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "socket.request.max.bytes": MAX_REQUEST_BYTES,
            "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
            "default.replication.factor": copies,
            "min.insync.replicas": safe,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 3,
            "offsets.retention.minutes": OFFSETS_KEPT_MINUTES,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": safe,
            "transaction.state.log.num.partitions": 3,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": safe,
            "connections.max.idle.ms": MAX_IDLE_MS,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 4,
            # Its default of 128 MiB kills a small heap.
            "log.cleaner.dedupe.buffer.size": 4 * 2**20,
        }


def _principal(gateway_id: int) -> str:
    """Common name of a gateway's certificate, and the user that the edge makes of it."""
    return f"gateway-{gateway_id}"


def _gateway_topics(settings: Settings) -> tuple[str, str]:
    return settings.reports_topic, settings.gateway_events_topic


def _host(node: int) -> str:
    return f"127.0.0.{node}"
