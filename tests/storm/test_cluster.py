"""Every topology submitted to a cluster on this machine, on the real stores, with a ledger."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from local.bench.full.installation import Installation
from local.bench.full.run import figures_on
from local.bench.full.topologies import TOPOLOGIES
from local.bench.workload import Workload
from local.services import storm
from local.services.listening import beyond_loopback, listeners
from local.storm_cluster import StormCluster
from local.storm_submission import Submission
from local.supervision import prepare_patiently
from local.topologies import topology_names
from qold.clock import SystemClock
from qold.settings import Settings
from tests.support.commands import command_line, environment
from tests.support.doors import answers, answers_to_stranger, send_as_stranger_and_hang_up
from tests.support.processes import processes, wait_until
from tests.support.storm_site import QUICK, REASONS, StormSite
from tests.support.stranger import needs_root
from tests.support.zookeeper_client import NO_AUTH, ZooKeeperClient, ZooKeeperError, creation

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


def worker_ports(cluster):
    found = (cluster.storm.topology(name).ports for name in topology_names())
    return {port for ports in found for port in ports}


def test_the_whole_stack_listens_on_loopback_only(cluster):
    """Kafka, Cassandra, KairosDB, nginx, Redis, ZooKeeper, Nimbus, Supervisor, every worker, and UDP."""
    place = cluster.place
    names = ("kafka", "kafka.edge", "cassandra", "kairosdb", "nginx", "redis", "zookeeper")
    wanted = {place.port(name) for name in (*names, "nimbus", "supervisor", "storm-ui")}
    wanted |= worker_ports(cluster)
    assert len(wanted) >= 10 + len(topology_names())
    wait_until(
        lambda: wanted <= {found.port for found in listeners(os.getpid())},
        "all of them listen",
        patience_s=PATIENCE_S,
        look_s=0.5,
    )
    assert beyond_loopback(os.getpid()) == []


def test_nimbus_of_a_cluster_listens_on_its_own_address_and_where_a_tunnel_ends(cluster, tmp_path):
    """A second one, as it would be on another machine; `sparse` looks for it at localhost over SSH."""
    port = cluster.place.port("another-nimbus")
    yaml = json.loads((storm.conf_folder(cluster.place) / "storm.yaml").read_text("ascii"))
    yaml |= {"storm.local.hostname": "127.0.0.2", "nimbus.seeds": ["127.0.0.2"]}
    yaml |= {
        "nimbus.thrift.port": port,
        "storm.local.dir": str(tmp_path),
        "storm.zookeeper.root": "/b",
    }
    (tmp_path / "storm.yaml").write_text(json.dumps(yaml), "ascii")
    own = {"STORM_CONF_DIR": tmp_path, "STORM_LOG_DIR": tmp_path}
    command = [str(storm.COMMANDS / "storm"), "nimbus"]
    with processes(tmp_path) as running:
        nimbus = running.start("nimbus", command, **storm.environment(cluster.place) | own)
        wait_until(lambda: len(listeners(nimbus.pid)) == 2, "it listens", patience_s=PATIENCE_S)
        found = {(found.address, found.port) for found in listeners(nimbus.pid)}
        assert found == {("::ffff:127.0.0.1", port), ("::ffff:127.0.0.2", port)}
        assert all(StormCluster(f"127.0.0.{n}", port).nimbus_uptime_s() >= 0 for n in (1, 2))


@needs_root
def test_another_user_of_the_machine_gets_no_word_from_storm(cluster):
    """From any address of the machine; ours gets one, or a connection that waits for a question."""
    place = cluster.place
    ports = {place.port(name) for name in ("nimbus", "supervisor")} | worker_ports(cluster)
    question = (1 << 24).to_bytes(4, "big")  # the length of a Thrift frame that does not come
    assert set(answers_to_stranger(ports, question).values()) == {b""}
    zookeeper = {place.port("zookeeper")}
    assert set(answers_to_stranger(zookeeper, b"ruok").values()) == {b""}
    assert set(answers(zookeeper, b"ruok").values()) == {b"imok"}
    assert all(answers(worker_ports(cluster), b"").values()), "a worker greets who connects"
    assert cluster.storm.has_leader()


@needs_root
def test_another_user_who_hangs_up_at_once_is_not_taken_for_root(cluster):
    """As the kernel shows a socket whose process has closed it. ZooKeeper's root is open to all."""
    port = cluster.place.port("zookeeper")
    send_as_stranger_and_hang_up(port, creation("/planted"), times=20)
    with ZooKeeperClient(port) as ours:
        assert "planted" not in ours.children("/")
        ours.create("/planted")
        ours.delete("/planted")


def test_without_the_login_no_node_of_storm_can_be_read_or_written(cluster):
    """Who has it sees every node. Storm leaves one kind open: a number for each file in its store."""
    port = cluster.place.port("zookeeper")
    with ZooKeeperClient(port, digest="storm:guessed") as stranger:
        calls = (
            lambda: stranger.children("/storm"),
            lambda: stranger.data("/storm/storms"),
            lambda: stranger.create("/storm/planted"),
            lambda: stranger.delete("/storm/nimbuses"),
        )
        for call in calls:
            with pytest.raises(ZooKeeperError) as caught:
                call()
            assert caught.value.code == NO_AUTH
    login = f"storm:{cluster.place.password('storm.zookeeper')}"
    with ZooKeeperClient(port, digest=login) as ours:
        nodes = ["/storm"]
        for node in nodes:
            nodes += [f"{node}/{name}" for name in ours.children(node)]
        owners = {
            node: {(entry.scheme, entry.id) for entry in ours.acl(node)}
            for node in nodes
            if not node.startswith("/storm/blobstoremaxkeysequencenumber/")
        }
    assert len(owners) > 20
    own = {("digest", storm.zookeeper_digest(cluster.place))}
    assert {node: found for node, found in owners.items() if found != own} == {}


def test_no_secret_of_the_stack_is_where_storm_shows_or_ships_it(cluster):
    """The topologies' jar, logs of daemons and workers, every command line; storm.yaml has one."""
    place = cluster.place
    found = (content(path).strip() for path in place.secrets.rglob("*") if path.suffix != ".pem")
    secrets = {secret for secret in found if secret}
    assert len(secrets) >= 6
    yaml = storm.conf_folder(place) / "storm.yaml"
    assert place.password("storm.zookeeper") in yaml.read_text("ascii")
    assert yaml.stat().st_mode & 0o777 == 0o600
    assert storm.home_folder(place).stat().st_mode & 0o777 == 0o700
    logs = [*storm.log_folder(place).rglob("*.log*")]
    with zipfile.ZipFile(cluster.submission.jar) as jar:
        shown = {name: jar.read(name) for name in jar.namelist()}
    shown |= {str(path): content(path) for path in (*logs, *Path("/proc").glob("[0-9]*/cmdline"))}
    holding = {name for name, text in shown.items() if any(secret in text for secret in secrets)}
    assert holding == set()
    masked = {path.name for path in logs if b"auth.payload=*****" in content(path)}
    assert masked >= {"nimbus.log", "supervisor.log", "worker.log"}


def content(path):
    """What is in a file, nothing where it is none or its process has ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


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
