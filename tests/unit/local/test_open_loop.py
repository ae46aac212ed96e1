"""The open loop: who sends what and when, and from when a latency counts."""

from types import SimpleNamespace

import pytest

from local.bench import open_loop
from local.bench.fleet import Fleet
from local.bench.open_loop import percentiles, run, schedule
from qold.ports import Unavailable
from qold.provisioning import NewDevice, NewGateway
from qold.records import decode_report

BEFORE_S = 1_795_456_000
FLEET = Fleet(
    [NewDevice(i, 1000 + i, state=True) for i in range(1, 33)],
    [NewGateway(i, f"{i:040x}") for i in (1, 2, 3)],
)


@pytest.mark.parametrize(("per_report", "speaking"), [(1, 32), (15, 30)])
def test_no_device_measures_twice_in_one_second_and_each_speaks_through_its_gateway(
    per_report, speaking
):
    planned = schedule(FLEET, 600, 2, per_report=per_report, before_s=BEFORE_S)
    assert planned.total == 1200
    seen = set()
    for key, value in planned.reports:
        report = decode_report(value)
        assert str(report.gateway.id) == key
        assert len(report.batches) == per_report
        for batch in report.batches:
            assert 1 + (batch.device.id - 1) // 15 == report.gateway.id
            seen.add((batch.device.id, batch.readings[0].time))
    assert len(seen) == 1200
    assert len({device_id for device_id, _ in seen}) == speaking
    assert max(at_s for _, at_s in seen) == BEFORE_S - 1
    assert {(s.device_id, s.at_ms // 1000) for s in planned.samples} <= seen
    assert len(planned.samples) == pytest.approx(10, abs=1)


def test_reports_are_due_at_the_rate_of_their_readings():
    planned = schedule(FLEET, 150, 2, per_report=15, before_s=BEFORE_S)
    assert [planned.due(at) for at in (0, 0.099, 0.1, 1, 1.95, 9)] == [1, 1, 2, 11, 20, 20]
    assert [s.due_s for s in planned.samples][:2] == [0.1, 0.3]


class Line:
    """A log and a store behind it: a report can be read so many looks after it was appended."""

    def __init__(self, monkeypatch, *, behind: int, fails: int = 0) -> None:
        self.now_s, self.sent, self.looks = 0.0, 0, 0
        self.behind, self.fails = behind, fails
        monkeypatch.setattr(open_loop, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def append(self, topic, entries):
        self.fails -= 1
        if self.fails >= 0:
            raise Unavailable("away")
        self.sent += len(entries)

    def advance(self):
        self.now_s += 0.01

    def look(self, sample):
        self.looks += 1
        return self.sent > sample.due_s * 100 + self.behind


def test_a_latency_counts_from_when_a_report_was_due(monkeypatch):
    planned = schedule(FLEET, 100, 1, per_report=1, before_s=BEFORE_S)
    line = Line(monkeypatch, behind=0)
    found = run(planned, line, "reports", {"raw": line.look}, advance=line.advance)
    assert line.sent == 100
    assert len(found["raw"]) == len(planned.samples) == 5
    assert max(found["raw"]) < 0.03
    late = Line(monkeypatch, behind=0, fails=50)
    found = run(planned, late, "reports", {"raw": late.look}, advance=late.advance)
    assert max(found["raw"]) > 0.2


def test_what_never_comes_is_missing_and_not_waited_for_for_ever(monkeypatch):
    planned = schedule(FLEET, 100, 1, per_report=1, before_s=BEFORE_S)
    line = Line(monkeypatch, behind=50)
    found = run(planned, line, "reports", {"raw": line.look}, advance=line.advance)
    assert len(found["raw"]) == 2
    assert percentiles([]) == percentiles([1.0]) == (float("inf"),) * 2
    assert percentiles([float(n) for n in range(1, 100)]) == (50.0, 99.0)
