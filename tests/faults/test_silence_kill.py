"""kill -9 of the alert topology while people fall silent and come back: each is told once.

Real processes and the machine's clock: who is silent was last heard two hours ago, and the
Loader has been attentive for an hour. QOLD_SEED sets where the kills fall.
"""

import json
import os
import random
import signal

import pytest

from local.administration import open_provisioning
from qold import wiring
from qold.clock import SystemClock
from qold.ports import StateChange
from qold.settings import Settings
from tests.support.commands import command_line
from tests.support.pipeline import make_record
from tests.support.processes import processes, wait_until

SEED = int(os.environ.get("QOLD_SEED", "1"))
HOUR_MS = 3_600_000
CUT_OFF, SILENT, ALIVE = (1, 2, 3, 4), (5, 6), (7, 8, 9)
SILENCES = {"gateway:1", *(f"device:{i}" for i in SILENT)}


class Shop:
    """Two gateways: nothing is heard of the first, and of some devices of the second."""

    def __init__(self, folder, running):
        folder.mkdir()
        (folder / "qold.toml").write_text("poll_records = 2\nnotifier_url = 'file:sms'\n", "utf-8")
        self.folder, self._running = folder, running
        self.settings, self.clock = Settings.load(folder, {}), SystemClock()
        provisioning = open_provisioning(self.settings)
        provisioning.create_devices(len(CUT_OFF + SILENT + ALIVE), active=True)
        for _ in range(2):
            provisioning.create_gateway()
        self.alert_log = wiring.alert_log(self.settings, self.clock)
        self.last_seen = wiring.last_seen(self.settings, self.clock)
        self.log = wiring.message_log(self.settings, self.clock)
        states, now_ms = wiring.state_store(self.settings, self.clock), self.clock.wall_ms()
        attention = json.dumps({"since_ms": now_ms - HOUR_MS, "looked_at_ms": now_ms})
        states.save([StateChange("silence:attention", 0, attention)], now_ms=now_ms)
        self.last_seen.enrol(dict.fromkeys(range(1, 10), now_ms - 3 * HOUR_MS))
        self.hear(CUT_OFF + SILENT, hours_ago=2)

    def hear(self, devices, *, hours_ago=0):
        at_s = (self.clock.wall_ms() - hours_ago * HOUR_MS) // 1000
        for device_id in devices:
            record = json.loads(make_record(device_id, at_s))
            record["gateway"] = {"id": 1 if device_id in CUT_OFF else 2}
            self.log.append("readings", [(str(device_id), json.dumps(record).encode())])

    def told(self, event):
        """Whom alerts of an event are about, each as often as there are alerts."""
        alerts = [story.alert for story in self.alert_log.alerts()]
        return sorted(a.subject for a in alerts if a.kind.endswith(event))

    def events(self):
        path = self.folder / "analytics.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [json.loads(line)["event"]["id"] for line in lines]

    def kill_when(self, condition, what):
        self._running.start("alert", command_line("run", "alert", "--state", self.folder))
        wait_until(condition, what)
        self._running.stop("alert", signal.SIGKILL)

    def run_until(self, condition, what):
        self._running.start("alert", command_line("run", "alert", "--state", self.folder))
        wait_until(condition, what)
        assert self._running.stop("alert") == 0


@pytest.mark.timeout(600)
def test_kill_9_while_people_fall_silent_and_come_back(tmp_path):
    rng = random.Random(SEED)
    with processes(tmp_path) as running:
        shop = Shop(tmp_path / "state", running)
        shop.kill_when(lambda: shop.last_seen.get([-1, -2]), "some are heard")
        shop.hear(ALIVE)
        for count in sorted(rng.sample(range(1, 4), 2)):
            shop.kill_when(lambda count=count: len(shop.told("silent")) >= count, "some are told")
        shop.run_until(lambda: len(shop.events()) >= 3, "every silence is told")
        assert shop.told("silent") == sorted(SILENCES)
        shop.hear(CUT_OFF + SILENT)
        for count in sorted(rng.sample(range(1, 4), 2)):
            shop.kill_when(lambda count=count: len(shop.told("back")) >= count, "some are back")
        shop.run_until(lambda: len(shop.events()) >= 6, "every return is told")
    assert shop.told("silent") == shop.told("back") == sorted(SILENCES)
    stories = {story.alert.id: story for story in shop.alert_log.alerts()}
    assert sorted(shop.events()) == sorted(stories), "each alert once, under its own id"
    assert all(story.over_at_ms is not None for story in stories.values())
