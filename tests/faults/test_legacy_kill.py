"""kill -9 of the legacy topology, and an old API that fails: every reading arrives, in order."""

import os
import random
import signal
from collections import defaultdict

import pytest

from local.services.server import StandIn
from qold import wiring
from qold.clock import SystemClock
from qold.settings import Settings
from tests.support.commands import command_line
from tests.support.pipeline import NOW_S, make_record
from tests.support.processes import processes, wait_until

KILLS = int(os.environ.get("QOLD_KILLS", "3"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
DEVICES, READINGS = 20, 150
WAYS = (("status", {"status": 500}), ("refuse", {}), ("cut", {}), ("garbage", {}))


class Installation:
    """A state folder whose old API is a stand-in, with readings on its log."""

    def __init__(self, folder, stand_in):
        folder.mkdir()
        url = f"qold-hw-api+http://{stand_in.netloc}/readings"
        (folder / "qold.toml").write_text(f'legacy_url = "{url}"\npoll_records = 200\n', "utf-8")
        self.stand_in = stand_in
        self.settings = Settings.load(folder, {})
        self.command = command_line("run", "legacy", "--state", folder)
        self.log = wiring.message_log(self.settings, SystemClock())
        self.log.create_topics(self.settings.topics())

    def feed(self):
        times = [NOW_S + 60 * n for n in range(READINGS)]
        for at_s in times:
            entries = [(str(d), make_record(d, at_s)) for d in range(1, DEVICES + 1)]
            self.log.append("readings", entries)
        return {str(d): [str(at_s) for at_s in times] for d in range(1, DEVICES + 1)}

    def arrived(self):
        """Times per device, each where it first arrived."""
        found = defaultdict(dict)
        for reading in list(self.stand_in.handed.readings):
            found[reading["id"]].setdefault(reading["t"])
        return {device: list(times) for device, times in found.items()}

    def count(self):
        return len(self.stand_in.handed.readings)

    def is_drained(self):
        ends = self.log.offsets("readings")
        committed = self.log.committed("legacy.readings", "readings")
        return all(committed.get(p, 0) == end.next for p, end in ends.items())


@pytest.fixture
def stand_in():
    with StandIn() as stand_in:
        yield stand_in


def test_a_failing_api_gets_everything_and_only_what_was_in_doubt_twice(tmp_path, stand_in):
    """Tried: 500, a closed connection, half an answer, no HTTP; each some times in a row."""
    rng = random.Random(SEED)
    site = Installation(tmp_path / "state", stand_in)
    expected = site.feed()
    failures = 0
    with processes(tmp_path) as running:
        running.start("legacy", site.command)
        for way, how in WAYS * 2:
            before, times = site.count(), rng.randrange(1, 4)
            stand_in.behave("qold-hw-api", way, times=times, **how)
            failures += times
            wait_until(
                lambda before=before: site.count() > before + 50 or site.is_drained(), "it goes on"
            )
        wait_until(site.is_drained, "everything is posted")
        assert running.stop("legacy") == 0
    assert site.arrived() == expected
    assert site.count() - DEVICES * READINGS <= failures


@pytest.mark.timeout(60 + 10 * KILLS)
def test_kill_9_loses_nothing_and_keeps_the_order(tmp_path, stand_in):
    rng = random.Random(SEED)
    site = Installation(tmp_path / "state", stand_in)
    expected = site.feed()
    with processes(tmp_path) as running:
        for _ in range(KILLS):
            running.start("legacy", site.command)
            goal = site.count() + rng.randrange(20, 400)
            wait_until(lambda goal=goal: site.count() >= goal or site.is_drained(), "it posts")
            running.stop("legacy", signal.SIGKILL)
        running.start("legacy", site.command)
        wait_until(site.is_drained, "everything is posted")
        # The last one may find nothing left, and be asked to end before it listens to signals.
        assert running.stop("legacy") in (0, -signal.SIGTERM)
    assert site.arrived() == expected
