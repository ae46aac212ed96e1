"""What tests on the real stack share: its servers, started once, and a Storm without topologies."""

import pytest

from local.services.profiles import stack, write_settings
from local.storm_cluster import StormCluster
from tests.support.processes import wait_until
from tests.support.servers import skip_without

PATIENCE_S = 600


@pytest.fixture(scope="session")
def full(servers):
    """The stack of profile full: every server answers, and the settings of its place name them."""
    servers.place.port("storm-ui")  # not the one that people's shells expect
    found = stack("full", servers.place)
    for server in found.servers:
        skip_without(server)
    write_settings(servers.place.state, found)
    servers.use_together(found.waves)
    return found


@pytest.fixture(scope="module")
def place(full, servers):
    """The place of that stack, where no topology runs when the module begins and when it ends."""
    cluster = StormCluster("127.0.0.1", servers.place.port("nimbus"))
    end_topologies(cluster)
    yield servers.place
    end_topologies(cluster)


def end_topologies(cluster):
    for topology in cluster.topologies():
        cluster.kill(topology.name)
    wait_until(lambda: not cluster.topologies(), "nothing runs", patience_s=PATIENCE_S)
