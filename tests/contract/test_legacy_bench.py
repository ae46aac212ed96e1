"""The bench of legacy with a tiny workload; what its ledger says. Nothing is timed."""

from local.bench import legacy
from local.bench.workload import Workload
from qold.clock import SystemClock

TINY = Workload("tiny", 20, 40, SystemClock().wall_ms() // 1000)


def test_every_reading_reaches_the_stand_in_once_and_in_order():
    told = []
    (row,) = legacy.measure(TINY, 1, told.append)
    assert row.problems == ()
    assert [run.count for run in row.runs] == [TINY.total]
    assert any("run 1 of 1" in text for text in told)


def test_its_ledger():
    taken = [
        {
            "id": str(device_id),
            "temperature": f"{reading.temp:.2f}",
            "battery": str(reading.batt),
            "t": str(reading.time),
        }
        for device_id in TINY.device_ids
        for reading in TINY.readings_of(device_id)
    ]
    assert legacy.ledger(taken, TINY) == ()
    assert legacy.ledger(taken[1:], TINY) == ("1 readings missing",)
    assert legacy.ledger([*taken, taken[-1]], TINY) == ("1 readings stored twice",)
    assert legacy.ledger(taken[::-1], TINY) == (
        f"{TINY.total - TINY.devices} readings out of order",
    )
    assert legacy.ledger([{**taken[0], "temperature": "4.2"}, *taken[1:]], TINY) == (
        "1 readings missing",
        "1 readings never put in",
    )
