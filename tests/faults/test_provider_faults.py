"""Providers and a directory that misbehave, over real sockets: nobody is told twice, nothing is lost."""

import pytest

from local.services.server import StandIn
from local.topologies import load_topology
from qold import wiring
from qold.domain.model import Contact
from tests.support.pipeline import NOW_S, Site, make_record

STAFF = Contact("", "Qold", "+351922222222", "en")


@pytest.fixture
def stand_in():
    with StandIn() as stand_in:
        stand_in.handed.staff = STAFF
        yield stand_in


@pytest.fixture
def site(tmp_path, stand_in):
    site = Site(
        tmp_path,
        directory_url=f"qold-app+http://{stand_in.netloc}",
        notifier_url=f"qold-sms+http://{stand_in.netloc}",
        analytics_url=f"keen+http://{stand_in.netloc}",
    )
    site.provisioning.create_devices(1, active=True, config={"maxTemperature": "8"})
    site.log.append("readings", [("1", make_record(1, NOW_S, temp=9.0))])
    return site


def work(site, *, for_ms=400_000):
    topology = site.topology("thresholds", load_topology("thresholds"))
    site.run(topology)
    until_ms = site.clock.monotonic_ms() + for_ms
    while site.clock.monotonic_ms() < until_ms:
        site.clock.advance_to(site.clock.monotonic_ms() + 500)
        topology.run_until_idle()
    return topology


def statuses(site):
    (story,) = wiring.alert_log(site.settings, site.clock).alerts()
    return {delivery.channel: delivery.status for delivery in story.deliveries}


@pytest.mark.parametrize("way", ["silent", "cut"])
@pytest.mark.parametrize("service", ["qold-sms", "keen"])
def test_what_a_provider_took_without_saying_so_is_handed_over_once(site, stand_in, service, way):
    stand_in.behave(service, way, times=1)
    work(site)
    assert len(stand_in.handed.sms) == 1
    assert len(stand_in.handed.events["alerts"]) == 1
    assert stand_in.handed.repeats[service] == 1
    assert statuses(site) == {"sms": "delivered", "analytics": "delivered"}


@pytest.mark.parametrize(
    ("way", "how"), [("status", {"status": 503}), ("html", {}), ("refuse", {}), ("garbage", {})]
)
def test_a_provider_that_comes_back_is_told_what_it_missed(site, stand_in, way, how):
    stand_in.behave("qold-sms", way, times=3, **how)
    work(site)
    assert len(stand_in.handed.sms) == 1
    assert stand_in.handed.repeats["qold-sms"] == 0


def test_what_a_provider_will_never_take_is_recorded(site, stand_in):
    stand_in.behave("qold-sms", "status", status=422)
    work(site)
    assert stand_in.handed.sms == {}
    assert statuses(site) == {"sms": "refused", "analytics": "delivered"}


@pytest.mark.parametrize(
    ("way", "how"), [("status", {"status": 500}), ("html", {}), ("hang", {}), ("garbage", {})]
)
def test_a_directory_that_is_ill_means_the_staff_it_named_before(site, stand_in, way, how):
    """The owner is known to the directory, which cannot say so now."""
    stand_in.handed.contacts[1] = Contact("Fridge", "Ana", "+351911111111", "en")
    topology = site.topology("thresholds", load_topology("thresholds"))
    (info,) = topology.components("info_bolt")
    info.staff, info.is_staff_known, info.staff_until_ms = STAFF, True, 2**60
    stand_in.behave("qold-app", way, **how)
    site.run(topology)
    for _ in range(140):
        site.clock.advance_to(site.clock.monotonic_ms() + 500)
        topology.run_until_idle()
    assert [sms.to for sms in stand_in.handed.sms.values()] == [STAFF.phone]
    assert info.counters["directory_away"] == 1
