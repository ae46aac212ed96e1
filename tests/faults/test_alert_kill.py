"""kill -9 of thresholds between each two steps of a delivery: no alert lost, none under two keys.

The order is row, state, emit, ack; then plan, claim, hand over, settle. The provider is the
stand-in server, which hands over once what it is given twice under one id.
"""

import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from local.administration import open_provisioning
from local.services.server import StandIn
from qold import wiring
from qold.clock import SystemClock
from qold.domain.model import Contact
from qold.settings import Settings
from tests.support import dying_topology
from tests.support.commands import PATIENCE_S
from tests.support.pipeline import NOW_S, make_record
from tests.support.processes import processes

KILLS = int(os.environ.get("QOLD_KILLS", "2"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
DEVICES, READINGS, QUARTER_S = 6, 48, 900
LIMITS = {"minTemperature": "2", "maxTemperature": "8"}
STAFF = Contact("", "Qold", "+351922222222", "en")
# Small tuples: each step happens often. One shard: the order of steps is that of the readings.
SETTINGS = """\
poll_records = 8
poll_wait_ms = 0
partitions = 2
commit_interval_ms = 1
directory_url = "qold-app+http://{netloc}"
notifier_url = "qold-sms+http://{netloc}"
analytics_url = "keen+http://{netloc}"
"""
STEPS = (
    "put_excursions",
    "open_once",
    "save",
    "emit",
    "plan",
    "ack",
    "commit",
    "claim",
    "send",
    "record",
    "settle",
)


def phone(device_id: int) -> str:
    return f"+35191111{device_id:04}"


class Shop:
    """Refrigerators that are warm now and then, whose readings are on the log before anything runs."""

    def __init__(self, state: Path, stand_in: StandIn) -> None:
        state.mkdir()
        (state / "qold.toml").write_text(SETTINGS.format(netloc=stand_in.netloc), "utf-8")
        self.state = state
        self.settings = Settings.load(state, {})
        self.alert_log = wiring.alert_log(self.settings, SystemClock())
        self.expected: set[tuple[str, str, int]] = set()
        stand_in.handed.staff = STAFF
        devices = open_provisioning(self.settings).create_devices(
            DEVICES, active=True, config=LIMITS
        )
        entries = []
        for device in devices:
            stand_in.handed.contacts[device.id] = Contact(
                f"Fridge {device.id}", "Ana", phone(device.id), "en"
            )
            entries += self._readings(device.id)
        entries.sort(key=lambda entry: entry[0])
        log = wiring.message_log(self.settings, SystemClock())
        log.append("readings", [(key, value) for _, key, value in entries])
        log.close()

    def _readings(self, device_id: int) -> list[tuple[int, str, bytes]]:
        entries = []
        for n in range(READINGS):
            at_s = NOW_S + QUARTER_S * n + device_id
            is_warm = n % 16 in (5 + device_id % 3, 6 + device_id % 3)
            is_low = n == READINGS - 3
            if (is_warm and (n - 1) % 16 not in (5 + device_id % 3,)) or is_low:
                kind = "battery.low" if is_low else "temperature.high"
                self.expected.add((kind, f"device:{device_id}", at_s * 1000))
            record = make_record(
                device_id,
                at_s,
                temp=9.5 if is_warm else 5.0,
                batt=19 if n >= READINGS - 3 else 88,
                seq=n,
            )
            entries.append((at_s, str(device_id), record))
        return entries


@pytest.fixture
def stand_in():
    with StandIn() as stand_in:
        yield stand_in


@pytest.mark.timeout(300 + 60 * KILLS)
@pytest.mark.parametrize("step", STEPS)
def test_kill_9_behind_a_step_loses_no_alert_and_tells_none_twice(tmp_path, stand_in, step):
    rng = random.Random(f"{SEED} {step}")
    shop = Shop(tmp_path / "state", stand_in)
    began_ms = SystemClock().monotonic_ms()
    killed = 0
    with processes(tmp_path) as running:

        def run(step, occurrence):
            words = [dying_topology.__file__, shop.state, began_ms, step, occurrence]
            process = running.start("thresholds", [sys.executable, *map(str, words)])
            code = process.wait(PATIENCE_S)
            running.stop("thresholds")
            return code

        for _ in range(KILLS):
            code = run(step, 1 + rng.randrange(3))
            if code == 0:
                break  # everything is told, and there was no further such step
            assert code == -signal.SIGKILL, running.log_tail("thresholds")
            killed += 1
        assert run("none", 0) == 0, running.log_tail("thresholds")
    assert killed > 0
    check(shop, stand_in)


def check(shop: Shop, stand_in: StandIn) -> None:
    """Compare the alert log with the truth, and the provider with the alert log."""
    stories = {story.alert.id: story for story in shop.alert_log.alerts(limit=10_000)}
    shop.alert_log.close()
    told = [(s.alert.kind, s.alert.subject, s.alert.fired_at_ms) for s in stories.values()]
    assert Counter(told) == Counter(shop.expected)
    messages: dict[str, set[str]] = {}
    for story in stories.values():
        staff_and_owner = {STAFF.phone}
        if story.alert.kind != "battery.low":
            staff_and_owner.add(phone(int(story.alert.subject.removeprefix("device:"))))
        found = {d.address: d for d in story.deliveries if d.channel == "sms"}
        assert found.keys() == staff_and_owner
        for delivery in found.values():
            assert delivery.status == "delivered"
            messages.setdefault(delivery.message_id or "", set()).add(delivery.address)
    assert all(len(addresses) == 1 for addresses in messages.values())
    handed = {sms.id: sms.to for sms in stand_in.handed.sms.values()}
    assert handed == {message: address for message, (address,) in messages.items()}
    assert stand_in.handed.events["alerts"].keys() == stories.keys()
