"""Which servers a profile starts, in which order, and what makes Qold use them."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.services.place import LOOPBACK, Place
from local.services.servers import Server
from qold.private_files import make_folder, write_private
from qold.settings import PROFILE_FILE_NAME

EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Stack:
    """`waves` are started one after the other, the servers of one together."""

    profile: str
    waves: Sequence[Sequence[Server]] = ()
    settings: Mapping[str, str | int] = field(default_factory=dict)
    is_on_storm: bool = False

    @property
    def servers(self) -> list[Server]:
        return [server for wave in self.waves for server in wave]

    def missing_tools(self) -> dict[str, str]:
        """Executables that are not there, each with the Debian package that provides it."""
        return {
            tool: package
            for server in self.servers
            for tool, package in server.tools.items()
            if shutil.which(tool) is None
        }


def stack(profile: str, place: Place, *, brokers: int = 1) -> Stack:
    """The servers of a profile in a place; ports are chosen here, nothing is started."""
    if profile == EMBEDDED:
        return Stack(profile)
    # Their clients take a second to load, which commands of the embedded profile do not have.
    from local.services.cassandra import Cassandra
    from local.services.kafka import Kafka
    from local.services.kairosdb import KairosDb
    from local.services.nginx import Nginx
    from local.services.nimbus import Nimbus
    from local.services.redis import Redis
    from local.services.storm_ui import StormUi
    from local.services.supervisor import Supervisor
    from local.services.zookeeper import ZooKeeper

    settings: dict[str, str | int] = {"profile": profile, "brokers": brokers}
    first: list[Server] = []
    second: list[Server] = []
    third: list[Server] = []
    if profile in ("kafka", "thesis", "full"):
        kafkas = Kafka.cluster(place, brokers, thesis=profile == "thesis")
        first += kafkas
        settings["log_url"] = kafkas[0].log_url
    if profile in ("storage", "full"):
        cassandra, redis = Cassandra(place), Redis(place)
        cql = f"{LOOPBACK}:{cassandra.port}"
        kairosdb = KairosDb(place, cassandra=cql)
        nginx = Nginx(place, kairosdb_port=kairosdb.port)
        first += [cassandra, redis]
        second.append(kairosdb)
        third.append(nginx)
        settings["registry_url"] = f"cassandra://{cql}/qold"
        settings["alert_log_url"] = f"cassandra://{cql}/qold"
        settings["raw_url"] = f"cassandra://{cql}/qold_raw"
        settings["readings_url"] = nginx.readings_url
        settings["state_url"] = f"rediss://{LOOPBACK}:{redis.port}/0"
        settings["last_seen_url"] = f"rediss://{LOOPBACK}:{redis.port}/0"
    is_on_storm = profile == "full"
    if is_on_storm:
        first.append(ZooKeeper(place))
        second.append(Nimbus(place))
        third += [Supervisor(place), StormUi(place)]
    waves = [wave for wave in (first, second, third) if wave]
    return Stack(profile, waves, settings, is_on_storm)


def write_settings(state_dir: str | Path, found: Stack) -> None:
    """Make every command in this state folder use the stack, from now on."""
    path = Path(state_dir) / PROFILE_FILE_NAME
    if not found.settings:
        path.unlink(missing_ok=True)
        return
    make_folder(path.parent)
    lines = [f"{name} = {json.dumps(value)}" for name, value in found.settings.items()]
    head = "# Written by ./qold up; what qold.toml says wins."
    write_private(path, "\n".join([head, *lines]) + "\n")
