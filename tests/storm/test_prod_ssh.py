"""`config.json`'s environment prod-ssh: virtualenvs are installed on a worker over SSH, and used."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from local.programs import ROOT
from local.services import storm
from local.storm_submission import Submission
from local.topologies import load_topology, topology_names
from qold.settings import Settings
from tests.support.processes import processes, wait_until
from tests.support.servers import needs_storm
from tests.support.ssh_worker import SshWorker, skip_without_ssh
from tests.support.storm_site import QUICK, StormSite

PATIENCE_S = 600

pytestmark = [
    pytest.mark.timeout(3 * PATIENCE_S),
    needs_storm,
]


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
            [str(storm.COMMANDS / "sparse"), *words, "-e", "prod-ssh"],
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
    lines = re.findall(r"^([\w.-]+)==(\S+) \\$", path.read_text("utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in lines}


def normal(name):
    """As PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", topology_names())
def test_update_virtualenv_installs_what_the_topologys_list_names(name, sparse, worker):
    said = sparse("update_virtualenv", "-n", name)
    assert "[worker-1.qold.internal]" in said
    python = worker.virtualenvs / name / "bin" / "python"
    told = subprocess.run(
        [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed = {normal(found["name"]): found["version"] for found in json.loads(told)}
    wanted = listed(ROOT / "virtualenvs" / f"{name}.txt")
    assert {"streamparse", "cassandra-driver", "confluent-kafka"} <= wanted.keys()
    assert wanted.items() <= installed.items()


def test_every_component_runs_from_its_topologys_virtualenv_on_the_full_stores(
    sparse, worker, place, servers
):
    """What others left in these stores is nobody's here."""
    site = StormSite(Settings.load(place.state, {}), seed=8)
    refused_before = site.found_refused()
    site.send(reports=60)
    submission = Submission(place)
    submission.prepare()
    for name in topology_names():
        said = sparse("submit", "-n", name, "--local_jar_path", submission.jar, "-o", QUICK)
        assert "ssh tunnel to Nimbus nimbus.qold.internal" in said
    wanted = {
        (str(worker.virtualenvs / name / "bin" / "streamparse_run"), script)
        for name in topology_names()
        for script in scripts(load_topology(name))
    }

    def is_running():
        servers.restart_dead()
        return wanted <= {
            (word, words[-1].split()[-1])
            for words in command_lines()
            for word in words
            if word.endswith("/streamparse_run")
        }

    wait_until(is_running, "every component runs", patience_s=PATIENCE_S, look_s=0.5)
    site.wait_for_no_lag(servers.restart_dead, patience_s=PATIENCE_S)
    verdict = site.verdict()
    assert verdict.stored.keys() == {"raw", "temperature", "battery"}
    assert (verdict.missing, verdict.duplicates) == (0, 0), verdict.examples
    found = site.found_refused()
    assert found - refused_before <= site.refused <= found
    assert any(worker.logs.iterdir())


def scripts(topology):
    """What each component of a topology runs."""
    specs = [*topology.thrift_spouts.values(), *topology.thrift_bolts.values()]
    return {
        (getattr(spec, "spout_object", None) or spec.bolt_object).shell.script for spec in specs
    }


def command_lines():
    """Of every process that can be seen."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
        except OSError:
            continue  # it ended
