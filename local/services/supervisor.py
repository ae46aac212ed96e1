"""Storm's Supervisor, which runs the workers, under a guard that ends them with it."""

import sys
from collections.abc import Mapping

from local.programs import ROOT, Program
from local.services import storm
from local.services.place import LOOPBACK, Place
from local.services.servers import Tell
from local.storm_cluster import ClusterAway, StormCluster

# The guard needs seconds. Killed before it is through, on a machine that is busy with all that ends,
# it would leave workers to nobody.
STOP_S = 180.0


class Supervisor:
    """The server of one state folder. A worker outlives its Supervisor, as on every cluster.

    A further `node` is what another machine would be: a Supervisor with workers of its own.
    """

    tools = storm.TOOLS

    def __init__(self, place: Place, node: int = 1) -> None:
        self.name = "supervisor" if node == 1 else f"supervisor-{node}"
        self._place, self._node = place, node
        self._nimbus_port = place.port("nimbus")

    def prepare(self, tell: Tell) -> Program:
        storm.assemble(self._place, tell)
        if self._node > 1:
            storm.configure_node(self._place, self._node)
        guard = ROOT / "local" / "services" / "guard.py"
        command = (sys.executable, "-P", str(guard), str(storm.COMMANDS / "storm"), "supervisor")
        environ = storm.environment(self._place, self._node)
        return Program(self.name, command, environ, stop_s=STOP_S)

    def is_ready(self) -> bool:
        try:
            found = StormCluster(LOOPBACK, self._nimbus_port).supervisors()
            return len(found) >= self._node
        except ClusterAway:
            return False

    def settle(self) -> None:
        """Nothing: Nimbus tells it what to run."""

    def addresses(self) -> Mapping[str, str]:
        return {}

    def settings(self) -> Mapping[str, str]:
        return {}
