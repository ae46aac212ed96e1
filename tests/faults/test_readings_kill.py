"""KairosDB, nginx before it and Cassandra under it, killed: every acknowledged point is there.

QOLD_KILLS sets how often each is killed (1; a long run takes 20).
"""

import itertools
import os
import signal

import pytest

from qold import wiring
from qold.clock import SystemClock
from qold.ports import Point, Unavailable
from qold.settings import Settings
from tests.support.processes import wait_until
from tests.support.reading_ledger import ReadingLedger

ROUNDS = int(os.environ.get("QOLD_KILLS", "1"))
PATIENCE_S = 400.0
T = 1_795_456_000_000
STACK = ("nginx", "kairosdb", "cassandra")
_device_ids = itertools.count(1, 30)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def store(nginx, servers):
    settings = Settings.load(servers.place.state, {"QOLD_READINGS_URL": nginx.readings_url})
    store = wiring.reading_store(settings, SystemClock())
    yield store
    store.close()


@pytest.fixture
def ledger(store):
    return ReadingLedger(store)


@pytest.fixture
def windows():
    """Of 500 points each, of thirty devices that no other test has."""
    first = next(_device_ids)
    values = itertools.count()
    return (
        [Point(first + n % 30, T + n, n / 8) for n in itertools.islice(values, 500)]
        for _ in itertools.repeat(None)
    )


def kill(servers, name):
    """The process and what it has started."""
    for pid in group_of(servers.pid(name)):
        os.kill(pid, signal.SIGKILL)


def write_all(servers, ledger, windows):
    """Each window until it is acknowledged, while what died is started again."""
    for window in windows:

        def is_acknowledged(window=window):
            servers.restart_dead()
            return ledger.write(window)

        wait_until(is_acknowledged, "a window is acknowledged", patience_s=PATIENCE_S)


def wait_for_all(servers, ledger):
    def is_complete():
        servers.restart_dead()
        missing, invented = ledger.differences()
        assert invented == set()
        return not missing

    wait_until(is_complete, "what was acknowledged can be read", patience_s=PATIENCE_S)


@pytest.mark.parametrize("victims", [("kairosdb",), ("kairosdb", "cassandra")], ids=" and ".join)
def test_3000_points_survive_a_kill_right_after_the_204(servers, ledger, windows, victims):
    """Nobody writes anything afterwards: the queue replays by itself."""
    for _ in range(ROUNDS):
        write_all(servers, ledger, itertools.islice(windows, 5))
        last = next(windows)
        assert ledger.write(last)
        for name in victims:
            kill(servers, name)
        wait_for_all(servers, ledger)
        assert len(ledger.acknowledged) % 3000 == 0


@pytest.mark.parametrize("victims", [("nginx",), ("cassandra",), STACK], ids=" and ".join)
def test_writing_goes_on_over_a_kill(servers, ledger, windows, victims):
    for _ in range(ROUNDS):
        write_all(servers, ledger, itertools.islice(windows, 3))
        for name in victims:
            kill(servers, name)
        write_all(servers, ledger, itertools.islice(windows, 3))
        wait_for_all(servers, ledger)
    assert ledger.acknowledged == ledger.sent
    if victims != ("cassandra",):  # KairosDB takes points while only Cassandra is away
        assert ledger.unavailable > 0


@pytest.mark.parametrize("name", ["kairosdb", "nginx"])
def test_one_that_hangs_is_unavailable_and_nothing_is_lost(servers, store, ledger, windows, name):
    write_all(servers, ledger, itertools.islice(windows, 1))
    pids = group_of(servers.pid(name))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for call in (store.ping, lambda: store.query("Temperature", 1, T, T + 1)):
            with pytest.raises(Unavailable):
                call()
        assert not ledger.write(next(windows))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    write_all(servers, ledger, itertools.islice(windows, 1))
    wait_for_all(servers, ledger)


def group_of(leader):
    """A process and those of its group."""
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdecimal() and os.getpgid(int(name)) == leader
    ]


def test_a_killed_master_of_nginx_leaves_nobody_at_its_port(servers, nginx, store):
    """Its workers outlive it and would answer for ever, with the certificates of then."""
    before = set(group_of(servers.pid("nginx")))
    os.kill(servers.pid("nginx"), signal.SIGKILL)

    def is_back():
        servers.restart_dead()
        return not any(is_alive(pid) for pid in before) and nginx.is_ready()

    wait_until(is_back, "nginx answers again", patience_s=PATIENCE_S)
    store.ping()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
