"""`sparse run` of every topology on Storm's local mode, with the embedded stores and a ledger."""

import sys

import pytest

from local.services import storm
from local.services.guard import __file__ as guard
from local.services.listening import listeners
from local.services.place import Place
from local.storm_submission import Submission
from local.topologies import topology_names
from qold.settings import Settings
from tests.support.processes import processes, wait_until
from tests.support.servers import needs_storm
from tests.support.storm_site import REASONS, StormSite

# The cold start of Storm and Leiningen on a machine that does ten things at once.
PATIENCE_S = 600
MOST_LOG_BYTES = 20 * 2**20
LONG_S = 3600
IN_ORDER = sorted(topology_names(), key=lambda name: name != "authentication")

pytestmark = [
    pytest.mark.timeout(2 * PATIENCE_S),
    needs_storm,
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One installation and `sparse`, in a project folder of its own."""
    state = tmp_path_factory.mktemp("sparse-run")
    (state / "qold.toml").write_text("window_ms = 500\ncommit_interval_ms = 200\n", "utf-8")
    place = Place(state)
    storm.assemble(place, lambda text: None)
    submission = Submission(place)
    submission.lay_out()
    site = StormSite(Settings.load(state, {}), seed=6)
    site.send(reports=60)
    with processes(state) as started:

        def start(name, seconds):
            words = (
                str(storm.COMMANDS / "sparse"),
                "run",
                "-n",
                name,
                "-e",
                "local",
                "-t",
                str(seconds),
            )
            command = [sys.executable, "-P", guard, "--once", *words]
            return started.start(name, command, submission.folder, **storm.environment(place))

        start.site = site
        start.started = started
        start.state = state
        yield start


def log_of(run, name):
    """What a run has written; a component that dies over and over would fill the disk."""
    text = run.started.output(name)
    assert len(text) < MOST_LOG_BYTES, text[-3000:]
    return text


@pytest.mark.parametrize("name", IN_ORDER)
def test_a_topology_works_off_what_waits(run, name):
    """Its ZooKeeper, which is in the same JVM, listens on loopback, and nothing else listens."""
    site = run.site
    process = run(name, LONG_S)

    def is_done():
        said = log_of(run, name)
        assert "ShellBolt died" not in said, said[said.index("ShellBolt died") :][:3000]
        assert run.started.is_running(name), said[-3000:]
        return site.has_read_all(name)

    def found():
        assert run.started.is_running(name), log_of(run, name)[-3000:]
        return [listener.is_beyond_loopback for listener in listeners(process.pid)]

    try:
        wait_until(is_done, f"{name} has read everything", patience_s=PATIENCE_S, look_s=0.5)
        # A topology that has nothing to read is done before its JVM has started.
        wait_until(found, "its ZooKeeper listens", patience_s=PATIENCE_S, look_s=0.5)
        assert found() == [False]
    finally:
        run.started.stop(name)


def test_afterwards_all_is_as_it_was_due(run, tmp_path):
    """Refusals, raw rows, points of time series and alerts: these, and no others."""
    site = run.site
    verdict = site.verdict()
    assert verdict.is_exact, verdict.examples
    assert site.found_refused() == site.refused
    assert {reason for reason, _, _ in site.refused} == REASONS
    assert not site.dead_letters()
    expected = site.alerts_in_one_process(tmp_path)
    assert site.alerts() == expected
    assert expected


def test_it_ends_by_itself_after_its_time(run):
    # Storm halts when its time is over before a topology's files have been laid out.
    assert run("raw", 20).wait(PATIENCE_S) == 0
    assert "Fatal error" not in log_of(run, "raw")
