"""The thresholds topology: readings outside a device's limits become alerts, told once (7.3.4)."""

import json
import random
from dataclasses import replace

import pytest

from local.topologies import load_topology
from qold import wiring
from qold.domain.model import Contact
from qold.ports import StateChange, Unavailable
from tests.support.injection import failing_every, inject
from tests.support.pipeline import NOW_S, Site, make_record

THRESHOLDS, RAW = load_topology("thresholds"), load_topology("raw")
QUARTER_S = 900
OWNER = Contact("Fridge 3", "Ana", "+351911111111", "pt")
STAFF = Contact("", "Qold", "+351922222222", "en")
LIMITS = {"minTemperature": "2", "maxTemperature": "8"}


class Shop(Site):
    """A site with a device, its owner, the staff, and a way to feed and look."""

    def __init__(self, folder, **settings):
        super().__init__(folder, notifier_url="file:sent.jsonl", **settings)
        self.alert_log = wiring.alert_log(self.settings, self.clock)
        self.directory = wiring.directory(self.settings, self.clock)
        self.directory.put_staff(STAFF)
        self.device = self.add_device()

    def add_device(self, limits=LIMITS, contact=OWNER):
        (device,) = self.provisioning.create_devices(1, active=True, config=limits)
        self.directory.put(device.id, contact)
        return device

    def feed(self, *readings, device=None, late_s=0):
        """Append (seconds, °C[, %]) readings of a device to `readings`, as received just then."""
        device_id = (device or self.device).id
        entries = []
        for at_s, temp, *batt in readings:
            record = json.loads(
                make_record(device_id, at_s, temp=temp, batt=(batt or [88])[0], seq=at_s % 65536)
            )
            entries.append(
                (str(device_id), json.dumps({**record, "received": at_s + 1 + late_s}).encode())
            )
        self.log.append("readings", entries)

    def work(self, *names, for_ms=0):
        """Run thresholds, and raw before it, until nothing is left to do, and then for a while."""
        for name, topology_class in (("raw", RAW), ("thresholds", THRESHOLDS)):
            topology = self.topology(name, topology_class)
            self.run(topology)
            if name == "thresholds":
                until_ms = self.clock.monotonic_ms() + for_ms
                while self.clock.monotonic_ms() < until_ms:
                    self.clock.advance_to(self.clock.monotonic_ms() + 500)
                    topology.run_until_idle()
            topology.stop()

    def told(self):
        """Alerts as (kind, seconds of the firing reading, live)."""
        return sorted(
            (story.alert.kind, story.alert.fired_at_ms // 1000 - NOW_S, story.alert.is_live)
            for story in self.alert_log.alerts()
        )

    def excursions(self):
        return [
            (
                e.kind,
                e.started_at_ms // 1000 - NOW_S,
                e.ended_at_ms and e.ended_at_ms // 1000 - NOW_S,
                e.extreme,
            )
            for e in self.alert_log.excursions()
        ]

    def sent(self):
        """What the provider was handed, as (to, text)."""
        path = self.settings_path("sent.jsonl")
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [(sent["to"], sent["text"]) for sent in map(json.loads, lines)]

    def settings_path(self, name):
        from pathlib import Path

        return Path(self.settings.state_dir) / name


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def quarters(*values, start_s=NOW_S):
    return [(start_s + n * QUARTER_S, value) for n, value in enumerate(values)]


def test_a_warm_fridge_is_one_alert_to_owner_and_staff(shop):
    shop.feed(*quarters(5.0, 9.5, 10.0, 5.0))
    shop.work(for_ms=70_000)
    assert shop.told() == [("temperature.high", 900, True)]
    assert shop.excursions() == [("temperature.high", 900, 2700, 10.0)]
    texts = dict(shop.sent())
    assert set(texts) == {OWNER.phone, STAFF.phone}
    assert texts[OWNER.phone].startswith("Fridge 3: 9.5 C, acima de 8 C desde ")
    assert texts[STAFF.phone].startswith("Fridge 3: 9.5 C, above 8 C since ")


def test_a_low_battery_is_told_to_staff_only(shop):
    shop.feed((NOW_S, 5.0, 20), (NOW_S + 900, 5.0, 19))
    shop.work(for_ms=70_000)
    assert shop.told() == [("battery.low", 900, True)]
    assert [to for to, _ in shop.sent()] == [STAFF.phone]


def test_limits_are_strict_and_zero_is_a_reading(shop):
    device = shop.add_device({"minTemperature": "0", "maxTemperature": "0"})
    shop.feed(*quarters(0.0, -0.0, 0.0), device=device)
    shop.feed((NOW_S + 2700, -0.01), device=device)
    shop.work()
    assert shop.told() == [("temperature.low", 2700, True)]


def test_changed_limits_hold_at_once(shop):
    topology = shop.topology("thresholds", THRESHOLDS)
    shop.feed((NOW_S, 7.0))
    shop.run(topology)
    shop.provisioning.change_device(shop.device.id, config={"maxTemperature": "6"})
    shop.feed((NOW_S + 900, 7.0))
    shop.run(topology)
    assert shop.told() == [("temperature.high", 900, True)]


def test_limits_that_cannot_be_read_are_counted_and_the_others_hold(shop):
    """Tried: text, a minimum above the maximum."""
    broken = shop.add_device()
    crossed = shop.add_device()
    limits = {
        broken.id: {"maxTemperature": "warm", "minTemperature": "2"},
        crossed.id: {"maxTemperature": "2", "minTemperature": "8"},
    }
    shop.registry.put_devices(
        replace(device, config=limits[device.id])
        for device in shop.registry.devices(limits).values()
    )
    for device in (broken, crossed):
        shop.feed((NOW_S, 1.0, 10), device=device)
    topology = shop.topology("thresholds", THRESHOLDS)
    shop.run(topology)
    (bolt,) = topology.components("config_bolt")
    assert bolt.counters["limits_unreadable"] == 2
    assert [kind for kind, *_ in shop.told()] == ["battery.low", "battery.low", "temperature.low"]


def test_a_power_cut_in_a_shop_is_one_message_to_each(shop):
    devices = [shop.device, *(shop.add_device() for _ in range(14))]
    for n, device in enumerate(devices):
        shop.feed((NOW_S + n, 12.0), device=device)
    shop.work(for_ms=70_000)
    assert len(shop.told()) == 15
    assert sorted(to for to, _ in shop.sent()) == [OWNER.phone, STAFF.phone]
    assert all(text.startswith("15 alert") for _, text in shop.sent())


def test_a_flushed_backlog_tells_what_is_over_once_and_what_holds_at_once(shop):
    six_hours = quarters(*(9.0 if 4 <= n < 8 or n >= 20 else 5.0 for n in range(25)))
    for at_s, value in six_hours:
        shop.feed((at_s, value), late_s=six_hours[-1][0] - at_s)
    shop.work()
    assert shop.told() == [("temperature.high", 3600, False), ("temperature.high", 23 * 900, True)]
    assert shop.excursions() == [
        ("temperature.high", 3600, 7200, 9.0),
        ("temperature.high", 18_000, None, 9.0),
    ]


def test_the_same_reading_a_hundred_times_is_one_alert(shop):
    for _ in range(100):
        shop.feed((NOW_S, 9.0))
    shop.work(for_ms=70_000)
    assert shop.told() == [("temperature.high", 0, True)]
    assert len(shop.sent()) == 2


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_readings_end_in_the_same_excursions(tmp_path, seed):
    """Readings of seven days, in order at one site, shuffled and partly repeated at another."""
    rng = random.Random(seed)
    temperature = 5.0
    readings = []
    for n in range(7 * 96):
        temperature = min(14.0, max(-2.0, temperature + rng.uniform(-1.5, 1.5)))
        readings.append((NOW_S + n * QUARTER_S, round(temperature, 2)))
    in_order, shuffled = Shop(tmp_path / "a"), Shop(tmp_path / "b")
    in_order.feed(*readings)
    in_order.work()
    mixed = readings + rng.sample(readings, 50)
    rng.shuffle(mixed)
    for start in range(0, len(mixed), 100):
        shuffled.feed(*mixed[start : start + 100])
        shuffled.work()
    assert in_order.excursions()
    assert shuffled.excursions() == in_order.excursions()


def test_a_clock_an_hour_ahead_and_back_tells_of_one_excursion(shop):
    """The device's clock jumps ahead with the third reading and is put right with the fifth."""
    times = (0, 900, 1800 + 3600, 2700 + 3600, 3600, 4500, 7200)
    for at_s, value in zip(times, (5.0, 9.0, 9.0, 9.0, 9.0, 9.0, 5.0), strict=True):
        shop.feed((NOW_S + at_s, value))
        shop.work()
    assert shop.excursions() == [("temperature.high", 900, 7200, 9.0)]
    assert shop.told() == [("temperature.high", 900, True)]


def test_a_late_reading_waits_for_the_raw_store(shop):
    """Rebuilding without what raw has not stored yet would forget excursions."""
    shop.feed(*quarters(5.0, 9.0, 5.0))
    thresholds = shop.topology("thresholds", THRESHOLDS)
    shop.run(thresholds)
    shop.feed((NOW_S + 450, 9.5))
    for _ in range(20):
        thresholds.run_until_idle()
        shop.clock.advance_to(shop.clock.monotonic_ms() + 100)
    (bolt,) = thresholds.components("temperature_bolt")
    assert bolt.counters["failed_unavailable"] > 0
    raw = shop.topology("raw", RAW)
    shop.run(raw)
    shop.run(thresholds)
    assert shop.excursions() == [("temperature.high", 450, 1800, 9.5)]


def test_a_late_reading_does_not_stand_in_for_one_that_raw_has_not_stored_yet(shop):
    shop.feed(*quarters(5.0, 9.0))
    shop.run(shop.topology("raw", RAW))
    shop.feed(*quarters(5.0, start_s=NOW_S + 1800))
    thresholds = shop.topology("thresholds", THRESHOLDS)
    shop.run(thresholds)
    shop.feed((NOW_S + 450, 9.5))
    thresholds.run_until_idle()
    (bolt,) = thresholds.components("temperature_bolt")
    assert bolt.counters["failed_unavailable"] == 1
    shop.run(shop.topology("raw", RAW))
    shop.run(thresholds)
    assert shop.excursions() == [("temperature.high", 450, 1800, 9.5)]


def test_a_raw_store_that_stays_behind_holds_up_nobody(shop):
    """The late reading is made up for once raw is back and the device speaks again."""
    shop.feed(*quarters(5.0, 9.0, 5.0))
    thresholds = shop.topology("thresholds", THRESHOLDS)
    shop.run(thresholds)
    shop.feed((NOW_S + 450, 9.5), *quarters(9.0, start_s=NOW_S + 2700))
    shop.run(thresholds)
    assert ("temperature.high", 2700, None, 9.0) in shop.excursions()
    assert ("temperature.high", 900, 1800, 9.0) in shop.excursions()
    shop.run(shop.topology("raw", RAW))
    shop.feed(*quarters(5.0, start_s=NOW_S + 3600))
    shop.run(thresholds)
    assert shop.excursions() == [
        ("temperature.high", 450, 1800, 9.5),
        ("temperature.high", 2700, 3600, 9.0),
    ]


def test_readings_that_raw_never_stores_are_given_up_after_an_hour(shop):
    shop.feed(*quarters(5.0, 9.0, 5.0))
    thresholds = shop.topology("thresholds", THRESHOLDS)
    shop.run(thresholds)
    shop.feed((NOW_S + 450, 9.5))
    shop.run(thresholds)
    (bolt,) = thresholds.components("temperature_bolt")
    assert bolt.counters["rebuilds_deferred"] > 0
    shop.clock.advance_to(shop.clock.monotonic_ms() + 3_600_000)
    shop.feed(*quarters(5.0, start_s=NOW_S + 2700))
    shop.run(thresholds)
    assert bolt.counters["rebuilt"] == 1
    assert shop.excursions() == []


def test_a_state_that_cannot_be_read_is_begun_anew(shop):
    """Tried: no JSON, JSON of something else."""
    for n, broken in enumerate(("{", '{"temperature":3}')):
        device = shop.add_device()
        shop.feed((NOW_S + n, 5.0), device=device)
        shop.run(shop.topology("thresholds", THRESHOLDS))
        states = wiring.state_store(shop.settings, shop.clock)
        key = f"thresholds:{device.id}"
        version = states.load([key], now_ms=0)[key].version
        states.save([StateChange(key, version, broken)], now_ms=0)
        shop.feed((NOW_S + 900, 9.0), device=device)
        shop.run(shop.topology("thresholds", THRESHOLDS))
    assert len(shop.told()) == 2


@pytest.mark.parametrize(
    ("component", "stream"),
    [("parser", "default"), ("config_bolt", "default"), ("temperature_bolt", "default"), ("battery_bolt", "default")],
)  # fmt: skip
def test_a_bolt_that_fails_every_third_tuple_tells_nothing_twice(shop, component, stream):
    readings = quarters(*(9.0 if n % 8 in (3, 4) else 5.0 for n in range(80)))
    for at_s, value in readings:
        shop.feed((at_s, value))
    shop.run(shop.topology("raw", RAW))
    tested = inject(THRESHOLDS, bolts=[("saboteur", failing_every(3), component, stream)])
    site_settings = {"qold.poll_records": 7}
    topology = shop.topology("thresholds", tested, **site_settings)
    shop.run(topology, for_ms=600_000)
    (saboteur,) = topology.components("saboteur")
    assert saboteur.failed > 0
    assert shop.told() == [("temperature.high", 900 * (3 + 8 * n), True) for n in range(10)]
    assert len(shop.excursions()) == 10


class FlakyDirectory:
    """A directory that is away until told otherwise, and counts how often it is asked."""

    def __init__(self, staff=None):
        self._staff, self.is_away, self.asked = staff, True, 0

    def look_up(self, device_ids):
        self.asked += 1
        if self.is_away:
            raise Unavailable("qold-app: timed out")
        return dict.fromkeys(device_ids, OWNER)

    def staff(self):
        if self._staff is None and self.is_away:
            self.asked += 1
            raise Unavailable("qold-app: timed out")
        return self._staff or STAFF


def test_a_directory_that_is_away_means_the_staff(shop, monkeypatch):
    directory = FlakyDirectory(STAFF)
    monkeypatch.setattr(wiring, "directory", lambda settings, clock: directory)
    for n in range(20):
        shop.feed((NOW_S + n, 9.0), device=shop.add_device())
    shop.feed((NOW_S, 9.0))
    shop.work(for_ms=70_000)
    assert [to for to, _ in shop.sent()] == [STAFF.phone]
    assert shop.sent()[0][1].startswith("21 alerts: device ")
    assert directory.asked == 1, "each question to a directory that hangs lasts nine seconds"


def test_before_the_directory_has_ever_answered_it_is_the_fallback(tmp_path, monkeypatch):
    shop = Shop(tmp_path, fallback_phone="+351933333333")
    monkeypatch.setattr(wiring, "directory", lambda settings, clock: FlakyDirectory())
    shop.feed((NOW_S, 9.0))
    shop.work(for_ms=70_000)
    assert [to for to, _ in shop.sent()] == ["+351933333333"]


def test_without_a_fallback_an_alert_waits_for_the_directory(shop, monkeypatch):
    directory = FlakyDirectory()
    monkeypatch.setattr(wiring, "directory", lambda settings, clock: directory)
    shop.feed((NOW_S, 9.0))
    shop.work(for_ms=100_000)
    assert (shop.sent(), len(shop.told())) == ([], 1)
    directory.is_away = False
    shop.work(for_ms=130_000)
    assert sorted(to for to, _ in shop.sent()) == [OWNER.phone, STAFF.phone]


def test_a_device_that_nobody_knows_is_told_to_the_staff(shop):
    (device,) = shop.provisioning.create_devices(1, active=True, config=LIMITS)
    shop.feed((NOW_S, 9.0), device=device)
    shop.work(for_ms=70_000)
    assert [to for to, _ in shop.sent()] == [STAFF.phone]


class FlakyNotifier:
    """A provider that is away so many times, and remembers under which ids it was asked."""

    def __init__(self, away):
        self.away, self.asked = away, []

    def send(self, *, message_id, to, text):
        self.asked.append((message_id, to, text))
        if len(self.asked) <= self.away:
            raise Unavailable("qold-sms: 503")


def test_a_provider_that_is_away_is_asked_again_under_the_same_id(shop, monkeypatch):
    notifier = FlakyNotifier(away=5)
    monkeypatch.setattr(wiring, "notifier", lambda settings, clock: notifier)
    shop.feed((NOW_S, 9.0))
    shop.work(for_ms=300_000)
    assert len(notifier.asked) == 7
    assert len(set(notifier.asked)) == 2


def test_what_is_never_delivered_is_recorded_after_a_day(shop, monkeypatch):
    monkeypatch.setattr(wiring, "notifier", lambda settings, clock: FlakyNotifier(away=10**9))
    shop.feed((NOW_S, 9.0))
    shop.work(for_ms=60_000)
    shop.clock.advance_to(shop.clock.monotonic_ms() + 25 * 3_600_000)
    shop.work(for_ms=2_000)
    (story,) = shop.alert_log.alerts()
    assert {d.status for d in story.deliveries if d.channel == "sms"} == {"expired"}


class Dying:
    """A state store that a process does not live to write to."""

    def __init__(self, store):
        self._store = store

    def load(self, keys, *, now_ms):
        return self._store.load(keys, now_ms=now_ms)

    def save(self, changes, *, now_ms):
        raise Unavailable("killed")


@pytest.fixture
def crash(shop, monkeypatch):
    """Runs thresholds until it would write a state; alerts are written, states are not."""

    def crash():
        real = wiring.state_store
        monkeypatch.setattr(wiring, "state_store", lambda s, c: Dying(real(s, c)))
        shop.topology("thresholds", THRESHOLDS).run_until_idle()
        monkeypatch.setattr(wiring, "state_store", real)
        shop.clock.advance_to(shop.clock.monotonic_ms() + 120_000)

    return crash


def test_a_crash_between_alert_and_state_tells_once(shop, crash):
    """Everything is read again."""
    shop.feed(*quarters(5.0, 9.0, 9.0))
    crash()
    assert len(shop.told()) == 1
    shop.work(for_ms=120_000)
    assert shop.told() == [("temperature.high", 900, True)]
    assert len(shop.sent()) == 2


def test_after_a_crash_what_was_told_counts_also_where_more_is_read_at_once(shop, crash):
    """The late reading was told of; read again together with the next one, it comes after it."""
    shop.feed(*quarters(5.0, 5.0))
    shop.work()
    shop.feed((NOW_S + 450, 9.0))
    shop.run(shop.topology("raw", RAW))
    crash()
    assert shop.told() == [("temperature.high", 450, False)]
    shop.feed(*quarters(9.0, start_s=NOW_S + 1800))
    shop.work()
    assert shop.told() == [("temperature.high", 450, False)]


def test_a_restart_forgets_nothing_and_alarms_nobody(shop):
    shop.feed(*quarters(5.0, 9.0, 9.0))
    shop.work(for_ms=70_000)
    shop.feed(*quarters(9.0, 9.0, start_s=NOW_S + 2700))
    shop.work(for_ms=70_000)
    assert len(shop.told()) == 1
    assert len(shop.sent()) == 2


def test_a_state_that_another_task_has_changed_is_judged_again(shop, monkeypatch):
    """The other task has taken the very same readings; then one that knows an older reading."""
    real = wiring.state_store
    others = []

    class Contended:
        """Before the first save somebody else saves the same."""

        def __init__(self, store):
            self._store = store

        def load(self, keys, *, now_ms):
            return self._store.load(keys, now_ms=now_ms)

        def save(self, changes, *, now_ms):
            if not others:
                others.append(changes)
                assert self._store.save(changes, now_ms=now_ms) == []
            return self._store.save(changes, now_ms=now_ms)

    monkeypatch.setattr(wiring, "state_store", lambda s, c: Contended(real(s, c)))
    shop.feed(*quarters(5.0, 9.0, 9.0))
    shop.run(shop.topology("raw", RAW))
    topology = shop.topology("thresholds", THRESHOLDS)
    shop.run(topology)
    (bolt,) = topology.components("battery_bolt")
    assert bolt.counters["states_changed_meanwhile"] == 1
    assert bolt.counters["failed_unavailable"] == 0
    assert shop.told() == [("temperature.high", 900, True)]
    assert shop.excursions() == [("temperature.high", 900, None, 9.0)]


def test_limits_hold_on_while_the_registry_is_away(shop, monkeypatch):
    topology = shop.topology("thresholds", THRESHOLDS)
    shop.feed((NOW_S, 5.0))
    shop.run(topology)
    (bolt,) = topology.components("config_bolt")

    class Away:
        def devices(self, ids):
            raise Unavailable("no host available")

    bolt.registry = Away()
    shop.clock.advance_to(shop.clock.monotonic_ms() + 3_600_000)
    shop.feed((NOW_S + 3600, 9.0))
    shop.run(topology)
    assert bolt.counters["registry_away"] == 1
    assert shop.told() == [("temperature.high", 3600, True)]
