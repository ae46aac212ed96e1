"""The alert topology dies after any step, again and again: no alert is lost, none told under two keys."""

import json

import pytest

from local.runner import TopologyDied
from qold import wiring
from tests.support.shop import HOUR_S, OWNER, STAFF, Shop


class Mortal:
    """A real store, notifier or log; every nth call of one method is done and then ends the process."""

    def __init__(self, real, method, calls, every):
        self._real, self._method, self._calls, self._every = real, method, calls, every

    def __getattr__(self, name):
        call = getattr(self._real, name)
        if name != self._method:
            return call

        def done_and_dead(*arguments, **more):
            answer = call(*arguments, **more)
            self._calls.append(name)
            if len(self._calls) % self._every == 0:
                raise RuntimeError("kill -9")
            return answer

        return done_and_dead


class MortalShop(Shop):
    """Starts the topology again whenever it died."""

    deaths = 0

    def live(self, *, hours=0.0, speaking=None, **how):
        until_s = self.now_s + round(hours * HOUR_S)
        while self.now_s < until_s:
            try:
                super().live(hours=(until_s - self.now_s) / HOUR_S, speaking=speaking, **how)
            except TopologyDied:
                self.deaths += 1
                self.start()


# Every second or later call: a process that dies at each would never get further.
STEPS = [
    ("alert_log", "open_once", 2),
    ("last_seen", "touch", 5),
    ("state_store", "save", 2),
    ("state_store", "save", 7),
    ("alert_log", "plan", 2),
    ("alert_log", "claim", 9),
    ("notifier", "send", 2),
    ("analytics", "record", 2),
    ("alert_log", "settle", 2),
]


@pytest.mark.parametrize(("port", "method", "every"), STEPS, ids=lambda value: str(value))
def test_no_alert_is_lost_and_none_is_told_under_two_keys(
    tmp_path, monkeypatch, port, method, every
):
    shop = MortalShop(tmp_path, gateways=2, devices=4)
    real, calls = getattr(wiring, port), []
    monkeypatch.setattr(
        wiring, port, lambda settings, clock: Mortal(real(settings, clock), method, calls, every)
    )
    shop.start()
    cut_off = [i for i in shop.devices if shop.through[i] == 1]
    dead, alive = [i for i in shop.devices if i not in cut_off]
    shop.live(hours=1)
    shop.live(hours=2, speaking=[alive])
    shop.live(hours=2)
    assert shop.deaths
    assert [alert[:2] for alert in shop.told()] == [
        ("gateway.silent", "gateway:1"),
        ("device.silent", f"device:{dead}"),
        ("gateway.back", "gateway:1"),
        ("device.back", f"device:{dead}"),
    ]
    told = {}
    for line in (tmp_path / "sent.jsonl").read_text("utf-8").splitlines():
        sent = json.loads(line)
        told.setdefault(sent["id"], []).append((sent["to"], sent["text"]))
    stories = shop.alert_log.alerts()
    for story in stories:
        assert {d.status for d in story.deliveries} == {"delivered"}
        assert {d.address for d in story.deliveries} == {OWNER.phone, STAFF.phone, "alerts"}
    planned = {d.message_id for s in stories for d in s.deliveries if d.channel == "sms"}
    assert set(told) == planned
    assert all(len(set(repeats)) == 1 for repeats in told.values())
