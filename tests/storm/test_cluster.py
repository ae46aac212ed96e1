"""Every topology submitted to a cluster on this machine, on the real stores, with a ledger."""

import json
import os
import subprocess

import pytest

from local.bench.full.installation import Installation
from local.bench.full.run import figures_on
from local.bench.full.topologies import TOPOLOGIES
from local.bench.workload import Workload
from local.services import storm
from local.storm_cluster import StormCluster
from local.storm_submission import Submission
from local.supervision import prepare_patiently
from local.topologies import topology_names
from qold.clock import SystemClock
from qold.settings import Settings
from tests.support.commands import command_line, environment
from tests.support.processes import wait_until
from tests.support.storm_site import QUICK, REASONS, StormSite

PATIENCE_S = 600
OPTIONS = {
    # Two workers: what Kryo does not know ends them, in one worker it is never asked.
    "authentication": ("topology.workers=2",),
    "thresholds": ("topology.workers=2",),
}
TRY_SERIALIZE = ("topology.testing.always.try.serialize=true",)

pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


class Cluster:
    """Servers, topologies and a site on them."""

    def __init__(self, servers, full):
        self.place = servers.place
        (self.place.state / "qold.toml").write_text("commit_interval_ms = 200\n", "utf-8")
        self.settings = Settings.load(self.place.state, {})
        prepare_patiently(self.settings)
        self.site = StormSite(self.settings, seed=7)
        self.storm = StormCluster("127.0.0.1", self.place.port("nimbus"))
        self.submission = Submission(self.place)
        self.submission.prepare()
        for name in topology_names():
            options = (*OPTIONS.get(name, TRY_SERIALIZE), QUICK)
            self.submission.submit(name, *(word for one in options for word in ("-o", one)))
        self._servers = servers
        self._names = [server.name for server in full.servers]

    def wait_for_no_lag(self):
        self.site.wait_for_no_lag(self._servers.restart_dead, patience_s=PATIENCE_S)

    def installation(self):
        """What benches measure on."""
        return Installation(
            self.settings,
            place=self.place,
            storm=self.storm,
            submission=self.submission,
            pids=lambda: {name: self._servers.pid(name) for name in self._names},
            start=lambda server: self._servers.use(lambda place: server),
            tag="test-bench",
        )

    def qold(self, *words):
        """A command on this state folder: what it prints."""
        done = subprocess.run(
            command_line(*words),
            env=environment(QOLD_STATE=self.place.state),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cluster(servers, full):
    return Cluster(servers, full)


def test_everything_sent_is_where_it_belongs(cluster, tmp_path):
    """Twice: once while workers start, and once more when they run."""
    site = cluster.site
    for reports in (60, 60):
        site.send(reports)
        cluster.wait_for_no_lag()
    verdict = site.verdict()
    assert verdict.is_exact, verdict.examples
    assert site.found_refused() == site.refused
    assert {reason for reason, _, _ in site.refused} == REASONS
    assert not site.dead_letters()
    expected = site.alerts_in_one_process(tmp_path)
    assert site.alerts() == expected
    assert expected


def test_two_workers_were_two_and_kryo_knew_every_value(cluster):
    expected = {name: 2 if name in OPTIONS else 1 for name in topology_names()}

    def workers():
        return {topology.name: topology.workers for topology in cluster.storm.topologies()}

    wait_until(lambda: workers() == expected, "workers", patience_s=PATIENCE_S, look_s=0.5)
    for name in expected:
        errors = [component.last_error for component in cluster.storm.topology(name).components]
        assert not [error for error in errors if "registered" in error], name


def test_storm_stats_tells_each_component(cluster):

    def read():
        (found,) = json.loads(cluster.qold("storm", "stats", "raw", "--json"))
        return {component["name"]: component for component in found["components"]}

    # Workers tell Nimbus what they did once in a while.
    wait_until(lambda: read()["readings"]["acked"], "acked", patience_s=PATIENCE_S, look_s=1.0)
    components = read()
    assert components.keys() == {"readings", "parser", "cassandra_bolt"}
    assert components["readings"]["acked"] > 0
    # A store on a busy machine may let a tuple fail: it is replayed, and the ledger above is exact.
    assert components["readings"]["failed"] < components["readings"]["acked"]
    assert components["parser"]["executed"] > 0


def test_sparse_lists_and_tells_stats(cluster):
    sparse = cluster.submission.sparse
    listed = sparse("list", "-e", "local")
    assert all(f" {name} " in listed for name in ("raw", "alert", "system"))  # it wraps longer ones
    assert " parser " in sparse("stats", "-n", "raw", "-e", "local")
    assert "127.0.0.1" in sparse("stats", "-e", "local")
    one = sparse("stats", "-n", "raw", "-c", "parser", "-e", "local")
    assert "Bolt stats" in one


def test_a_topology_of_another_name_can_be_submitted_and_killed(cluster):
    """As people do it in a shell, after `eval "$(./qold storm env)"`."""
    environ = {**os.environ, **storm.environment(cluster.place)}

    def sparse(*words):
        where = {"cwd": cluster.submission.folder, "env": environ}
        return subprocess.run(
            ["sparse", *words, "-e", "local"], capture_output=True, text=True, check=True, **where
        ).stdout

    sparse("submit", "-n", "raw", "-N", "raw-again")
    assert "raw-again" in sparse("list")
    sparse("kill", "-n", "raw-again", "--wait", "0")
    wait_until(
        lambda: "raw-again" not in {found.name for found in cluster.storm.topologies()},
        "it is gone",
        patience_s=PATIENCE_S,
    )


def test_benches_end_with_clean_ledgers(cluster):
    """Tiny, on this cluster: what is measured is right, how fast it was is of no matter."""
    names = ["log", *TOPOLOGIES, "legacy", "kairosdb"]
    tiny = Workload("backlog", 20, 10, SystemClock().wall_ms() // 1000)
    told = []
    found = list(
        figures_on(cluster.installation(), names, [tiny], 1, told.append, first_id=1_000_000)
    )
    assert not [(row.bench, row.ledger, row.problems) for row in found if not row.clean], told
    assert {row.bench for row in found} >= {*names}
