"""The system topology: what the staff must know of gateways, consumers, refusals and stores."""

import json

import pytest

from local.topologies import load_topology
from qold import wiring
from qold.domain.model import Contact
from qold.ports import Unavailable
from tests.support.injection import failing_every, inject
from tests.support.pipeline import NOW_S, Site, make_record

SYSTEM = load_topology("system")
STAFF, OWNER = Contact("", "Qold", "+351922222222", "en"), Contact("F", "Ana", "+351911111111")


class Operations(Site):
    """An installation, and whom its staff is."""

    def __init__(self, folder, **settings):
        super().__init__(folder, notifier_url="file:sent.jsonl", **settings)
        self.folder = folder
        directory = wiring.contact_book(self.settings, self.clock)
        directory.put_staff(STAFF)
        directory.put(1, OWNER)
        self.alert_log = wiring.alert_log(self.settings, self.clock)
        self.system = self.topology("system", SYSTEM)

    def tell(self, kind, *, gateway=1, **data):
        event = {"kind": kind, "time": self.clock.wall_ms() // 1000, "data": data}
        record = {"v": 1, "gateway": {"id": gateway}, "event": event}
        record |= {"received": event["time"], "origin": "gateway.events:0:0"}
        self.log.append("events", [(str(gateway), json.dumps(record).encode())])

    def live(self, minutes):
        until_ms = self.clock.monotonic_ms() + minutes * 60_000
        while self.clock.monotonic_ms() < until_ms:
            self.clock.advance_to(self.clock.monotonic_ms() + 5_000)
            self.system.run_until_idle()

    def told(self):
        alerts = [story.alert for story in self.alert_log.alerts()]
        alerts.sort(key=lambda alert: (alert.fired_at_ms, alert.kind, alert.subject))
        return [(alert.kind, alert.subject, alert.detail) for alert in alerts]

    def texts(self):
        path = self.folder / "sent.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [(sent["to"], sent["text"]) for sent in map(json.loads, lines)]


@pytest.fixture
def site(tmp_path):
    return Operations(tmp_path)


def test_a_healthy_installation_is_quiet(site):
    site.live(90)
    assert site.told() == []


def test_the_staff_and_nobody_else_hears_what_a_gateway_tells(site):
    site.tell("outbox-drop", count=12)
    site.tell("uplink-back", gateway=2, seconds=1800)
    site.live(3)
    assert site.told() == [("system.outbox-drop", "gateway:1", "12")]
    assert site.texts() == [
        (
            STAFF.phone,
            "gateway 1: outbox full, 12 messages lost unsent. Check its network.",
        )
    ]
    assert len((site.folder / "analytics.jsonl").read_text("utf-8").splitlines()) == 1


def test_an_event_told_a_hundred_times_and_read_again_is_one_alert(site):
    for _ in range(100):
        site.tell("port-lost", port="/dev/ttyUSB0")
    site.live(3)
    site.system.stop()
    with site.log._file.writing() as db:  # the offsets are lost, everything is read again
        db.execute("DELETE FROM offsets")
    site.system = site.topology("system", SYSTEM)
    site.live(3)
    assert len(site.told()) == len(site.texts()) == 1


@pytest.mark.parametrize("value", [b"", b"[]", b'{"v":9}', b'{"v":1,"gateway":{"id":1}}'])
def test_what_is_no_event_is_a_dead_letter_and_told_as_such(site, value):
    site.live(1)
    site.log.append("events", [("1", value)])
    site.tell("error", message="E7")
    site.live(2)
    (letter,) = site.records("events.dlq")
    assert letter["topology"] == "system"
    assert [kind for kind, *_ in site.told()] == ["system.error", "system.growth"]


def test_dead_letters_and_refusals_that_grow(site):
    site.live(1)
    site.log.append("readings.dlq", [("a", b"{}")] * 3)
    site.log.append("reports.rejected", [("a", b"{}")] * 2)
    site.live(2)
    site.log.append("readings.dlq", [("a", b"{}")] * 4)
    site.live(58)
    assert site.told() == [
        ("system.growth", "system:readings.dlq", "3"),
        ("system.growth", "system:reports.rejected", "2"),
    ]
    site.live(5)
    assert site.told()[2:] == [("system.growth", "system:readings.dlq", "4")]


def test_a_topology_that_stands_still_is_told_and_one_that_never_ran_is_not(site):
    raw = site.topology("raw")
    site.log.append("readings", [("1", make_record(1))])
    site.run(raw)
    raw.stop()
    site.live(2)
    site.log.append("readings", [("1", make_record(1, NOW_S + n)) for n in range(7)])
    site.live(20)
    assert site.told() == [("system.lag", "system:raw.readings", "7")]
    assert site.texts()[0][1].startswith("system raw.readings falls behind: 7 records wait since ")


def test_a_store_that_is_away_is_told_once_and_when_it_is_away_again(site, monkeypatch):
    (health,) = site.system.components("health")
    site.live(1)

    def refuse():
        raise Unavailable("raw.db: connection refused")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(health.stores["raw store"], "ping", refuse)
            site.live(10)
        site.live(10)
    assert (
        site.told() == [("system.store-away", "system:raw store", "raw.db: connection refused")] * 2
    )


def test_a_restart_tells_nothing_again(site):
    site.live(1)
    site.tell("outbox-drop", count=12)
    site.log.append("readings.dlq", [("a", b"{}")])
    for _ in range(5):
        site.live(2)
        site.system.stop()
        site.system = site.topology("system", SYSTEM)
    site.live(2)
    assert len(site.told()) == 2
    assert len(site.texts()) <= 2


def test_a_saboteur_changes_nothing(site):
    tested = inject(SYSTEM, bolts=[("saboteur", failing_every(2), "parser", "default")])
    tested = inject(tested, bolts=[("another", failing_every(3), "health", "default")])
    site.system = site.topology("system", tested, **{"qold.poll_records": 1})
    for gateway in range(1, 10):
        site.tell("outbox-drop", gateway=gateway, count=gateway)
    site.live(10)
    (saboteur,) = site.system.components("saboteur")
    assert saboteur.failed > 0
    assert sorted(subject for _, subject, _ in site.told()) == [
        f"gateway:{n}" for n in range(1, 10)
    ]
