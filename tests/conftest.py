"""What holds for every test: no socket where none is needed, one profile for properties."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

from local.test_groups import AGAIN

settings.register_profile("qold", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("qold")

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = f"{ROOT}/src:{ROOT}"  # as ./qold sets it, for processes that tests start

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell starts what runs in its background, and every process of a test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SOCKETLESS = {"unit", "topology"}
SERVED = {"contract", "storm", "faults"}
WITH_PROCESSES = SERVED | {"e2e"}
START_S = 1200


def group_of(item):
    """The folder of tests that it lies in, or the name of its file."""
    return Path(item.path).relative_to(Path(__file__).parent).parts[0]


def pytest_collection_modifyitems(items):
    """Tests with servers get time for a start; those with servers or processes get a second try.

    On a busy machine a server may answer too late for one call. A deterministic test gets one try.
    `./qold test` names every second try and fails a group that needs more than a few.
    """
    for item in items:
        if group_of(item) in SERVED and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_S))
        if group_of(item) in WITH_PROCESSES and item.get_closest_marker("flaky") is None:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter):
    """What the first try of a test said that was tried again, and a line for `./qold test`."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
        said = report.longreprtext.strip().rpartition("\n")[2]
        terminalreporter.write_line(f"{AGAIN}{report.nodeid}: {said}")


@pytest.fixture(autouse=True)
def _no_sockets(request):
    """Unit and topology tests open no network socket."""
    if group_of(request) in SOCKETLESS:
        disable_socket(allow_unix_socket=True)
        yield
        enable_socket()
    else:
        yield


def servers_in(state):
    """The servers of a state folder, until no test needs them."""
    from tests.support.servers import Servers

    servers = Servers(state)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Real servers, started where a test uses them (`tests/support/servers.py`)."""
    yield from servers_in(tmp_path_factory.mktemp("servers"))


@pytest.fixture(scope="session")
def cassandra(servers):
    """A Cassandra that answers; `servers.place` has its secrets."""
    from local.services.cassandra import Cassandra

    return servers.use(Cassandra)


@pytest.fixture(scope="session")
def redis(servers):
    """A Redis that answers; `servers.place` has its secrets."""
    from local.services.redis import Redis

    return servers.use(Redis)


@pytest.fixture(scope="session")
def kafka(servers):
    """A Kafka broker that answers, with the topics of the pipeline."""
    from local.services.kafka import Kafka

    return servers.use(Kafka)


@pytest.fixture(scope="session")
def old_servers(tmp_path_factory):
    """Like `servers`, for what is older and would stand in the same place."""
    yield from servers_in(tmp_path_factory.mktemp("old-servers"))


@pytest.fixture(scope="session")
def pykafka(old_servers):
    """A Kafka 3.9 broker that answers, with the topics of the pipeline."""
    from tests.support.kafka_39 import Kafka39

    return old_servers.use(Kafka39)


@pytest.fixture(scope="session")
def kairosdb(servers, cassandra):
    """A KairosDB that answers, on that Cassandra."""
    from local.services.kairosdb import KairosDb

    return servers.use(lambda place: KairosDb(place, cassandra=f"127.0.0.1:{cassandra.port}"))


@pytest.fixture(scope="session")
def nginx(servers, kairosdb):
    """An nginx that answers, before that KairosDB."""
    from local.services.nginx import Nginx

    return servers.use(lambda place: Nginx(place, kairosdb_port=kairosdb.port))
