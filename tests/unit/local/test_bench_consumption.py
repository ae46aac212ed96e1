"""What lies between two looks at a topology that consumes, and whose CPU time it is."""

import os

import pytest

from local.bench.full.consumption import Look, crossing, span
from local.bench.full.processes import OTHERS, OURSELVES, ProcessTimes, kind_of
from local.bench.full.run import surviving
from local.bench.full.source import BOLTS, bolt_figures
from local.bench.full.together import grows
from local.bench.full.topologies import parted, row_of
from local.bench.measure import Case
from local.bench.workload import Workload, reading_records, reports
from local.topologies import FOLDER
from qold.ports import Unavailable
from qold.provisioning import NewDevice, NewGateway
from qold.records import decode_reading_record

PAIR = Workload("tiny", 2, 1, 1_795_456_000)
LOOKS = [
    Look(10.0, 0, {"kafka": 1.0}),
    Look(20.0, 0, {"kafka": 5.0}),
    Look(22.0, 100, {"kafka": 6.0, "ParserBolt": 2.0}),
    Look(23.0, 100, {"kafka": 6.5, "ParserBolt": 2.0}),
    Look(24.0, 400, {"kafka": 9.5, "ParserBolt": 8.0}),
]


def test_a_crossing_lies_in_proportion_between_two_looks():
    found = crossing(LOOKS, 250)
    assert (found.at_s, found.cpu_s) == (23.5, {"kafka": 8.0, "ParserBolt": 5.0})
    assert crossing(LOOKS, 0).at_s == 10.0
    assert crossing(LOOKS, 100).at_s == 22.0
    assert crossing(LOOKS, 400).at_s == 24.0


def test_a_span_counts_what_was_spent_in_it():
    found = span(LOOKS, 100, 400)
    assert found.wall_s == 2.0
    assert found.cpu_s == {"kafka": 3.5, "ParserBolt": 6.0}
    assert span(LOOKS, 0, 50).cpu_s == {"kafka": 4.5, "ParserBolt": 1.0}


@pytest.mark.parametrize("done", [401, -1])
def test_what_it_never_came_to_has_no_moment(done):
    with pytest.raises(ValueError, match="never"):
        crossing(LOOKS, done)


def test_every_part_but_the_first_and_the_last_is_a_run():
    workload = parted(Workload("tiny", 10, 2, 1_795_456_000), runs=2)
    assert (workload.readings, workload.parts, workload.total) == (8, 4, 80)
    looks = [Look(float(n), 10 * n, {"kafka": n / 2}) for n in range(9)]
    row = row_of(Case(bench="raw", measured="stored", workload="tiny"), looks, workload, 2, ())
    assert row.values == [10.0, 10.0]
    assert row.where == {"kafka": 50_000.0}
    lost = row_of(row.case, looks, workload, 2, ("3 rows missing",))
    assert (lost.runs, lost.is_met) == ((), False)
    assert lost.figures().rate is None


@pytest.mark.parametrize(
    ("lags", "is_growing"),
    [
        ([], False),
        ([10, 20], False),
        ([0, 5000, 0, 9000, 100, 4000], False),
        ([0, 0, 0, 0, 9_999, 9_999], False),  # a breath
        ([0, 10_000, 20_000, 30_000, 90_000, 120_000], True),
        ([0, 0, 0, 0, 30_000, 0], True),
    ],
)
def test_a_lag_that_grows_is_told_from_one_that_comes_and_goes(lags, is_growing):
    assert grows(lags, rate=1000) is is_growing


def test_a_server_that_is_away_costs_one_bench_and_not_the_others():
    first = row_of(Case(bench="raw", measured="stored", workload="tiny"), [], PAIR, 1, ("x",))

    def rows():
        yield first.figures()
        raise Unavailable("cassandra://here:\n no answer")

    told = []
    found = list(surviving("tiny", told.append, "raw", rows()))
    assert [row.met for row in found] == [False, False]
    assert found[1].ledger == "Unavailable: cassandra://here: no answer"
    assert told == ["raw, tiny: Unavailable: cassandra://here: no answer"]


def test_parts_together_are_the_workload_in_order_of_time():
    workload = Workload("tiny", 3, 6, 1_795_456_000, first_id=14, parts=3)
    records = [
        decode_reading_record(value)
        for part in range(3)
        for _, value in reading_records(workload, part)
    ]
    found = [
        (r.device.id, r.reading.time, r.reading.seq, r.reading.temp, r.reading.batt)
        for r in records
    ]
    assert sorted(found) == sorted(workload.contents())
    assert {r.gateway.id for r in records} == {1, 2}
    for device_id in workload.device_ids:
        times = [r.reading.time for r in records if r.device.id == device_id]
        assert times == sorted(times)
    assert {r.received - r.reading.time for r in records} == {1, 601}


def test_reports_of_a_part_hold_its_readings_only():
    workload = Workload("tiny", 20, 4, 1_795_456_000, parts=2)
    devices = [NewDevice(i, 7, state=True) for i in workload.device_ids]
    gateways = [NewGateway(i, "0" * 40) for i in (1, 2)]
    values = [value for part in range(2) for _, value in reports(workload, devices, gateways, part)]
    assert len(values) == 4
    assert sum(value.count(b'"seq"') for value in values) == workload.total


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python -m streamparse.run bolts.parser.RawParserBolt", "RawParserBolt"),
        ("/x/streamparse_run -s json spouts.log.LogSpout", "LogSpout"),
        (
            "java -cp x org.apache.storm.LogWriter java org.apache.storm.daemon.worker.Worker",
            "log writers",
        ),
        ("java -server org.apache.storm.daemon.worker.Worker raw-1 127.0.0.1 6700", "Storm worker"),
        ("java org.apache.storm.daemon.nimbus.Nimbus", "nimbus"),
        ("/bin/sh -c sleep 5", OTHERS),
    ],
)
def test_a_process_is_known_by_its_command_line(command, kind):
    assert kind_of(command) == kind


def test_cpu_times_are_of_this_installation_only(tmp_path):
    times = ProcessTimes(tmp_path)
    assert times.cpu_s({}).keys() == {OURSELVES}
    assert times.cpu_s({"kafka": os.getppid()}).keys() == {OURSELVES, "kafka"}


def test_a_bolt_is_told_by_the_time_of_its_process():
    where = {"RawParserBolt": 3.5, "CassandraBolt": 15.5, "cassandra": 28.0}
    found = {row.measured: row.median for row in bolt_figures("raw", where, "backlog")}
    assert found == {
        "Parser Bolt, CPU time for a reading": 3.5e-6,
        "Cassandra Bolt, CPU time for a reading": 15.5e-6,
    }


def test_every_bolt_of_the_source_is_a_class_of_ours():
    for topology, bolts in BOLTS.items():
        text = (FOLDER / f"{topology}.py").read_text("utf-8")
        assert [name for name in bolts if f" {name}.spec(" not in text] == [], topology
