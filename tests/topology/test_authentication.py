"""The authentication topology against what the source demands of it (7.3.2) and what users fear."""

import json
import math

import pytest

from local.topologies import load_topology
from tests.support.injection import (
    ListeningBolt,
    SilentSpout,
    dummy_spout,
    entries_of,
    failing_every,
    inject,
)
from tests.support.pipeline import NOW_S, Site, make_batch, make_reading, make_report

AUTHENTICATION = load_topology("authentication")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def readings_of(site):
    """Authenticated readings as (device, temperature)."""
    return sorted((r["device"]["id"], r["reading"]["temp"]) for r in site.records("readings"))


def reasons_of(site):
    """Refused readings as (reason, device, gateway, index)."""
    return sorted(
        (r["reason"], r.get("message", {}).get("device", {}).get("id"), r["gateway"], r["index"])
        for r in site.records("reports.rejected")
    )


def run_with(site, *reports, topology_class=AUTHENTICATION):
    topology = site.topology("authentication", topology_class)
    site.log.append("reports", [("1", report) for report in reports])
    site.run(topology)
    topology.stop()
    return topology


def count(topology, counter):
    return sum(
        component.counters[counter]
        for name in ("report_bolt", "device_bolt", "join_bolt")
        for component in topology.components(name)
    )


# -- what is vouched for


def test_a_reading_goes_on_without_any_credential(site):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    topology = run_with(
        site, make_report(gateway, make_batch(device, make_reading(temp=4.21, seq=9, door=True)))
    )
    (record,) = site.records("readings")
    origin = record.pop("origin")
    assert record == {
        "v": 1,
        "device": {"id": device.id},
        "gateway": {"id": gateway.id},
        "reading": {"temp": 4.21, "time": NOW_S, "batt": 88, "seq": 9, "door": True},
        "received": NOW_S,
    }
    assert origin.startswith("reports:")
    assert origin.endswith(":0:0")
    assert count(topology, "authenticated") == 1
    assert site.lag("authentication.reports", "reports") == 0


def test_every_refusal_has_its_reason_and_its_neighbours_are_stored(site):
    """Tried: unknown, inactive, wrong, missing and swapped tokens, of devices and of gateways."""
    gateway, idle_gateway = site.provisioning.create_gateway(), site.provisioning.create_gateway()
    site.provisioning.change_gateway(idle_gateway.id, active=False)
    good, other, inactive = site.provisioning.create_devices(3, active=True)
    site.provisioning.change_device(inactive.id, active=False)
    unknown = type(good)(4711, 12345, True)
    nobody = type(gateway)(77, "ab" * 20)
    report = make_report(
        gateway,
        make_batch(good, make_reading(temp=1.0), make_reading(temp=2.0)),
        make_batch(unknown, make_reading()),
        make_batch(inactive, make_reading()),
        make_batch(good, make_reading(), token=other.auth),
        make_batch(other, make_reading(), token="wrong"),
        make_batch(other, make_reading(temp=3.0)),
    )
    run_with(
        site,
        report,
        make_report(nobody, make_batch(good, make_reading())),
        make_report(gateway, make_batch(good, make_reading()), token="no"),
        make_report(idle_gateway, make_batch(good, make_reading())),
        make_report(gateway, make_batch(good, make_reading()), token=idle_gateway.auth),
    )
    assert readings_of(site) == [(good.id, 1.0), (good.id, 2.0), (other.id, 3.0)]
    assert reasons_of(site) == sorted(
        [
            ("unknown-device", 4711, gateway.id, 2),
            ("inactive", inactive.id, gateway.id, 3),
            ("bad-device-token", good.id, gateway.id, 4),
            ("bad-device-token", other.id, gateway.id, 5),
            ("unknown-gateway", good.id, nobody.id, 0),
            ("bad-gateway-token", good.id, gateway.id, 0),
            ("bad-gateway-token", good.id, gateway.id, 0),
            ("inactive-gateway", good.id, idle_gateway.id, 0),
        ]
    )


def test_no_token_is_written_anywhere_behind_the_reports(site):
    gateway = site.provisioning.create_gateway()
    good, other = site.provisioning.create_devices(2, active=True)
    run_with(
        site,
        make_report(
            gateway,
            make_batch(good, make_reading()),
            make_batch(good, make_reading(), token=other.auth),
            make_batch(other, {"temp": "cold"}),
            [{"device": {"id": good.id, "auth": good.auth}, "auth": gateway.auth}],
            make_batch(other, {"temp": 1, "gateway": {"auth": gateway.auth}, "of": [{"auth": 7}]}),
        ),
        make_report(gateway, make_batch(good, make_reading()), token="s3cret-" + gateway.auth[:20]),
        b'{"v":1,"gateway":{"id":1,"auth":"' + gateway.auth.encode() + b'"},"batches":[{',
    )
    written = json.dumps(site.records("readings") + site.records("reports.rejected"))
    assert len(site.records("reports.rejected")) == 6
    for secret in (str(good.auth), str(other.auth), gateway.auth, "s3cret"):
        assert secret not in written


def test_times_that_cannot_be_are_refused_and_late_ones_are_not(site):
    """Tried: 1970, milliseconds, an hour ahead, 301 s ahead; 300 s ahead and a year late are fine."""
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    times = [5, NOW_S * 1000, NOW_S + 3600, NOW_S + 301, NOW_S + 300, NOW_S - 31_536_000]
    run_with(
        site, make_report(gateway, make_batch(device, *(make_reading(time) for time in times)))
    )
    assert [r["reading"]["time"] for r in site.records("readings")] == times[4:]
    assert reasons_of(site) == [("bad-time", device.id, gateway.id, index) for index in range(4)]


MALFORMED_REPORTS = {
    "not JSON": b"{",
    "empty": b"",
    "invalid UTF-8": b'{"v":1,"gateway":{"id":1,"auth":"\xff"}}',
    "deep nesting": b"[" * 100_000,
    "a number": b"17",
    "a list": b"[]",
    "no gateway": b'{"v":1,"batches":[]}',
    "gateway id out of range": b'{"v":1,"gateway":{"id":0,"auth":"x"},"batches":[]}',
    "a huge integer": b'{"v":1,"gateway":{"id":' + b"9" * 5000 + b',"auth":"x"},"batches":[]}',
    "half a character in the token": b'{"v":1,"gateway":{"id":1,"auth":"\\ud800"},"batches":[]}',
    "keys given twice": b'{"v":1,"v":1,"gateway":{"id":1,"auth":"x"},"batches":[]}',
    "three megabytes": b'{"v":1,"x":"' + b"y" * 3 * 2**20 + b'"}',
    "bytes of a program": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("value", MALFORMED_REPORTS.values(), ids=MALFORMED_REPORTS.keys())
def test_a_malformed_report_is_told_and_its_neighbours_are_stored(site, value):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    good = make_report(gateway, make_batch(device, make_reading(temp=1.5)))
    run_with(site, good, value, good)
    assert readings_of(site) == [(device.id, 1.5), (device.id, 1.5)]
    (refused,) = site.records("reports.rejected")
    assert refused["reason"] == "malformed"
    assert refused["length"] == len(value)
    assert len(refused["sha256"]) == 64
    assert site.lag("authentication.reports", "reports") == 0


def test_a_report_of_a_newer_version_waits_for_the_upgrade(site):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    report = json.loads(make_report(gateway, make_batch(device, make_reading())))
    topology = run_with(site, json.dumps({**report, "v": 2}).encode())
    assert [r["reason"] for r in site.records("reports.rejected")] == ["newer-version"]
    assert count(topology, "rejected.newer-version") == 1
    assert site.records("readings") == []


MALFORMED_READINGS = {
    "text for a temperature": {"temp": "cold"},
    "a megabyte of text": {"temp": "x" * 2**20},
    "half a character": {"temp": "\ud800", "\udfff": 1},
    "NaN": {"temp": math.nan},
    "infinity": {"temp": math.inf},
    "no time": {"time": None},
    "a time of text": {"time": "now"},
    "a temperature no probe has": {"temp": 1000.0},
    "a battery of 101 %": {"batt": 101},
    "a battery of -1 %": {"batt": -1},
    "a huge integer": {"time": 10**40},
    "a sequence out of range": {"seq": 65536},
    "lists as deep as the parser goes": {"temp": json.loads("[" * 900 + "]" * 900)},
    "objects as deep as the parser goes": {"temp": json.loads('{"a":' * 600 + "1" + "}" * 600)},
}


@pytest.mark.parametrize("wrong", MALFORMED_READINGS.values(), ids=MALFORMED_READINGS.keys())
def test_a_malformed_reading_leaves_its_neighbours_alone(site, wrong):
    gateway = site.provisioning.create_gateway()
    one, two = site.provisioning.create_devices(2, active=True)
    run_with(
        site,
        make_report(
            gateway,
            make_batch(
                one, make_reading(temp=1.0), {**make_reading(), **wrong}, make_reading(temp=2.0)
            ),
            make_batch(two, make_reading(temp=3.0)),
        ),
    )
    assert readings_of(site) == [(one.id, 1.0), (one.id, 2.0), (two.id, 3.0)]
    (refused,) = site.records("reports.rejected")
    assert (refused["reason"], refused["index"]) == ("malformed", 1)


# -- source 8.1.5: a dummy spout, injected bolts, bolts that fail


def dummy_reports(site, messages=40):
    """Deterministic reports, two to a tuple, of three devices, every seventh token wrong."""
    gateway = site.provisioning.create_gateway()
    devices = site.provisioning.create_devices(3, active=True)
    expected, refused, reports = [], [], []
    for n in range(messages):
        device = devices[n % 3]
        is_wrong = n % 7 == 6
        (refused if is_wrong else expected).append((device.id, n / 8))
        token = "wrong" if is_wrong else None
        reports.append(
            make_report(gateway, make_batch(device, make_reading(temp=n / 8), token=token))
        )
    spout = dummy_spout("reports", *(reports[n : n + 2] for n in range(0, messages, 2)))
    return spout, expected, refused


def seen_by(topology, name):
    return [
        json.loads(entry.value)
        for bolt in topology.components(name)
        for tup in bolt.tuples
        for entry in entries_of(tup.values.entries)
    ]


def test_injected_bolts_see_exactly_what_the_dummy_spout_calls_for(site):
    spout, expected, refused = dummy_reports(site)
    tested = inject(
        AUTHENTICATION,
        spouts=[("reports", spout), ("config_changes", SilentSpout)],
        bolts=[
            ("see_readings", ListeningBolt, "join_bolt", "readings"),
            ("see_rejected", ListeningBolt, "join_bolt", "rejected"),
        ],
    )
    topology = site.topology("authentication", tested)
    site.run(topology)
    seen = seen_by(topology, "see_readings")
    assert sorted((r["device"]["id"], r["reading"]["temp"]) for r in seen) == sorted(expected)
    assert readings_of(site) == sorted(expected)
    assert sorted(
        (r["message"]["device"]["id"], r["message"]["reading"]["temp"])
        for r in seen_by(topology, "see_rejected")
    ) == sorted(refused)
    (source,) = topology.components("reports")
    assert (len(source.acked), source.failed) == (20, [])


@pytest.mark.parametrize(
    ("component", "stream"),
    [
        ("report_bolt", "devices"),
        ("report_bolt", "gateways"),
        ("device_bolt", "default"),
        ("gateway_bolt", "default"),
        ("join_bolt", "readings"),
    ],
)
def test_a_bolt_that_fails_every_third_tuple_loses_nothing(site, component, stream):
    spout, expected, _ = dummy_reports(site)
    tested = inject(
        AUTHENTICATION,
        spouts=[("reports", spout), ("config_changes", SilentSpout)],
        bolts=[("saboteur", failing_every(3), component, stream)],
    )
    topology = site.topology("authentication", tested)
    site.run(topology)
    (source,) = topology.components("reports")
    (saboteur,) = topology.components("saboteur")
    assert saboteur.failed > 5
    assert source.failed
    assert len(source.acked) == 20
    # at least once on the log: the stores tell the copies by their origin
    records = site.records("readings")
    unique = {r["origin"]: (r["device"]["id"], r["reading"]["temp"]) for r in records}
    assert sorted(unique.values()) == sorted(expected)
    assert not any(bolt.halves for bolt in topology.components("join_bolt"))


def test_an_authenticated_reading_is_counted_once_each(site):
    spout, expected, _ = dummy_reports(site)
    tested = inject(AUTHENTICATION, spouts=[("reports", spout), ("config_changes", SilentSpout)])
    topology = site.topology("authentication", tested)
    site.run(topology)
    assert count(topology, "authenticated") == len(expected)


@pytest.mark.parametrize("shards", [0, 1, 4])
def test_the_number_of_shards_changes_nothing(tmp_path, shards):
    """Grouping by device id itself (0) and by shard give one set of readings and refusals."""
    site = Site(tmp_path, shards=shards)
    spout, expected, refused = dummy_reports(site)
    tested = inject(AUTHENTICATION, spouts=[("reports", spout), ("config_changes", SilentSpout)])
    site.run(site.topology("authentication", tested))
    assert readings_of(site) == sorted(expected)
    assert len(reasons_of(site)) == len(refused)


def test_the_order_of_a_device_is_kept_per_partition(site):
    gateway = site.provisioning.create_gateway()
    devices = site.provisioning.create_devices(5, active=True)
    reports = [
        make_report(
            gateway, *(make_batch(device, make_reading(NOW_S - 100 + n)) for device in devices)
        )
        for n in range(100)
    ]
    run_with(site, *reports)
    times = {}
    for record in site.records("readings"):
        times.setdefault(record["device"]["id"], []).append(record["reading"]["time"])
    assert times == {device.id: [NOW_S - 100 + n for n in range(100)] for device in devices}


# -- caches


def test_a_change_of_the_registry_reaches_the_caches_through_config(site):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    topology = site.topology("authentication")

    def report(temp):
        site.log.append(
            "reports", [("1", make_report(gateway, make_batch(device, make_reading(temp=temp))))]
        )
        site.run(topology)

    report(1.0)
    site.provisioning.change_device(device.id, active=False)
    report(2.0)
    site.provisioning.change_device(device.id, active=True)
    site.provisioning.change_gateway(gateway.id, active=False)
    report(3.0)
    site.provisioning.change_gateway(gateway.id, active=True)
    report(4.0)
    site.provisioning.delete_device(device.id)
    report(5.0)
    assert readings_of(site) == [(device.id, 1.0), (device.id, 4.0)]
    reasons = [r["reason"] for r in site.records("reports.rejected")]
    assert reasons == ["inactive", "inactive-gateway", "unknown-device"]


def test_an_answer_of_the_registry_is_kept_and_asked_again_after_ten_minutes(site):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    topology = site.topology("authentication")

    def reads_after_a_report():
        report = make_report(gateway, make_batch(device, make_reading()))
        site.log.append("reports", [("1", report)])
        site.run(topology)
        return sum(bolt.counters["registry_reads"] for bolt in topology.components("device_bolt"))

    assert [reads_after_a_report() for _ in range(3)] == [1, 1, 1]
    site.clock.advance_to(site.clock.monotonic_ms() + 600_001)
    assert reads_after_a_report() == 2


def test_a_registry_that_is_away_delays_and_refuses_nobody(site, monkeypatch):
    from qold import wiring
    from qold.ports import Unavailable

    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    is_away = True
    real = wiring.registry

    def registry(settings, clock):
        if is_away:
            raise Unavailable("registry: connection refused")
        return real(settings, clock)

    monkeypatch.setattr(wiring, "registry", registry)
    topology = site.topology("authentication")
    report = make_report(gateway, make_batch(device, make_reading(temp=7.0)))
    site.log.append("reports", [("1", report)])
    for _ in range(200):  # 20 s
        topology.run_until_idle()
        site.clock.advance_to(site.clock.monotonic_ms() + 100)
    assert count(topology, "failed_unavailable") > 3
    is_away = False
    site.run(topology)
    assert readings_of(site) == [(device.id, 7.0)]
    assert site.records("reports.rejected") == []


def test_what_was_acknowledged_is_not_read_again_after_a_restart(site):
    gateway = site.provisioning.create_gateway()
    (device,) = site.provisioning.create_devices(1, active=True)
    run_with(site, make_report(gateway, make_batch(device, make_reading(temp=1.0))))
    run_with(site, make_report(gateway, make_batch(device, make_reading(temp=2.0))))
    assert readings_of(site) == [(device.id, 1.0), (device.id, 2.0)]
