"""The raw topology: every authenticated message is kept, once (source 7.3.1)."""

import json

import pytest

from local.topologies import load_topology
from qold import wiring
from tests.support.injection import (
    ListeningBolt,
    dummy_spout,
    failing_every,
    inject,
)
from tests.support.pipeline import NOW_S, FaultyStore, Site, make_record

RAW = load_topology("raw")
DAY = ((NOW_S - 86_400) * 1000, (NOW_S + 86_400) * 1000)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def dummy_records(count=60):
    """Deterministic records of four devices, five to a tuple."""
    records = [
        make_record(1 + n % 4, NOW_S + n, origin=f"reports:0:{n}:0", seq=n, temp=n / 8)
        for n in range(count)
    ]
    return records, dummy_spout("readings", *(records[n : n + 5] for n in range(0, count, 5)))


def stored(site):
    return sorted(
        (json.loads(row.message) for device in range(1, 6) for row in site.raw.read(device, *DAY)),
        key=lambda message: message["origin"],
    )


def by_origin(records):
    return sorted(map(json.loads, records), key=lambda message: message["origin"])


def test_a_message_is_kept_as_it_stood_on_the_log(site):
    records, spout = dummy_records()
    site.run(site.topology("raw", inject(RAW, spouts=[("readings", spout)])))
    assert stored(site) == by_origin(records)


@pytest.mark.parametrize("shards", [0, 4])
def test_the_number_of_shards_changes_nothing(tmp_path, shards):
    site = Site(tmp_path, shards=shards)
    records, spout = dummy_records()
    site.run(site.topology("raw", inject(RAW, spouts=[("readings", spout)])))
    assert stored(site) == by_origin(records)


def test_a_device_is_always_handled_by_one_task(tmp_path):
    """Fields grouping by device shard: an injected bolt sees each device in one shard only."""
    site = Site(tmp_path, shards=4)
    _, spout = dummy_records()
    tested = inject(
        RAW,
        spouts=[("readings", spout)],
        bolts=[("see", ListeningBolt, "parser", "default")],
    )
    topology = site.topology("raw", tested)
    site.run(topology)
    (see,) = topology.components("see")
    assert {tup.values.device_shard for tup in see.tuples} == {0, 1, 2, 3}


@pytest.mark.parametrize("nth", [5, 7])
def test_a_bolt_that_fails_every_nth_tuple_loses_nothing_and_doubles_nothing(site, nth):
    records, spout = dummy_records()
    tested = inject(
        RAW,
        spouts=[("readings", spout)],
        bolts=[("saboteur", failing_every(nth), "parser", "default")],
    )
    topology = site.topology("raw", tested)
    site.run(topology)
    (source,) = topology.components("readings")
    assert source.failed
    assert len(source.acked) == 12
    assert stored(site) == by_origin(records)


def test_a_record_that_comes_twice_is_stored_once(site):
    records, _ = dummy_records(10)
    topology = site.topology("raw")
    site.log.append("readings", [("1", record) for record in records * 3])
    site.run(topology)
    assert stored(site) == by_origin(records)


BAD_RECORDS = {
    "not JSON": (b"{", "malformed"),
    "invalid UTF-8": (b'{"v":1,"origin":"\xff"}', "malformed"),
    "deep nesting": (b"[" * 100_000, "malformed"),
    "no device": (b'{"v":1,"gateway":{"id":1}}', "malformed"),
    "a newer version": (make_record(1).replace(b'"v": 1', b'"v": 2'), "newer-version"),
    "an older version": (make_record(1).replace(b'"v": 1', b'"v": 0'), "malformed"),
    "a huge integer": (make_record(1).replace(b'"id": 1', b'"id": 1' + b"0" * 50), "malformed"),
    "NaN": (make_record(1, temp=float("nan")), "malformed"),
}


@pytest.mark.parametrize(("value", "reason"), BAD_RECORDS.values(), ids=BAD_RECORDS.keys())
def test_a_bad_record_is_a_dead_letter_and_its_neighbours_are_stored(site, value, reason):
    good = [make_record(1, NOW_S + n, origin=f"reports:0:{n}:0") for n in (1, 2)]
    site.log.append("readings", [("1", good[0]), ("1", value), ("1", good[1])])
    site.run(site.topology("raw"))
    assert stored(site) == by_origin(good)
    (letter,) = site.records("readings.dlq")
    assert (letter["reason"], letter["topology"], letter["length"]) == (reason, "raw", len(value))
    assert letter["source"].startswith("readings:")
    assert site.lag("raw.readings", "readings") == 0


def test_a_store_that_is_away_delays_and_drops_nothing(site, monkeypatch):
    monkeypatch.setattr(wiring, "raw_store", lambda settings, clock: FaultyStore(site.raw, away=7))
    records, _ = dummy_records(20)
    site.log.append("readings", [(str(n % 4), record) for n, record in enumerate(records)])
    topology = site.topology("raw")
    site.run(topology)
    assert stored(site) == by_origin(records)
    assert site.records("readings.dlq") == []
    (bolt,) = topology.components("cassandra_bolt")
    assert bolt.counters["failed_unavailable"] == 7 * 4  # tuples, of seven windows


def test_small_tuples_share_a_write(site, monkeypatch):
    """A busy Cassandra wrote one small tuple after the other, and never worked off what waited."""
    written = []

    class Counting(FaultyStore):
        def write(self, rows):
            written.append(len(rows))
            return super().write(rows)

    monkeypatch.setattr(wiring, "raw_store", lambda settings, clock: Counting(site.raw))
    records, spout = dummy_records(60)  # five to a tuple
    site.run(site.topology("raw", inject(RAW, spouts=[("readings", spout)])))
    assert stored(site) == by_origin(records)
    assert sum(written) == 60
    assert len(written) <= 3


def test_a_full_window_is_written_at_once(site, monkeypatch):
    monkeypatch.setattr("bolts.cassandra_bolt.WINDOW_ROWS", 20)
    records, spout = dummy_records(60)
    topology = site.topology("raw", inject(RAW, spouts=[("readings", spout)]))
    site.run(topology)
    assert stored(site) == by_origin(records)
    (bolt,) = topology.components("cassandra_bolt")
    assert bolt.counters["windows"] >= 3


def test_a_row_that_the_store_refuses_is_a_dead_letter_and_its_neighbours_are_stored(
    site, monkeypatch
):
    monkeypatch.setattr(
        wiring, "raw_store", lambda settings, clock: FaultyStore(site.raw, refused_device=2)
    )
    records, spout = dummy_records(20)
    site.run(site.topology("raw", inject(RAW, spouts=[("readings", spout)])))
    refused = [record for record in map(json.loads, records) if record["device"]["id"] == 2]
    letters = site.records("readings.dlq")
    assert sorted(letter["source"] for letter in letters) == sorted(r["origin"] for r in refused)
    assert {letter["reason"] for letter in letters} == {"refused-by-test"}
    assert len(stored(site)) == 20 - len(refused)
