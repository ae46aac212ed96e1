"""Apache ZooKeeper, where Nimbus and Supervisor keep what Storm's cluster is doing."""

import shutil
import socket
from collections.abc import Mapping

from local.programs import Program
from local.services import storm
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell

# In its data folder: to which login the nodes of this data belong.
OWNER = "owner"


class ZooKeeper:
    """The server of one state folder; without TLS, so on loopback only, and for its own user only."""

    name = "zookeeper"
    tools = storm.TOOLS

    def __init__(self, place: Place) -> None:
        self._place = place
        self.port = place.port("zookeeper")

    def prepare(self, tell: Tell) -> Program:
        storm.assemble(self._place, tell)
        self._discard_nodes_of_others()
        command = (str(storm.COMMANDS / "storm"), "zookeeper")
        return Program(self.name, command, storm.environment(self._place), stop_s=10.0)

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as connection:
                connection.sendall(b"ruok")
                return connection.recv(16) == b"imok"
        except OSError:
            return False

    def settle(self) -> None:
        """Nothing: Nimbus makes what it needs."""

    def addresses(self) -> Mapping[str, str]:
        return {"ZooKeeper": f"{LOOPBACK}:{self.port}"}

    def settings(self) -> Mapping[str, str]:
        return {}

    def _discard_nodes_of_others(self) -> None:
        """Start empty where nodes are open to everybody, or belong to a login that is lost.

        `up` submits every topology again.
        """
        folder = storm.data_folder(self._place) / "zookeeper"
        owner = folder / OWNER
        digest = storm.zookeeper_digest(self._place)
        if owner.exists() and owner.read_text("ascii") == digest:
            return
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        owner.write_text(digest, "ascii")
