"""Nimbus, the master of Storm's cluster: takes topologies and gives their work to workers."""

from collections.abc import Mapping

from local.programs import Program
from local.services import storm
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell
from local.storm_cluster import ClusterAway, StormCluster


class Nimbus:
    """The server of one state folder; without authentication, so on loopback only."""

    name = "nimbus"
    tools = storm.TOOLS

    def __init__(self, place: Place) -> None:
        self._place = place
        self.port = place.port("nimbus")

    def prepare(self, tell: Tell) -> Program:
        storm.assemble(self._place, tell)
        command = (str(storm.COMMANDS / "storm"), "nimbus")
        return Program(self.name, command, storm.environment(self._place), stop_s=15.0)

    def is_ready(self) -> bool:
        try:
            return StormCluster(LOOPBACK, self.port).has_leader()
        except ClusterAway:
            return False

    def settle(self) -> None:
        """Nothing: topologies are submitted when every server is ready."""

    def addresses(self) -> Mapping[str, str]:
        return {"Nimbus (STREAMPARSE_NIMBUS)": f"{LOOPBACK}:{self.port}"}

    def settings(self) -> Mapping[str, str]:
        return {}
