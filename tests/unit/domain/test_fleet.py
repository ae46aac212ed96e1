"""Who is watched, and through whom."""

from qold.domain.fleet import EVERY_GATEWAY, Fleet, watched_gateway

MINUTE = 60_000


def fleet():
    fleet = Fleet(frozenset({1, 2}))
    fleet.add(10, 15 * MINUTE, 1)
    fleet.add(11, 60 * MINUTE, 1)
    fleet.add(12, 15 * MINUTE, None)
    fleet.add(13, 15 * MINUTE, 3)
    return fleet


def test_devices_have_their_own_limit_and_gateways_that_of_their_slowest_device():
    assert fleet().limit_ms(10) == 60 * MINUTE
    assert fleet().limit_ms(11) == 240 * MINUTE
    assert fleet().limit_ms(watched_gateway(1)) == 180 * MINUTE
    assert fleet().device_limit_ms() == 60 * MINUTE
    assert fleet().gateway_limit_ms() == 180 * MINUTE
    assert fleet().shops[1].devices == 2


def test_who_is_not_there_has_no_limit():
    for stranger in (99, watched_gateway(2), watched_gateway(3)):
        assert fleet().limit_ms(stranger) is None
    assert Fleet().device_limit_ms() is None
    assert Fleet().gateway_limit_ms() is None


def test_a_device_that_has_come_to_an_active_gateway_since_is_not_known():
    assert fleet().knows(10, 1)
    assert not fleet().knows(10, 2)
    assert not fleet().knows(12, 1)
    assert fleet().knows(12, None)
    assert fleet().knows(13, 3), "nobody watches that gateway"


def test_gateways_come_before_devices():
    assert EVERY_GATEWAY < watched_gateway(2**31 - 1) < watched_gateway(1) < 1
