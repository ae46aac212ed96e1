"""`config.json`'s environment prod-ssh: virtualenvs are installed on a worker over SSH, and used."""

import importlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from local.programs import ROOT
from local.services import storm
from local.services.nimbus import Nimbus
from local.services.place import Place
from local.services.supervisor import Supervisor
from local.services.zookeeper import ZooKeeper
from local.storm_submission import Submission
from qold.settings import Settings
from tests.support.processes import processes, wait_until
from tests.support.servers import Servers, needs_storm
from tests.support.ssh_worker import SshWorker, skip_without_ssh
from tests.support.storm_site import StormSite

PATIENCE_S = 600
NAME, CLASS = "authentication", "Authentication"

pytestmark = [
    pytest.mark.timeout(3 * PATIENCE_S),
    needs_storm,
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A state folder of its own: Storm, and the embedded stores."""
    state = tmp_path_factory.mktemp("prod-ssh")
    (state / "qold.toml").write_text("commit_interval_ms = 200\n", "utf-8")
    return Place(state)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    skip_without_ssh()
    folder = tmp_path_factory.mktemp("ssh")
    with processes(folder) as running:
        yield SshWorker(folder, running)


@pytest.fixture(scope="module")
def sparse(place, worker, tmp_path_factory):
    """`sparse` as who owns the project would run it; hosts, log and folder are those of this test."""
    project = tmp_path_factory.mktemp("project")
    for name in ("src", "topologies", "virtualenvs", "project.clj"):
        (project / name).symlink_to(ROOT / name)
    config = json.loads((ROOT / "config.json").read_text("utf-8"))
    config["envs"]["prod-ssh"] |= {
        "user": worker.user,
        "nimbus": f"nimbus.qold.internal:{place.port('nimbus')}",
        "virtualenv_root": str(worker.virtualenvs),
        "log": {**config["envs"]["prod-ssh"]["log"], "path": str(worker.logs)},
    }
    (project / "config.json").write_text(json.dumps(config), "utf-8")
    environ = {**os.environ, **storm.environment(place), "HOME": str(worker.home)}
    environ["PATH"] = f"{worker.commands}:{environ['PATH']}"
    del environ["STREAMPARSE_NIMBUS"]  # it would win over config.json

    def run(*words):
        done = subprocess.run(
            [str(storm.COMMANDS / "sparse"), *words, "-n", NAME, "-e", "prod-ssh"],
            cwd=project,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    return run


def listed(path):
    """Name -> version of what a list names for every Python."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", path.read_text("utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in lines}


def normal(name):
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_update_virtualenv_installs_what_the_topologys_list_names(sparse, worker):
    said = sparse("update_virtualenv")
    assert "[worker-1.qold.internal]" in said
    python = worker.virtualenvs / NAME / "bin" / "python"
    told = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed = {normal(found["name"]): found["version"] for found in json.loads(told)}
    wanted = listed(ROOT / "virtualenvs" / f"{NAME}.txt")
    assert {"streamparse", "cassandra-driver", "confluent-kafka"} <= wanted.keys()
    assert wanted.items() <= installed.items()


@pytest.fixture(scope="module")
def cluster(place):
    """Storm's daemons; everything else of the stack is left out."""
    servers = Servers(place.state)
    servers.use_together([[ZooKeeper(servers.place)], [Nimbus(place)], [Supervisor(place)]])
    yield servers
    servers.close()


def test_each_component_runs_from_the_topologys_own_virtualenv(sparse, worker, cluster, place):
    site = StormSite(Settings.load(place.state, {}), seed=8)
    site.send(reports=60)
    submission = Submission(place)
    submission.prepare()
    said = sparse("submit", "--local_jar_path", submission.jar)
    assert "ssh tunnel to Nimbus nimbus.qold.internal" in said
    topology = getattr(importlib.import_module(f"topologies.{NAME}"), CLASS)
    specs = [*topology.thrift_spouts.values(), *topology.thrift_bolts.values()]
    components = {
        (getattr(spec, "spout_object", None) or spec.bolt_object).shell.script for spec in specs
    }
    run = str(worker.virtualenvs / NAME / "bin" / "streamparse_run")

    def is_running():
        cluster.restart_dead()
        running = {words[-1].split()[-1] for words in command_lines() if run in words}
        return running == components

    wait_until(is_running, "every component runs", patience_s=PATIENCE_S, look_s=0.5)
    wait_until(
        lambda: site.has_read_all(NAME), "everything is read", patience_s=PATIENCE_S, look_s=0.5
    )
    assert site.found_refused() == site.refused
    assert any(worker.logs.iterdir())


def command_lines():
    """Of every process that can be seen."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
        except OSError:
            continue  # it ended
