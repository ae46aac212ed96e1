"""What a fleet needs, from measured costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.capacity import (
    BUSINESSES,
    SECONDS_A_YEAR,
    Cost,
    Load,
    Plan,
    clients_load,
    disk,
    load_of_rate,
    month_bytes,
    need,
    years_until,
)

PLAN = Plan(busy=0.5, replicas=3, brokers_keep_days=7, free_disk=0.5, cores_a_machine=8)
COSTS = {
    "authentication": Cost(20_000, {"workers": 20, "kafka": 5}),
    "raw": Cost(7_000, {"workers": 30, "kafka": 2, "cassandra": 50}),
}
BYTES = {"kafka": 400, "cassandra": 200, "kairosdb": 20}


def test_seventy_thousand_a_second():
    load = load_of_rate(70_000, interval_s=120, years=5)
    assert load.devices == 8_400_000
    found = need(load, COSTS, BYTES, PLAN)
    assert found.topologies["authentication"].workers == 7  # 70 000 / (0.5 * 20 000)
    assert found.topologies["raw"].workers == 20
    assert found.topologies["raw"].cores == 5  # 70 000 * 30 µs / 0.5 = 4.2
    assert found.partitions == 32
    # Every copy is written: 70 000 * 50 µs * 3 / 0.5
    assert found.cores["cassandra"] == 21
    assert found.cores["kafka"] == 3  # 70 000 * 7 µs * 3 / 0.5 = 2.94
    assert found.machines == 4  # 21 + 3 + 7 cores of workers


def test_disk_keeps_days_in_kafka_and_everything_in_the_stores():
    found = disk(Load(1000, 1, 1), BYTES, PLAN)
    assert found["kafka"] == 1000 * 7 * 86_400 * 400 * 3 * 2
    assert found["cassandra"] == 1000 * SECONDS_A_YEAR * 200 * 3 * 2
    short = disk(Load(1000, 1, 1 / 365), BYTES, PLAN)
    assert short["kafka"] == pytest.approx(1000 * 86_400 * 400 * 3 * 2, abs=1)


def test_the_source_model():
    load = clients_load(BUSINESSES["Portugal"], years=5)
    assert load.devices == 1_140_000
    assert load.readings_s == 9_500
    assert load.readings == 9_500 * 5 * SECONDS_A_YEAR


def test_six_terabytes():
    """600 messages of a kilobyte fill them in 116 days."""
    assert years_until(6e12, 600, 1000) * 365 == pytest.approx(115.7, abs=0.1)


def test_a_month_of_a_gateway():
    """The source's six kilobytes for each reading, connecting anew each time."""
    each = {"connect": 6000, "report": 0, "refresh": 0}
    assert month_bytes(**each, connects_a_day=96) == pytest.approx(17.5e6, rel=0.01)
    assert month_bytes(connect=0, report=1000, refresh=100) == pytest.approx(3.2e6, rel=0.01)
    hourly = month_bytes(connect=0, report=1000, refresh=0, interval_s=3600)
    assert hourly == pytest.approx(730_000)


def test_a_little_fleet_still_needs_one_of_everything():
    found = need(Load(10, 900, 1), COSTS, BYTES, PLAN)
    assert {crew.workers for crew in found.topologies.values()} == {1}
    assert set(found.cores.values()) == {1}
    assert (found.partitions, found.machines) == (4, 3)


@given(
    st.integers(1, 10**8),
    st.floats(1, 86_400),
    st.floats(0.1, 20),
)
def test_twice_the_fleet_never_needs_less(devices, interval_s, years):
    once = need(Load(devices, interval_s, years), COSTS, BYTES, PLAN)
    twice = need(Load(2 * devices, interval_s, years), COSTS, BYTES, PLAN)
    assert twice.machines >= once.machines
    assert twice.partitions >= once.partitions
    assert all(twice.disk_bytes[store] >= size for store, size in once.disk_bytes.items())
    for name, crew in once.topologies.items():
        assert twice.topologies[name].workers >= crew.workers
        # No worker is busier than planned.
        assert crew.workers * PLAN.busy * COSTS[name].rate >= once.readings_s * 0.999_999
