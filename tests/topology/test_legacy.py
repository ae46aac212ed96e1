"""The legacy topology: every reading to the old API, in order, and no more often than it must be."""

import json
import threading
from collections import Counter, defaultdict

import pytest

from local.topologies import load_topology
from qold import wiring
from qold.ports import Rejected, Unavailable
from tests.support.pipeline import NOW_S, Site, has_retries, make_record

LEGACY, RAW = load_topology("legacy"), load_topology("raw")


class OldApi:
    """The API of the system before: remembers what it took, and goes wrong as it is told.

    `rule(number, reading)` returns None, or an error; with `taken` it has taken the reading anyway.
    """

    def __init__(self, rule=lambda number, reading: None, *, taken=True):
        self.rule, self.is_taken = rule, taken
        self.requests, self.taken, self.doubts = 0, [], 0
        self.lock = threading.Lock()

    def post(self, reading):
        with self.lock:
            self.requests += 1
            error = self.rule(self.requests, reading)
            if error is None or (self.is_taken and isinstance(error, Unavailable)):
                self.taken.append((reading["id"], int(reading["t"])))
            self.doubts += isinstance(error, Unavailable)
            if error is not None:
                raise error


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def use(monkeypatch, api):
    monkeypatch.setattr(wiring, "legacy_api", lambda settings, clock: api)
    return api


def feed(site, devices=7, readings=40, start_s=NOW_S):
    """Readings of some devices, one after the other in time; what must arrive, in order."""
    entries = [
        (str(device), make_record(device, start_s + 60 * n))
        for n in range(readings)
        for device in range(1, devices + 1)
    ]
    site.log.append("readings", entries)
    return {str(d): [start_s + 60 * n for n in range(readings)] for d in range(1, devices + 1)}


def per_device(taken):
    found = defaultdict(list)
    for device, time_s in taken:
        found[device].append(time_s)
    return dict(found)


def without_doubles(times):
    return [t for n, t in enumerate(times) if n == 0 or t != times[n - 1]]


def test_a_reading_as_the_old_api_spells_it(site, monkeypatch):
    posted = []
    api = use(monkeypatch, OldApi(lambda number, reading: posted.append(reading)))
    readings = [{"temp": 4.2}, {"temp": -0.0}, {"temp": None}, {"batt": None}, {"temp": -18.5}]
    site.log.append("readings", [("123", make_record(123, **more)) for more in readings])
    site.run(site.topology("legacy", LEGACY))
    assert [(r["temperature"], r["battery"]) for r in posted] == [
        ("4.20", "88"),
        ("-0.00", "88"),
        ("", "88"),
        ("4.21", ""),
        ("-18.50", "88"),
    ]
    assert {(r["id"], r["t"]) for r in posted} == {("123", str(NOW_S))}
    assert api.requests == 5
    assert site.lag("legacy.readings", "readings") == 0


def test_what_the_api_refuses_is_a_dead_letter_and_its_neighbours_go_on(site, monkeypatch):
    def refuse_device_3(number, reading):
        return Rejected("http-422", "no such fridge") if reading["id"] == "3" else None

    api = use(monkeypatch, OldApi(refuse_device_3))
    expected = feed(site)
    refused = expected.pop("3")
    topology = site.topology("legacy", LEGACY)
    site.run(topology)
    assert per_device(api.taken) == expected
    letters = site.records("readings.dlq")
    assert {(letter["topology"], letter["reason"]) for letter in letters} == {
        ("legacy", "http-422")
    }
    assert sorted(int(json.loads(letter["value"])["t"]) for letter in letters) == refused
    (bolt,) = topology.components("legacy_bolt")
    assert (bolt.counters["posted"], bolt.counters["dead_letters"]) == (6 * 40, 40)


@pytest.mark.parametrize("every", [2, 7, 50])
@pytest.mark.parametrize("taken", [True, False], ids=["taken anyway", "not taken"])
def test_a_failure_doubles_one_request_at_most_and_keeps_the_order(site, monkeypatch, every, taken):
    def fail(number, reading):
        return Unavailable("500") if number % every == 0 else None

    api = use(monkeypatch, OldApi(fail, taken=taken))
    expected = feed(site)
    site.run(site.topology("legacy", LEGACY), for_ms=24 * 3_600_000)
    arrived = per_device(api.taken)
    assert {device: without_doubles(times) for device, times in arrived.items()} == expected
    doubled = len(api.taken) - sum(map(len, expected.values()))
    assert doubled == (api.doubts if taken else 0)
    assert max(Counter(api.taken).values()) <= 1 + api.doubts


def test_a_slow_api_is_served_to_the_end_and_nothing_twice(site, monkeypatch):
    """Ten seconds for each request, many times what a message may take."""

    def slowly(number, reading):
        site.clock.advance_to(site.clock.monotonic_ms() + 10_000)

    api = use(monkeypatch, OldApi(slowly))
    expected = feed(site, readings=20)
    topology = site.topology("legacy", LEGACY)
    site.run(topology, for_ms=24 * 3_600_000)
    assert per_device(api.taken) == expected
    assert topology.counters()["readings"]["timed_out"] == 0


def test_a_restart_goes_on_where_it_stopped(site, monkeypatch):
    """Also with more readings behind those that were left, which come in one tuple with them."""
    api = use(monkeypatch, OldApi(lambda n, r: Unavailable("500") if n > 90 else None, taken=False))
    expected = feed(site)
    topology = site.topology("legacy", LEGACY)
    topology.run_until_idle()
    assert 90 <= len(api.taken) < 280
    more = feed(site, readings=10, start_s=NOW_S + 10**6)
    api.rule = lambda number, reading: None
    site.run(site.topology("legacy", LEGACY))
    assert per_device(api.taken) == {d: expected[d] + more[d] for d in expected}


def test_a_log_made_anew_is_posted_from_its_beginning(site, monkeypatch):
    api = use(monkeypatch, OldApi())
    feed(site)
    site.run(site.topology("legacy", LEGACY))
    api.taken.clear()
    with site.log._file.writing() as db:  # what a deleted log.db comes to
        db.execute("DELETE FROM offsets")
        db.execute("DELETE FROM records")
        db.execute("UPDATE heads SET next_offset = 0, first_offset = 0")
    expected = feed(site, start_s=NOW_S + 10**6)
    site.run(site.topology("legacy", LEGACY))
    assert per_device(api.taken) == expected


def test_a_dead_api_slows_nobody_else(site, monkeypatch):
    use(monkeypatch, OldApi(lambda number, reading: Unavailable("connection refused")))
    feed(site)
    legacy, raw = site.topology("legacy", LEGACY), site.topology("raw", RAW)
    for _ in range(20):
        legacy.run_until_idle()
        raw.run_until_idle()
        site.clock.advance_to(site.clock.monotonic_ms() + 1000)
    assert has_retries(legacy)
    assert site.lag("legacy.readings", "readings") == 280
    assert site.lag("raw.readings", "readings") == 0
    assert site.raw.count() == 280


def test_with_no_old_api_readings_are_let_go(site):
    feed(site)
    topology = site.topology("legacy", LEGACY)
    site.run(topology)
    (bolt,) = topology.components("legacy_bolt")
    assert sum(api.posted for api in bolt.apis) == 280
    assert site.lag("legacy.readings", "readings") == 0
