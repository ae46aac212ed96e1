"""What every Registry promises: ids never twice, missing is absent, pages in order."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from qold import wiring
from qold.ports import Device, Gateway, Unavailable
from tests.support.stores import Stores


@pytest.fixture(params=["sqlite", "cassandra"])
def stores(request, tmp_path):
    yield from Stores.of(request, tmp_path, "registry_url", wiring.registry)


@pytest.fixture
def open_registry(stores):
    return stores.open


@pytest.fixture
def registry(open_registry):
    return open_registry()


def device(identity, *, active=True, **config):
    return Device(identity, f"blake2b$1${identity:064x}", active, config)


def test_ids_count_from_one_and_are_never_given_again(registry, open_registry):
    assert registry.allocate("device", 3) == range(1, 4)
    registry.put_devices([device(3)])
    registry.delete_device(3)
    assert open_registry().allocate("device", 2) == range(4, 6)
    assert registry.allocate("gateway", 1) == range(1, 2)


def test_two_creators_never_get_one_id(open_registry):
    registries = [open_registry() for _ in range(4)]

    def take(registry):
        taken = []
        while len(taken) < 75:
            with suppress(Unavailable):  # too many at once: ids may be skipped, never given twice
                taken += registry.allocate("device", 3)
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [i for ids in pool.map(take, registries) for i in ids]
    assert len(set(taken)) == len(taken) == 300
    assert min(taken) >= 1


@pytest.mark.parametrize("count", [0, -1])
def test_allocating_nothing_is_an_error(registry, count):
    with pytest.raises(ValueError, match="cannot allocate"):
        registry.allocate("device", count)


def test_rows_come_back_whole(registry):
    """State off, empty and non-ASCII config."""
    rows = [device(1), device(2, active=False, name="Câmara 1 'quoted'"), device(2**31 - 1)]
    registry.put_devices(rows)
    found = registry.devices([1, 2, 2**31 - 1, 77])
    assert found == {row.id: row for row in rows}
    gateway = Gateway(1, "x", False, {"connectivity": "4G"})
    registry.put_gateways([gateway])
    assert registry.gateways([1, 2]) == {1: gateway}


def test_devices_and_gateways_do_not_mix(registry):
    registry.put_devices([device(1)])
    assert registry.gateways([1]) == {}
    assert registry.list_gateways() == []


def test_putting_replaces(registry):
    registry.put_devices([device(1, a="1")])
    registry.put_devices([device(1, active=False, b="2")])
    assert registry.devices([1])[1] == device(1, active=False, b="2")


def test_nobody_is_asked_for(registry):
    assert registry.devices([]) == {}


def test_many_ids_at_once(registry):
    registry.put_devices(device(i) for i in range(1, 3001))
    assert len(registry.devices(range(1, 5000))) == 3000


def test_pages_in_order_of_id(registry):
    registry.put_devices(device(i) for i in (5, 1, 3, 9))
    assert [d.id for d in registry.list_devices(limit=2)] == [1, 3]
    assert [d.id for d in registry.list_devices(after_id=3, limit=2)] == [5, 9]
    assert registry.list_devices(after_id=9) == []


def test_deleting_tells_whether_it_was_there(registry):
    registry.put_devices([device(1)])
    registry.put_gateways([Gateway(1, "x", True)])
    assert registry.delete_device(1)
    assert not registry.delete_device(1)
    assert registry.delete_gateway(1)
    assert not registry.delete_gateway(1)
    assert registry.devices([1]) == {}
