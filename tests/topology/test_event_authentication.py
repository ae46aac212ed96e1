"""What gateways tell about themselves: vouched for like their reports, and no token behind it."""

import json

import pytest

from tests.support.pipeline import NOW_S, Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def make_event(gateway, kind="outbox-drop", *, token=None, **more):
    auth = gateway.auth if token is None else token
    event = {"kind": kind, "time": NOW_S, "data": {"count": 12}}
    return json.dumps({"v": 1, "gateway": {"id": gateway.id, "auth": auth}, "event": event, **more})


def publish(site, *events):
    values = [event if isinstance(event, bytes) else event.encode() for event in events]
    site.log.append("gateway.events", [("1", value) for value in values])
    topology = site.topology("authentication")
    site.run(topology)
    topology.stop()
    return topology


def test_an_event_goes_on_without_its_token(site):
    gateway = site.provisioning.create_gateway()
    publish(site, make_event(gateway), make_event(gateway, "port-lost"))
    first, second = site.records("events")
    assert first.pop("origin").startswith("gateway.events:")
    assert first == {
        "v": 1,
        "gateway": {"id": gateway.id},
        "event": {"kind": "outbox-drop", "time": NOW_S, "data": {"count": 12}},
        "received": NOW_S,
    }
    assert second["event"]["kind"] == "port-lost"
    assert site.lag("authentication.gateway_events", "gateway.events") == 0


def test_every_refusal_has_its_reason_and_its_neighbours_go_on(site):
    """Tried: unknown, inactive, wrong and borrowed credentials."""
    gateway, other, idle = (site.provisioning.create_gateway() for _ in range(3))
    site.provisioning.change_gateway(idle.id, active=False)
    nobody = type(gateway)(77, "ab" * 20)
    publish(
        site,
        make_event(gateway),
        make_event(nobody),
        make_event(idle),
        make_event(gateway, token="wrong"),
        make_event(gateway, token=other.auth),
        make_event(other),
    )
    assert [record["gateway"]["id"] for record in site.records("events")] == [gateway.id, other.id]
    assert sorted((r["reason"], r["gateway"]) for r in site.records("reports.rejected")) == [
        ("bad-gateway-token", gateway.id),
        ("bad-gateway-token", gateway.id),
        ("inactive-gateway", idle.id),
        ("unknown-gateway", 77),
    ]
    written = json.dumps(site.records("events") + site.records("reports.rejected"))
    for secret in (gateway.auth, other.auth, idle.auth, nobody.auth, "wrong"):
        assert secret not in written


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"v":1,"gateway":{"id":1,"auth":"s3cret"}}',
        b'{"v":1,"gateway":{"id":1,"auth":"s3cret"},"event":{"kind":"","time":1,"data":{}}}',
        b'{"v":1,"gateway":{"id":1,"auth":"s3cret"},"event":{"kind":"x","time":"now","data":{}}}',
        b'{"v":1,"gateway":{"id":1,"auth":"s3cret"},"event":{"kind":"x","time":1,"data":{"a":[1]}}}',
        b'{"v":1,"gateway":{"id":0,"auth":"s3cret"},"event":{"kind":"x","time":1,"data":{}}}',
        b'{"v":1,"gateway":{"id":1,"auth":"'
        + b"s3cret" * 20
        + b'"},"event":{"kind":"x","time":1}}',
        b"[" * 100_000,
        b'{"v":1,"gateway":{"id":1,"auth":"s3cret"},"event":{"kind":"x","time":1,"data":{"a":%s}}}'
        % (b"9" * 30),
        b'{"v":1,"gateway":{"id":1,"auth":"s3cret"},"event":{"kind":"x","time":1,"data":{"a":"%s"}}}'
        % (b"x" * 5000),
    ],
)
def test_what_is_no_event_is_described_and_not_quoted(site, value):
    gateway = site.provisioning.create_gateway()
    publish(site, value, make_event(gateway))
    (refused,) = site.records("reports.rejected")
    assert refused["reason"] == "malformed"
    assert refused["length"] == len(value)
    assert "s3cret" not in json.dumps(refused)
    assert len(site.records("events")) == 1


def test_an_event_of_a_newer_version_waits_for_an_upgrade(site):
    gateway = site.provisioning.create_gateway()
    publish(site, make_event(gateway, v=2))
    assert [r["reason"] for r in site.records("reports.rejected")] == ["newer-version"]


def test_a_gateway_that_is_switched_off_is_refused_at_once(site):
    gateway = site.provisioning.create_gateway()
    topology = site.topology("authentication")
    for active in (True, False, True):
        site.provisioning.change_gateway(gateway.id, active=active)
        site.run(topology)
        site.log.append("gateway.events", [("1", make_event(gateway).encode())])
        site.run(topology)
    assert len(site.records("events")) == 2
    assert [r["reason"] for r in site.records("reports.rejected")] == ["inactive-gateway"]
