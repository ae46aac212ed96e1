"""Apache Storm on this machine: its home, made of Maven's jars, its configuration, its environment."""

import base64
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from local.programs import ROOT
from local.services import artifacts
from local.services.exact_folder import hold_exactly
from local.services.java_classes import TOOLS as JAVAC
from local.services.java_classes import OwnJar
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell
from qold.private_files import make_folder

VERSION = "2.8.3"
SLOTS = 16  # seven topologies, those of a demo beside them, and two more
START_S, SILENT_S = 240, 60
"""So long a worker may take to start, and may say nothing, before its Supervisor starts it again."""
LAUNCH_S, LOST_S = 600, 240
"""The same for Nimbus, which then gives its work to another slot."""
SMALL = "-Xmx256m -XX:+UseSerialGC"
QUICK_START = "-XX:TieredStopAtLevel=1"  # for what starts often and computes little
TOOLS: Mapping[str, str] = {
    "java": "openjdk-17-jdk-headless",
    **JAVAC,
    "mvn": "maven",
    "lein": "leiningen",
    "ps": "procps",
}
COMMANDS = ROOT / "deploy" / "storm"
# Storm listens on one address with these classes, and on loopback for one user.
OWN_JAR = OwnJar("qold-storm", COMMANDS / "java", "storm")
# flux-core names a parent POM that Maven Central does not have; it says nothing that matters.
STUBS = {f"org.apache.storm:flux:{VERSION}": f"org.apache.storm:storm:{VERSION}"}
ZOOKEEPER_USER = "storm"
_FOLDERS = {"lib": "storm", "lib-worker": "storm-worker", "lib-flux": "storm-flux"}


def assemble(place: Place, tell: Tell) -> Path:
    """STORM_HOME of a state folder, configured; raises `ArtifactsError`."""
    home = home_folder(place)
    make_folder(home)
    # Storm loads classes from the first and runs what is in the second.
    for folder in ("extlib-daemon", "healthchecks"):
        hold_exactly(home / folder, {})
    _link(home / "log4j2", COMMANDS)
    for path in (log_folder(place), log_folder(place) / "workers-artifacts", data_folder(place)):
        make_folder(path)
    zoo_cfg = "\n".join(_zoo_cfg(place)) + "\n"
    storm_yaml = _as_yaml(_storm_yaml(place))
    hold_exactly(home / "conf", {"storm.yaml": storm_yaml, "zoo.cfg": zoo_cfg.encode("ascii")})
    for folder, lock in _FOLDERS.items():
        target = artifacts.fetch(lock, tell=partial(_tell_jars, tell, folder), stubs=STUBS)
        _link(home / folder, target)
    OWN_JAR.install(home, home / "lib")
    return home


def configure_node(place: Place, node: int) -> None:
    """The configuration of a Supervisor besides the first: folders and ports of its own."""
    ports = [place.port(f"node-{node}-worker-{slot}") for slot in range(1, SLOTS + 1)]
    own = {
        "storm.local.dir": str(data_folder(place).with_name(f"data-{node}")),
        "supervisor.thrift.port": place.port(f"supervisor-{node}"),
        "supervisor.slots.ports": ports,
    }
    hold_exactly(conf_folder(place, node), {"storm.yaml": _as_yaml(_storm_yaml(place) | own)})


def conf_folder(place: Place, node: int = 1) -> Path:
    return home_folder(place) / ("conf" if node == 1 else f"conf-{node}")


def environment(place: Place, node: int = 1) -> dict[str, str]:
    """What `storm`, `sparse` and the daemons need to know; laid over the environment."""
    own = (str(COMMANDS), str(Path(sys.executable).parent))
    before = [entry for entry in os.environ.get("PATH", "").split(":") if entry not in own]
    return {
        "PATH": ":".join([*own, *before]),
        "STORM_HOME": str(home_folder(place)),
        "STORM_CONF_DIR": str(conf_folder(place, node)),
        "STORM_LOG_DIR": str(log_folder(place)),
        "STREAMPARSE_NIMBUS": f"{LOOPBACK}:{place.port('nimbus')}",
        "QOLD_STATE": str(place.state),
        "LEIN_ROOT": "1",  # as root, lein would otherwise ask and wait
        **{f"STORM_{name}_OPTS": f"{SMALL} {QUICK_START}" for name in ("NIMBUS", "SUPERVISOR")},
        "STORM_ZOOKEEPER_OPTS": f"-Xmx128m -XX:+UseSerialGC {QUICK_START}",
        "CLASSPATH": "",
        "PYTHONPATH": "",  # components import what is in the topology's jar
    }


def home_folder(place: Place) -> Path:
    return place.state / "services" / "storm" / "home"


def data_folder(place: Place) -> Path:
    return place.state / "services" / "storm" / "data"


def log_folder(place: Place) -> Path:
    """Daemons' logs; `workers-artifacts/<topology>/<port>/worker.log` are those of the workers."""
    return place.state / "logs" / "storm"


def zookeeper_digest(place: Place) -> str:
    """The digest by which ZooKeeper knows Nimbus and Supervisor; the password cannot be had of it."""
    login = _zookeeper_login(place).encode()
    digest = hashlib.sha1(login, usedforsecurity=False).digest()  # ZooKeeper knows no other
    return f"{ZOOKEEPER_USER}:{base64.b64encode(digest).decode('ascii')}"


def _zookeeper_login(place: Place) -> str:
    return f"{ZOOKEEPER_USER}:{place.password('storm.zookeeper')}"


def _storm_yaml(place: Place) -> dict[str, object]:
    logs = log_folder(place)
    return {
        "storm.zookeeper.servers": [LOOPBACK],
        "storm.zookeeper.port": place.port("zookeeper"),
        "nimbus.seeds": [LOOPBACK],
        "nimbus.thrift.port": place.port("nimbus"),
        # The address of storm.local.hostname and no other; over loopback, its own user only.
        "storm.thrift.transport": "qold.storm.BoundTransport",
        "storm.messaging.transport": "qold.storm.BoundMessaging",
        # One login at ZooKeeper, of Nimbus, Supervisor and workers, to whom its nodes belong.
        "storm.zookeeper.auth.scheme": "digest",
        "storm.zookeeper.auth.payload": _zookeeper_login(place),
        "storm.zookeeper.superACL": f"digest:{zookeeper_digest(place)}",
        "nimbus.topology.validator": "qold.storm.ClusterLogin",
        # Storm's own check at Nimbus' start expects a login per topology, and would end Nimbus.
        "storm.nimbus.zookeeper.acls.check": False,
        "nimbus.monitor.freq.secs": 3,  # a submitted topology waits so long for its workers
        "storm.local.hostname": LOOPBACK,
        "storm.local.dir": str(data_folder(place)),
        "storm.log.dir": str(logs),
        "storm.workers.artifacts.dir": str(logs / "workers-artifacts"),
        "storm.health.check.dir": str(home_folder(place) / "healthchecks"),
        "supervisor.thrift.port": place.port("supervisor"),
        "supervisor.slots.ports": [place.port(f"worker-{slot}") for slot in range(1, SLOTS + 1)],
        "supervisor.memory.capacity.mb": 8192.0,
        # Ten workers that start at once on two cores are slow, not dead: with Storm's own two
        # minutes they would be killed as they become ready, and start again for ever.
        "nimbus.task.launch.secs": LAUNCH_S,
        "supervisor.worker.start.timeout.secs": START_S,
        # Where both lose patience at once, Storm moves a worker away while it is being started: the
        # Supervisor forgets that one before it has written down its process, and it keeps its port.
        "nimbus.task.timeout.secs": LOST_S,
        "supervisor.worker.timeout.secs": SILENT_S,
        "storm.zookeeper.session.timeout": 1000 * SILENT_S,
        "worker.childopts": SMALL,
        "topology.worker.logwriter.childopts": f"-Xmx16m -XX:+UseSerialGC {QUICK_START}",
        "worker.profiler.enabled": False,
    }


def _as_yaml(configuration: Mapping[str, object]) -> bytes:
    return json.dumps(configuration, indent=1).encode("ascii")  # JSON is YAML


def _zoo_cfg(place: Place) -> Iterable[str]:
    return (
        "tickTime=2000",
        f"dataDir={data_folder(place) / 'zookeeper'}",
        f"clientPort={place.port('zookeeper')}",
        f"clientPortAddress={LOOPBACK}",
        "serverCnxnFactory=qold.storm.CheckedConnections",
        "maxClientCnxns=0",
        "admin.enableServer=false",
        "autopurge.purgeInterval=1",
        "4lw.commands.whitelist=ruok",
    )


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink() or path.readlink() != target:
        path.unlink(missing_ok=True)
        path.symlink_to(target, target_is_directory=True)


def _tell_jars(tell: Tell, folder: str, have: int, want: int) -> None:
    tell(f"storm {folder}: {have} of {want} jars")
