"""What one hostile gateway can make of `reports.rejected`, and what it leaves of the others' refusals."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from local.topologies import load_topology
from qold import wiring
from qold.ports import Unavailable
from qold.redrive import Redrive
from tests.support.injection import failing_every, inject
from tests.support.pipeline import NOW_S, Site, make_batch, make_reading, make_report

AUTHENTICATION = load_topology("authentication")
BUDGET, UNPROVEN = 150, 200
COLD = {**make_reading(), "temp": "cold"}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, rejections_per_hour=BUDGET, unproven_rejections_per_hour=UNPROVEN)


def run_with(site, *reports, topic="reports"):
    """The topology after these reports, and after the minute in which counts are written."""
    topology = site.topology("authentication")
    site.log.append(topic, [("1", report) for report in reports])
    site.run(topology)
    pass_a_minute(site, topology)
    topology.stop()
    return topology


def pass_a_minute(site, topology):
    site.clock.advance_to(site.clock.monotonic_ms() + 60_001)
    site.run(topology)


def refused(site, **wanted):
    return [
        record
        for record in site.records("reports.rejected")
        if all(record.get(name) == value for name, value in wanted.items())
    ]


def empty_batches(gateway, count, token=None):
    claim = {"id": gateway.id, "auth": gateway.auth if token is None else token}
    return json.dumps({"v": 1, "gateway": claim, "batches": [[]] * count}).encode()


def redrive(site, reason):
    states = wiring.state_store(site.settings, site.clock)
    return Redrive(site.log, site.registry, states, site.settings, site.clock).run(reason)


def test_a_report_of_half_a_million_empty_batches_is_one_refusal(site):
    hostile, honest = site.provisioning.create_gateway(), site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    bomb = empty_batches(hostile, 500_000)
    neighbour = make_report(honest, make_batch(device, make_reading(), COLD))
    run_with(site, neighbour, bomb, neighbour)
    assert len(site.records("readings")) == 2
    assert len(refused(site, gateway=honest.id, reason="malformed")) == 2
    (summary,) = refused(site, gateway=hostile.id)
    assert summary["reason"] == "oversized"
    assert summary["readings"] == 500_000
    assert summary["counts"] == {"oversized": 500_000}
    assert summary["length"] == len(bomb)
    assert [shown["index"] for shown in summary["first"]] == list(range(10))


@pytest.mark.parametrize("faults", [100, 101, 4999])
def test_more_than_a_hundred_faults_of_a_report_are_one_refusal(site, faults):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    warm = {**make_reading(), "batt": 101}
    batch = make_batch(device, make_reading(temp=1.5), *[COLD] * (faults - 1), warm)
    run_with(site, make_report(gateway, batch))
    assert [r["reading"]["temp"] for r in site.records("readings")] == [1.5]
    found = refused(site, reason="malformed")
    assert sum(record.get("readings", 1) for record in found) == faults
    assert len(found) == (faults if faults <= 100 else 1)
    if faults > 100:
        (summary,) = found
        assert sorted(summary["counts"].values()) == [1, faults - 1]
        assert [shown["index"] for shown in summary["first"]] == list(range(1, 11))
        assert summary["first"][0]["message"]["reading"]["temp"] == "cold"
    assert str(device.auth) not in json.dumps(found)


def test_a_flood_is_bounded_and_counted_and_its_neighbour_keeps_all_of_its_own(site):
    hostile, honest = site.provisioning.create_gateway(), site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    mine = make_report(honest, make_batch(device, make_reading(), COLD))
    flood = [empty_batches(hostile, 100)] * 20
    run_with(site, *flood, *[mine] * BUDGET, *flood)
    assert len(site.records("readings")) == BUDGET
    assert len(refused(site, gateway=honest.id)) == BUDGET
    assert len(refused(site, gateway=hostile.id, reason="malformed")) == BUDGET
    (count,) = refused(site, reason="over-budget")
    assert count["gateway"] == hostile.id
    assert count["proven"]
    assert count["readings"] == 4000 - BUDGET
    assert count["counts"] == {"malformed": 4000 - BUDGET}
    assert count["hour"] == NOW_S - NOW_S % 3600


def test_false_claims_spend_nothing_of_the_gateway_they_name(site):
    """Tried: a wrong token under another's id, ids of no gateway, reports that are no JSON."""
    hostile, honest = site.provisioning.create_gateway(), site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    false = [empty_batches(honest, 100, token=hostile.auth)] * 5
    strangers = [empty_batches(type(honest)(number, "x"), 1) for number in range(100, 600)]
    mine = make_report(honest, make_batch(device, COLD))
    run_with(site, *false, *strangers, *[b"{"] * 500, *[mine] * BUDGET)
    written = Counter(record["reason"] for record in site.records("reports.rejected"))
    last = refused(site, reason="malformed")[-BUDGET:]
    assert [record["gateway"] for record in last] == [honest.id] * BUDGET
    assert written["malformed"] == UNPROVEN + BUDGET
    counts = {r["gateway"]: r["readings"] for r in refused(site, reason="over-budget")}
    assert sum(counts.values()) == 500 + 500 + 500 - UNPROVEN
    assert len(counts) <= 2


@pytest.mark.parametrize("mistake", ["token", "inactive"])
def test_refusals_of_a_whole_backlog_can_be_driven_again(tmp_path, mistake):
    """5 000 readings of a gateway with a wrong token, or switched off, with the settings as they are."""
    site = Site(tmp_path)
    gateway = site.provisioning.create_gateway()
    devices = site.provisioning.create_devices(5, active=True)
    if mistake == "inactive":
        site.provisioning.change_gateway(gateway.id, active=False)
    times = range(NOW_S - 1000, NOW_S)
    report = make_report(
        gateway,
        *(make_batch(device, *(make_reading(time) for time in times)) for device in devices),
    )
    if mistake == "token":
        other = site.provisioning.create_gateway()
        row, wrong = (site.registry.gateways([g.id])[g.id] for g in (gateway, other))
        site.registry.put_gateways([replace(row, auth=wrong.auth)])
    run_with(site, report)
    assert len(refused(site)) == 5000
    if mistake == "token":
        site.registry.put_gateways([row])
    else:
        site.provisioning.change_gateway(gateway.id, active=True)
    result = redrive(site, "bad-gateway-token" if mistake == "token" else "inactive-gateway")
    assert result.published == 5000


def test_a_flood_of_refused_events_is_bounded_and_counted(site):
    hostile, honest = site.provisioning.create_gateway(), site.provisioning.create_gateway()

    def event(gateway, auth):
        told = {"kind": "outbox-drop", "time": NOW_S, "data": {"count": 1}}
        claim = {"id": gateway.id, "auth": auth}
        return json.dumps({"v": 1, "gateway": claim, "event": told}).encode()

    false = [event(honest, hostile.auth)] * 500
    run_with(site, *false, *[b"[]"] * 500, event(honest, honest.auth), topic="gateway.events")
    assert len(site.records("events")) == 1
    written = Counter(record["reason"] for record in site.records("reports.rejected"))
    assert written["bad-gateway-token"] + written["malformed"] == UNPROVEN
    over = Counter()
    for record in refused(site, reason="over-budget"):
        over.update(record["counts"])
    assert over.total() == 1000 - UNPROVEN


@pytest.mark.parametrize("shards", [0, 1, 4])
def test_a_replay_writes_no_other_refusals_and_counts_none_again(tmp_path, shards):
    site = Site(tmp_path, rejections_per_hour=BUDGET, shards=shards, poll_records=4)
    hostile = site.provisioning.create_gateway()
    devices = site.provisioning.create_devices(5, active=True)
    early = make_reading(5)
    report = make_report(hostile, *(make_batch(device, early, COLD) for device in devices))
    saboteur = ("saboteur", failing_every(7), "join_bolt", "rejected")
    topology = site.topology("authentication", inject(AUTHENTICATION, bolts=[saboteur]))
    site.log.append("reports", [("1", report)] * 40)
    site.run(topology)
    pass_a_minute(site, topology)
    assert topology.components("reports")[0].counters["failed"]
    found = [r for r in site.records("reports.rejected") if r["reason"] != "over-budget"]
    unique = {(r["source"], r["index"]) for r in found}
    assert len(unique) == BUDGET
    assert sum(r["readings"] for r in refused(site, reason="over-budget")) == 400 - BUDGET


class FaultyLog:
    """A real log whose brokers are away for a number of appends."""

    def __init__(self, log, away):
        self._log, self._away = log, away

    def append(self, topic, entries):
        if self._away:
            self._away -= 1
            raise Unavailable("no broker answers")
        self._log.append(topic, entries)


def test_a_count_that_cannot_be_written_waits_for_the_log(site):
    hostile = site.provisioning.create_gateway()
    topology = site.topology("authentication")
    site.log.append("reports", [("1", empty_batches(hostile, 100))] * 2)
    site.run(topology)
    (kafka_bolt,) = topology.components("kafka_bolt")
    kafka_bolt.message_log = FaultyLog(kafka_bolt.message_log, away=1)
    pass_a_minute(site, topology)
    assert kafka_bolt.counters["ticks_unavailable"] == 1
    assert refused(site, reason="over-budget") == []
    pass_a_minute(site, topology)
    pass_a_minute(site, topology)
    (count,) = refused(site, reason="over-budget")
    assert count["readings"] == 200 - BUDGET
