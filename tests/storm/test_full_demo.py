"""A demo on real servers: an hour of a small fleet in a minute, with its oracle, and nothing left."""

import http.client
import json
import ssl
from dataclasses import replace

import pytest

from local.demo import Demo
from local.demo_embedded import EmbeddedWorld
from local.demo_full import FullWorld
from local.demo_installation import DemoInstallation
from local.demo_outcome import Plan
from local.services.kafka import Kafka
from local.services.kairosdb import authorization
from local.simulator.refrigerator import Refrigerator
from local.storm_cluster import StormCluster
from qold import wiring
from qold.adapters.cassandra_session import CassandraSession
from qold.clock import SystemClock
from qold.ports import METRICS
from qold.settings import Settings
from tests.support.processes import wait_until

START_S = 1_795_392_000
SCALE = 60
FAULTS = (
    *("crc", "retransmit", "duplicate", "reset", "badtoken", "unknown"),
    *("inactive", "badgateway", "clock", "sensor"),
)
PATIENCE_S = 600
SAME = (
    *("sent", "acknowledged", "authenticated", "rejected", "link", "stored"),
    *("missing", "unexpected", "duplicates", "alerts_missing", "alerts_unexpected"),
)

pytestmark = pytest.mark.timeout(6 * PATIENCE_S)


class Unseen:
    """A view that keeps what it was told."""

    def __init__(self):
        self.progress = []

    def started(self, fleet):
        """Nothing."""

    def moved(self, progress, heard):
        self.progress.append((progress.at_s, progress.lost))


@pytest.fixture(scope="module")
def plan():
    sources = [Refrigerator(n, seed=3, start_s=START_S, hours=1) for n in range(20)]
    return Plan(sources=sources, gateways=2, seed=3, speed=0, faults=FAULTS)


@pytest.fixture(scope="module")
def others(place):
    """How many points were there before, of whoever used these servers."""
    return points(place)


@pytest.fixture(scope="module")
def ran(place, plan, others, tmp_path_factory):
    """What the demo told: outcome, view, its own settings, all it has on the servers, and its words."""
    view, words = Unseen(), []
    stack_settings = Settings.load(place.state, {})
    folder = tmp_path_factory.mktemp("demo") / "state"
    installation = DemoInstallation(stack_settings, folder, words.append)
    world = FullWorld(plan, installation, scale=SCALE)
    try:
        outcome = Demo(plan, world, view).run()
        there = belongings(place, stack_settings)
    finally:
        installation.remove()
    return outcome, view, world.settings, there, words


def points(place):
    """Of metrics that are not a demo's."""
    store = wiring.reading_store(Settings.load(place.state, {}), SystemClock())
    counts = {metric: store.count(metric) for metric in METRICS}
    store.close()
    return counts


def belongings(place, settings):
    """What any demo has on the servers, by kind."""
    kafka = Kafka.of_state(settings)
    session = CassandraSession(
        ["127.0.0.1"], place.port("cassandra"), "qold", "registry", place.secrets
    )
    rows = session.execute("SELECT keyspace_name FROM system_schema.keyspaces")
    session.close()
    groups = kafka.access.admin.list_consumer_groups().result(10).valid
    context = ssl.create_default_context(cafile=str(place.authority.ca))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", place.port("kairosdb"), timeout=10, context=context
    )
    connection.request(
        "GET", "/api/v1/metricnames", headers={"Authorization": authorization(place)}
    )
    metrics = json.loads(connection.getresponse().read())["results"]
    connection.close()
    return {
        "topics": {name for name in kafka.access.topics() if name.startswith("demo-")},
        "rights": {
            right.name
            for number in (1, 2)
            for right in kafka.access.allowed(f"gateway-{900_000_000 + number}")
        },
        "consumers": {one.group_id for one in groups if one.group_id.startswith("demo-")},
        "keyspaces": {row.keyspace_name for row in rows if "demo" in row.keyspace_name},
        "metrics": {name.rpartition(".")[2] for name in metrics if name.startswith("demo.")},
        "certificates": {path.name for path in place.authority.folder.glob("gateway-9*.pem")},
    }


def test_with_ten_faults_all_is_exact(ran):
    outcome = ran[0]
    assert outcome.is_exact, (outcome.verdict.examples, outcome.alerts.examples, outcome.link)


def test_the_same_seed_has_the_same_result_as_in_one_process(ran, plan, tmp_path):
    embedded = Demo(plan, EmbeddedWorld(plan, Settings.load(tmp_path, {})), Unseen()).run()
    full, one = ran[0].as_dict(), embedded.as_dict()
    assert {key: full[key] for key in SAME} == {key: one[key] for key in SAME}
    assert min(full["rejected"].values()) >= 3
    # What happens in the last minute may be told too late for the verdict, which knows that.
    assert full["alerts"].keys() <= one["alerts"].keys()


def test_it_tells_how_far_it_is(ran):
    _, view, _, _, words = ran
    times = [at_s for at_s, _ in view.progress]
    assert times == sorted(times)
    assert {lost for _, lost in view.progress} == {None}
    assert "demo-system is submitted" in words


def test_what_it_had_was_its_own_and_is_gone(ran, others, place):
    _, _, settings, there, _ = ran
    assert there["topics"] >= {"demo-reports", "demo-readings", "demo-reports.rejected"}
    assert there["rights"] == {"demo-reports", "demo-gateway.events"}
    assert there["consumers"] >= {"demo-raw.readings", "demo-authentication.reports"}
    assert there["keyspaces"] == {"qold_demo", "qold_demo_raw"}
    assert there["metrics"] == {"Temperature", "Battery"}
    assert len(there["certificates"]) >= 2
    cluster = StormCluster("127.0.0.1", place.port("nimbus"))
    wait_until(lambda: not cluster.topologies(), "its topologies are gone", patience_s=PATIENCE_S)
    stack_settings = Settings.load(place.state, {})

    def is_clean():
        return not any(belongings(place, stack_settings).values())

    wait_until(is_clean, "nothing is left", patience_s=PATIENCE_S, look_s=1.0)
    its = replace(settings, state_dir=str(place.state))  # whose secrets these are
    assert wiring.last_seen(its, SystemClock()).overdue(2**53) == []
    assert points(place) == others
