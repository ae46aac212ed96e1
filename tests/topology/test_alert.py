"""The alert topology: who is silent and who is back, once each, and nobody by mistake (7.3.5)."""

import pytest

from local.runner import LocalTopology
from local.topologies import load_topology
from qold import wiring
from qold.ports import Unavailable
from tests.support.injection import failing_every, inject
from tests.support.pipeline import NOW_S, make_batch, make_reading, make_report
from tests.support.shop import ALERT, HOUR_S, MINUTE_S, OWNER, QUARTER_S, STAFF, Shop

AUTHENTICATION = load_topology("authentication")


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


# -- silence and return


def test_nobody_is_told_anything_while_everybody_speaks(shop):
    shop.live(hours=5)
    assert shop.told() == []


def test_a_silent_device_is_told_once_and_its_return_once(shop):
    first, *others = shop.devices
    shop.live(hours=1)
    shop.live(hours=3, speaking=others)
    assert shop.told() == [("device.silent", f"device:{first}", 46, 106)]
    shop.live(hours=2)
    assert shop.told() == [
        ("device.silent", f"device:{first}", 46, 106),
        ("device.back", f"device:{first}", 46, 241),
    ]
    texts = [text for to, text in shop.sent() if to == OWNER.phone]
    assert [text.partition(":")[0] for text in texts] == ["Fridge 3", "Fridge 3"]
    assert "3 h 15 min" in texts[1]
    events = (shop.folder / "analytics.jsonl").read_text("utf-8").splitlines()
    assert len(events) == 2, "every alert is an event for Keen"


def test_a_device_that_never_spoke_is_watched_from_its_activation(shop):
    shop.live(hours=2)
    (late,) = shop.provisioning.create_devices(1, active=True)
    (idle,) = shop.provisioning.create_devices(1, active=False)
    shop.live(hours=2)
    ((kind, subject, since, fired),) = shop.told()
    assert (kind, subject) == ("device.silent", f"device:{late.id}")
    assert 120 <= since <= 125
    assert fired == since + 60
    shop.provisioning.change_device(idle.id, active=True)
    shop.live(hours=2)
    assert [subject for _, subject, *_ in shop.told()] == [f"device:{late.id}", f"device:{idle.id}"]


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_who_is_taken_out_of_service_is_not_told_of(shop, change):
    first, *others = shop.devices
    shop.live(hours=1)
    if change == "disable":
        shop.provisioning.change_device(first, active=False)
    else:
        shop.provisioning.delete_device(first)
    shop.live(hours=30 if change == "delete" else 4, speaking=others)
    assert shop.told() == []
    assert first not in wiring.last_seen(shop.settings, shop.clock).get([first])


def test_who_reports_seldom_is_waited_for_longer(tmp_path):
    shop = Shop(tmp_path, interval_s=2 * HOUR_S)
    first, *others = shop.devices
    shop.live(hours=3)
    shop.live(hours=12, speaking=others)
    assert shop.told() == [("device.silent", f"device:{first}", 121, 121 + 480)]


# -- gateways


def test_a_silent_gateway_is_one_alert_and_its_devices_are_folded_in(tmp_path):
    shop = Shop(tmp_path, gateways=2, devices=6)
    cut_off = [i for i in shop.devices if shop.through[i] == 1]
    others = [i for i in shop.devices if i not in cut_off]
    shop.live(hours=1)
    shop.live(hours=6, speaking=others)
    assert shop.told() == [("gateway.silent", "gateway:1", 50, 95)]
    shop.live(hours=3)
    assert shop.told() == [
        ("gateway.silent", "gateway:1", 50, 95),
        ("gateway.back", "gateway:1", 50, 421),
    ]
    texts = dict(shop.sent())
    assert set(texts) == {OWNER.phone, STAFF.phone}, "the people of its devices are told as well"
    told = [text for to, text in shop.sent() if to == STAFF.phone]
    assert told[0].startswith("gateway 1: silent since ")
    assert "3 devices" in told[0]
    assert told[1] == "gateway 1: heard again after 6 h 11 min."


def test_a_device_that_reports_seldom_does_not_vouch_for_its_gateway(shop):
    """One that reports every hour makes the gateway's patience 3 h; the others have only one."""
    shop.provisioning.change_device(shop.devices[0], config={"reportInterval": str(HOUR_S)})
    shop.live(hours=1)
    shop.live(hours=4, speaking=[])
    assert [kind for kind, *_ in shop.told()] == ["gateway.silent"]


def test_after_the_gateways_return_its_devices_are_judged_singly_from_then(tmp_path):
    shop = Shop(tmp_path, gateways=2, devices=4)
    dead, alive = [i for i in shop.devices if shop.through[i] == 1]
    others = [i for i in shop.devices if shop.through[i] == 2]
    shop.live(hours=1)
    shop.live(hours=2, speaking=others)
    shop.live(hours=3, speaking=[*others, alive])
    back = next(fired for kind, *_, fired in shop.told() if kind == "gateway.back")
    assert shop.told("device.silent") == [("device.silent", f"device:{dead}", 46, back + 60)]


def test_a_flushed_backlog_of_a_gateway_calls_nobody_silent(tmp_path):
    """Six hours of readings, oldest first, which take half an hour to arrive."""
    shop = Shop(tmp_path, gateways=2, devices=4)
    cut_off = [i for i in shop.devices if shop.through[i] == 1]
    others = [i for i in shop.devices if i not in cut_off]
    shop.live(hours=1)
    from_s = shop.now_s
    shop.live(hours=6, speaking=others)
    for measured_s in range(from_s, shop.now_s, QUARTER_S):
        for device_id in cut_off:
            shop.hear(device_id, measured_s=measured_s)
        shop.live(hours=1 / 60, speaking=others)
    shop.live(hours=4)
    assert [kind for kind, *_ in shop.told()] == ["gateway.silent", "gateway.back"]


# -- restarts and backlogs


def test_a_restart_forgets_nothing_and_alarms_nobody(shop):
    first, *others = shop.devices
    shop.live(hours=1)
    for _ in range(20):
        shop.live(hours=0.2, speaking=others)
        shop.alert.stop()
        shop.start()
    assert shop.told() == [("device.silent", f"device:{first}", 46, 106)]
    shop.live(hours=1)
    assert [kind for kind, *_ in shop.told()] == ["device.silent", "device.back"]


def test_after_a_stop_of_three_hours_nobody_who_spoke_is_silent(shop):
    """Their readings wait in the log; one really is silent, and still told of."""
    first, *others = shop.devices
    shop.live(hours=1)
    shop.alert.stop()
    shop.live(hours=3, speaking=others, is_running=False)
    shop.start()
    shop.live(hours=2, speaking=others)
    assert shop.told() == [("device.silent", f"device:{first}", 46, 106)]


def test_nobody_is_judged_while_readings_wait_in_the_log(shop, monkeypatch, caplog):
    """The Time bolt's store is away, so ranges fail and are read again; then everything is judged."""
    real = wiring.last_seen
    shop.live(hours=1)
    (bolt,) = shop.alert.components("time_bolt")
    bolt.last_seen = AwayForTouch(real(shop.settings, shop.clock))
    shop.live(hours=3)
    assert shop.told() == []
    (loader,) = shop.alert.components("loader")
    assert loader.counters["judged_behind_ms"] > 2 * HOUR_S * 1000
    assert "nobody is judged until these catch up" in caplog.text
    bolt.last_seen.is_away = False
    shop.live(hours=2)
    assert shop.told() == []


class AwayForTouch:
    """A LastSeen that answers questions and takes nothing."""

    def __init__(self, store):
        self.store, self.is_away = store, True

    def touch(self, seen_at_ms):
        if self.is_away:
            raise Unavailable("read-only")
        return self.store.touch(seen_at_ms)

    def get(self, device_ids):
        return self.store.get(device_ids)


def test_nobody_is_judged_while_reports_wait_for_authentication(shop):
    (gateway,) = shop.new_gateways
    authentication = shop.topology("authentication", AUTHENTICATION)

    def quarters(count, *, is_away):
        for _ in range(count):
            batches = [make_batch(new, make_reading(shop.now_s)) for new in shop.new_devices]
            shop.log.append("reports", [("1", make_report(gateway, *batches))])
            if not is_away:
                authentication.run_until_idle()
            shop.live(hours=0.25, speaking=[])

    quarters(8, is_away=False)
    quarters(12, is_away=True)
    assert shop.told() == []
    quarters(8, is_away=False)
    assert shop.told() == []
    assert len(shop.records("readings")) == 28 * 3


@pytest.mark.parametrize("name", ["authentication", "demo-authentication"])
def test_it_awaits_the_authentication_that_has_its_prefix(name, tmp_path):
    """One of another installation on the same cluster has not read this one's reports."""
    shop = Shop(tmp_path, topology_prefix="demo-")
    authentication = LocalTopology(
        AUTHENTICATION, name=name, conf=shop.settings.to_storm_conf(), clock=shop.clock
    )
    (gateway,) = shop.new_gateways
    batches = [make_batch(new, make_reading(shop.now_s)) for new in shop.new_devices]
    shop.log.append("reports", [("1", make_report(gateway, *batches))])
    authentication.run_until_idle()
    shop.live(hours=3, speaking=[])
    expected = ["gateway.silent"] if name == "demo-authentication" else []
    assert [kind for kind, *_ in shop.told()] == expected


# -- late, repeated, and clocks


def test_late_and_repeated_readings_say_nothing_about_now(shop):
    """Each reading five times, and those of the silence's first hours a day later, shuffled."""
    first, *others = shop.devices
    shop.live(hours=1)
    shop.live(hours=3, speaking=others)
    silent = [("device.silent", f"device:{first}", 46, 106)]
    for late_s in (5 * HOUR_S, 3 * HOUR_S, 100 * MINUTE_S, 8 * 24 * HOUR_S):
        for _ in range(5):
            shop.hear(first, measured_s=shop.now_s - late_s)
    for device_id in others:
        shop.hear(device_id, measured_s=NOW_S + 60)
    shop.live(hours=2, speaking=others)
    assert shop.told() == silent
    shop.live(hours=1)
    shop.hear(first, measured_s=NOW_S + 46 * MINUTE_S, received_s=NOW_S + 46 * MINUTE_S)
    shop.live(hours=1)
    assert [kind for kind, *_ in shop.told()] == ["device.silent", "device.back"]


@pytest.mark.parametrize("skew_s", [-HOUR_S, -QUARTER_S, 240])
def test_a_gateway_whose_clock_is_wrong_is_not_silent(shop, skew_s):
    """Further ahead than five minutes its readings are refused before this."""
    shop.live(hours=1)
    until_s = shop.now_s + 4 * HOUR_S
    while shop.now_s < until_s:
        for device_id in shop.devices:
            shop.hear(device_id, measured_s=shop.now_s + skew_s)
        shop.live(hours=0.25, speaking=[])
    shop.live(hours=3)
    assert shop.told() == []


@pytest.mark.parametrize("skew_s", [HOUR_S, -HOUR_S])
def test_a_jump_of_our_own_clock_and_back_alarms_nobody(shop, skew_s):
    shop.live(hours=1)
    shop.skewed.skew_ms = skew_s * 1000
    until_s = shop.now_s + 3 * HOUR_S
    while shop.now_s < until_s:
        for device_id in shop.devices:  # the log stamps with the wrong clock, devices do not
            measured_s = min(shop.now_s, shop.now_s + skew_s)
            shop.hear(device_id, measured_s=measured_s, received_s=shop.now_s + skew_s)
        shop.live(hours=0.25, speaking=[])
    shop.skewed.skew_ms = 0
    shop.live(hours=2)
    assert shop.told() == []


# -- failures


@pytest.mark.parametrize("shards", [0, 1, 4])
def test_a_saboteur_and_any_shards_end_in_the_same_alerts(tmp_path, shards):
    shop = Shop(tmp_path, gateways=2, devices=6, shards=shards, poll_records=3)
    tested = inject(ALERT, bolts=[("saboteur", failing_every(3), "parser", "default")])
    tested = inject(tested, bolts=[("another", failing_every(2), "loader", "default")])
    shop.start(tested)
    cut_off = [i for i in shop.devices if shop.through[i] == 1]
    dead, *others = [i for i in shop.devices if i not in cut_off]
    shop.live(hours=1)
    shop.live(hours=3, speaking=others)
    shop.live(hours=1.5)
    (saboteur,) = shop.alert.components("saboteur")
    assert saboteur.failed > 0
    assert shop.told("gateway.silent", "device.silent") == [
        ("gateway.silent", "gateway:1", 50, 95),
        ("device.silent", f"device:{dead}", 47, 107),
    ]
    assert [(kind, subject) for kind, subject, *_ in shop.told("gateway.back", "device.back")] == [
        ("gateway.back", "gateway:1"),
        ("device.back", f"device:{dead}"),
    ]
    for story in shop.alert_log.alerts():
        assert {delivery.status for delivery in story.deliveries} == {"delivered"}


def test_under_another_name_it_waits_for_its_own_consumer(tmp_path):
    shop = Shop(tmp_path)
    first, *others = shop.devices
    conf = shop.settings.to_storm_conf()
    shop.alert = LocalTopology(ALERT, name="alert-2", conf=conf, clock=shop.clock)
    shop.live(hours=1)
    shop.live(hours=2, speaking=others)
    assert shop.told() == [("device.silent", f"device:{first}", 46, 106)]


def test_a_store_that_is_away_is_waited_for(shop, monkeypatch):
    first, *others = shop.devices
    shop.live(hours=1)
    (loader,) = shop.alert.components("loader")

    def refuse(*_args, **_kwargs):
        raise Unavailable("connection refused")

    with monkeypatch.context() as patched:
        patched.setattr(loader.stores.last_seen, "overdue", refuse)
        shop.live(hours=2, speaking=others)
        assert shop.told() == []
        assert loader.counters["stores_away"] > 0
    shop.live(hours=1, speaking=others)
    assert shop.told() == [("device.silent", f"device:{first}", 46, 106)]
