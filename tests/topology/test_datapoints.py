"""The datapoints topology: windows of temperature and battery into the reading store (7.3.3)."""

import pytest

from local.topologies import load_topology
from qold import wiring
from tests.support.injection import ListeningBolt, dummy_spout, failing_every, inject
from tests.support.pipeline import NOW_S, FaultyStore, Site, make_record

DATAPOINTS = load_topology("datapoints")
EVER = (0, 2**53)
DEVICES = range(1, 5)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def dummy_records(count=60):
    """Deterministic records of four devices, every tenth a sensor fault, every sixth no battery."""
    truth = [
        (1 + n % 4, (NOW_S + n) * 1000, None if n % 10 == 9 else n / 8, None if n % 6 == 5 else n)
        for n in range(count)
    ]
    records = [
        make_record(device, ms // 1000, temp=temp, batt=batt, origin=f"reports:0:{n}:0")
        for n, (device, ms, temp, batt) in enumerate(truth)
    ]
    temperature = sorted((d, ms, temp) for d, ms, temp, _ in truth if temp is not None)
    battery = sorted((d, ms, batt) for d, ms, _, batt in truth if batt is not None)
    return records, temperature, battery


def spout_of(records, size=5):
    return dummy_spout("readings", *(records[n : n + size] for n in range(0, len(records), size)))


def stored(site, metric):
    return sorted(
        (point.device_id, point.measured_at_ms, point.value)
        for device in DEVICES
        for point in site.readings.query(metric, device, *EVER)
    )


@pytest.mark.parametrize("shards", [0, 4])
def test_each_value_is_stored_under_its_metric_and_time(tmp_path, shards):
    """A sensor fault has no temperature and an unknown battery no point; shards change nothing."""
    site = Site(tmp_path, shards=shards)
    records, temperature, battery = dummy_records()
    site.run(
        site.topology("datapoints", inject(DATAPOINTS, spouts=[("readings", spout_of(records))]))
    )
    assert stored(site, "Temperature") == temperature
    assert stored(site, "Battery") == battery
    assert {type(value) for *_, value in stored(site, "Temperature")} == {float}
    assert {type(value) for *_, value in stored(site, "Battery")} == {int}


def test_a_window_closes_by_time_into_one_write(site):
    records, temperature, _ = dummy_records()
    tested = inject(
        DATAPOINTS,
        spouts=[("readings", spout_of(records))],
        bolts=[("see", ListeningBolt, "temperature_bolt", "default")],
    )
    topology = site.topology("datapoints", tested)
    started_ms = site.clock.monotonic_ms()
    topology.run_until_idle()
    (see,) = topology.components("see")
    (source,) = topology.components("readings")
    assert see.tuples == []
    assert source.acked == []  # nothing is acknowledged before its window is stored
    site.run(topology)
    assert len(see.tuples) == 1
    assert len(source.acked) == 12
    assert 3000 <= site.clock.monotonic_ms() - started_ms < 6000
    assert stored(site, "Temperature") == temperature


def test_a_window_closes_by_size_before_its_time(tmp_path):
    site = Site(tmp_path, window_readings=10)
    records, temperature, battery = dummy_records()
    tested = inject(
        DATAPOINTS,
        spouts=[("readings", spout_of(records))],
        bolts=[("see", ListeningBolt, "temperature_bolt", "default")],
    )
    topology = site.topology("datapoints", tested)
    topology.run_until_idle()
    (see,) = topology.components("see")
    assert len(see.tuples) >= 4
    site.run(topology)
    assert stored(site, "Temperature") == temperature
    assert stored(site, "Battery") == battery


def test_a_window_takes_readings_that_come_one_by_one(site):
    """However many tuples they are; else a window with few readings would keep the others waiting."""
    records, _, _ = dummy_records()
    topology = site.topology("datapoints", DATAPOINTS)
    for record in records:
        site.log.append("readings", [("1", record)])
        topology.run_until_idle()
    assert topology.in_flight() == len(records)


@pytest.mark.parametrize(("records_each", "tuples"), [(1, 6), (5, 3), (6, 2), (20, 2)])
def test_what_is_in_flight_of_a_partition_is_bounded_by_its_readings(
    tmp_path, records_each, tuples
):
    """Two full tuples of three, whether few come at a time or many."""
    site = Site(tmp_path, poll_records=3, partition_in_flight=2)
    records, _, _ = dummy_records()
    topology = site.topology("datapoints", DATAPOINTS)
    for start in range(0, 20, records_each):
        site.log.append("readings", [("1", r) for r in records[start : start + records_each]])
        topology.run_until_idle()
    assert topology.in_flight() == tuples


@pytest.mark.parametrize("component", ["parser", "temperature_bolt", "battery_bolt"])
def test_a_bolt_that_fails_every_fifth_tuple_loses_nothing_and_doubles_nothing(tmp_path, component):
    site = Site(tmp_path, window_readings=10)
    records, temperature, battery = dummy_records()
    tested = inject(
        DATAPOINTS,
        spouts=[("readings", spout_of(records))],
        bolts=[("saboteur", failing_every(5), component, "default")],
    )
    topology = site.topology("datapoints", tested)
    site.run(topology)
    (source,) = topology.components("readings")
    assert source.failed
    assert len(source.acked) == 12
    assert stored(site, "Temperature") == temperature
    assert stored(site, "Battery") == battery


def test_late_and_repeated_readings_are_points_of_their_own_time_once(site):
    records, temperature, battery = dummy_records()
    shuffled = records[30:] + records[:30] + records[10:50][::-1]
    site.log.append("readings", [("1", record) for record in shuffled])
    site.run(site.topology("datapoints"))
    assert stored(site, "Temperature") == temperature
    assert stored(site, "Battery") == battery


def test_a_store_that_is_away_delays_and_drops_nothing(site, monkeypatch):
    monkeypatch.setattr(
        wiring, "reading_store", lambda settings, clock: FaultyStore(site.readings, away=5)
    )
    records, temperature, battery = dummy_records()
    site.log.append("readings", [("1", record) for record in records])
    topology = site.topology("datapoints")
    site.run(topology)
    (bolt,) = topology.components("publish_bolt")
    assert bolt.counters["failed_unavailable"] == 5
    assert stored(site, "Temperature") == temperature
    assert stored(site, "Battery") == battery
    assert site.lag("datapoints.readings", "readings") == 0


def test_a_point_that_the_store_refuses_is_a_dead_letter_and_its_neighbours_are_stored(
    site, monkeypatch
):
    monkeypatch.setattr(
        wiring,
        "reading_store",
        lambda settings, clock: FaultyStore(site.readings, refused_device=3),
    )
    records, temperature, battery = dummy_records()
    site.log.append("readings", [("1", record) for record in records])
    site.run(site.topology("datapoints"))
    assert stored(site, "Temperature") == [point for point in temperature if point[0] != 3]
    assert stored(site, "Battery") == [point for point in battery if point[0] != 3]
    letters = site.records("readings.dlq")
    refused = [point for point in temperature + battery if point[0] == 3]
    assert len(letters) == len(refused)
    assert {letter["source"] for letter in letters} == {"Temperature:3", "Battery:3"}


def test_what_waits_in_a_window_when_the_topology_stops_is_read_again(site):
    records, temperature, _ = dummy_records(20)
    site.log.append("readings", [("1", record) for record in records])
    first = site.topology("datapoints")
    first.run_until_idle()
    first.stop()
    assert stored(site, "Temperature") == []
    assert site.lag("datapoints.readings", "readings") == 20
    site.run(site.topology("datapoints"))
    assert stored(site, "Temperature") == temperature
