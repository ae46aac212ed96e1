"""What a demo has of its own on the servers that `up --profile full` keeps: made, and removed again.

Topics, topologies and consumers under names that begin with `demo-`, two keyspaces, a database of
Redis, metrics that begin with `demo.`, and a state folder with everything else.
"""

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.output.uplink import Uplink, uplink_for
from local.embedded import state_lock
from local.services.cassandra import Cassandra
from local.services.kafka import Kafka
from local.services.kairosdb import KairosDb
from local.services.place import LOOPBACK, Place
from local.services.redis import Redis
from local.storm_cluster import NoSuchTopology, StormCluster
from local.storm_submission import Submission
from local.supervision import prepare_patiently
from qold.clock import ScaledClock, SystemClock
from qold.private_files import make_folder, write_private
from qold.settings import PROFILE_FILE_NAME, Settings

PREFIX, METRIC_PREFIX = "demo-", "demo."
KEYSPACE, RAW_KEYSPACE = "qold_demo", "qold_demo_raw"
REDIS_DATABASE = 1
# Beyond the numbers of real gateways, whose rights must stay theirs.
FIRST_CERTIFICATE = 900_000_000
TOPIC_SETTINGS = ("reports", "rejected", "readings", "config", "gateway_events", "events")
CLOCK_FILE = "clock.json"
# A few readings a second, beside topologies that do the real work: small, and started soon.
WORKER = "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"

Tell = Callable[[str], None]


@contextlib.contextmanager
def demo_lock(stack: Settings) -> Iterator[Path]:
    """The folder for a demo's state, for one demo at a time; raises `AlreadyRunning`."""
    folder = Path(stack.state_dir) / "demo"
    with state_lock(Settings.load(folder, {})):
        yield folder / "state"


class ForeignServers(RuntimeError):
    """The servers that the settings name are not those of the state folder."""


class DemoInstallation:
    """On the servers of `stack`, with its own state in `folder`; `tell` hears what is being done."""

    def __init__(self, stack: Settings, folder: Path, tell: Tell) -> None:
        kafka = Kafka.of_state(stack)
        if kafka is None:
            raise ForeignServers(f"{stack.log_url} was not started from {stack.state_dir}")
        self._stack, self._folder, self.tell = stack, folder.absolute(), tell
        self._kafka = kafka
        self._place = Place(stack.state_dir)
        self.storm = StormCluster(LOOPBACK, self._place.port("nimbus"))
        self._submission: Submission | None = None

    def create(self, *, scale: int, wall_ms: int) -> tuple[Settings, ScaledClock]:
        """Settings that name all of it, and a clock that stands; removes what was left behind."""
        self.remove()
        self.tell("making topics and schemas")
        make_folder(self._folder)
        (self._folder / "secrets").symlink_to(self._place.secrets, target_is_directory=True)
        lines = [f"{name} = {json.dumps(value)}" for name, value in self._own(scale).items()]
        write_private(self._folder / PROFILE_FILE_NAME, "\n".join(lines) + "\n")
        clock = ScaledClock.create(self._folder / CLOCK_FILE, scale=scale, wall_ms=wall_ms)
        settings = Settings.load(self._folder, {})
        prepare_patiently(settings)
        return settings, clock

    def uplink_to(self, settings: Settings, gateway_id: int) -> Uplink:
        """By Kafka's edge, with a certificate that may write the demo's two topics."""
        number = FIRST_CERTIFICATE + gateway_id
        folder = self._folder / "gateways" / f"{gateway_id}-certificates"
        self._kafka.write_gateway_certificates(number, folder)
        self._kafka.allow_gateway(number, settings)
        return uplink_for(self._kafka.uplink_url, SystemClock(), certificates=folder)

    def submit(self, settings: Settings, names: tuple[str, ...]) -> None:
        """Run topologies; raises `SubmissionError`."""
        submission = Submission(self._place, folder=self._folder / "project", settings=settings)
        self.tell("building the topologies' jar")
        submission.prepare()
        for name in names:
            submission.submit(name, "-o", f"topology.worker.childopts={WORKER}")
            self.tell(f"{PREFIX}{name} is submitted")

    def kill(self) -> None:
        """End its topologies; those that are not there do not matter."""
        for found in self.storm.topologies():
            if found.name.startswith(PREFIX):
                with contextlib.suppress(NoSuchTopology):
                    self.storm.kill(found.name)

    def remove(self) -> None:
        """Everything that this demo has made, or an earlier one has left behind."""
        self.tell("removing what a demo has made")
        self.kill()
        self._kafka.access.remove_all(PREFIX)
        Cassandra(self._place).drop(KEYSPACE, RAW_KEYSPACE)
        Redis(self._place).empty(REDIS_DATABASE)
        cql = urlsplit(self._stack.raw_url).netloc
        KairosDb(self._place, cassandra=cql).delete_metrics(METRIC_PREFIX)
        for path in self._place.authority.folder.glob(f"gateway-{FIRST_CERTIFICATE // 10**6}*"):
            path.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)

    def leave(self) -> None:
        """As `remove`; what cannot be removed now is told, and left to the next demo."""
        try:
            self.remove()
        except Exception as exc:  # noqa: BLE001  # a server went away: the outcome matters more
            self.tell(f"not everything could be removed, the next demo will: {exc}")

    def _own(self, scale: int) -> dict[str, str | int]:
        cql = f"cassandra://{urlsplit(self._stack.raw_url).netloc}"
        redis = f"rediss://{urlsplit(self._stack.state_url).netloc}/{REDIS_DATABASE}"
        # KairosDB remembers the series of a metric that was deleted: no two demos share a name.
        prefix = f"{METRIC_PREFIX}{uuid.uuid4().hex[:8]}."
        topics = {f"{name}_topic": getattr(self._stack, f"{name}_topic") for name in TOPIC_SETTINGS}
        return {
            "log_url": self._stack.log_url,
            "registry_url": f"{cql}/{KEYSPACE}",
            "alert_log_url": f"{cql}/{KEYSPACE}",
            "raw_url": f"{cql}/{RAW_KEYSPACE}",
            "readings_url": f"{self._stack.readings_url}?prefix={prefix}",
            "state_url": redis,
            "last_seen_url": redis,
            "notifier_url": "file:notifications.jsonl",
            **{name: PREFIX + topic for name, topic in topics.items()},
            "topology_prefix": PREFIX,
            "clock_url": f"scaled:{CLOCK_FILE}",
            "partitions": 2,
            "shards": 2,
            "commit_interval_ms": 250,
            "window_ms": 500,
            "loader_look_ms": max(250, 60_000 // scale),
        }
