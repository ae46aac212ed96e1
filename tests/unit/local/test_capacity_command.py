"""`./qold capacity`: what it prints, and bad arguments. Tried: two fleets at once, no figures, rubbish."""

import json

import pytest

from cli import capacity as command
from cli.app import main
from local.bench.measure import Case, Figures, Row, Run
from local.bench.page import Measurement, write


def figures(name: str, seconds: float, where: dict[str, float], **changed) -> Figures:
    case = Case(bench=name, measured="stored", workload=changed.pop("workload", "steady"))
    return Row(case, (Run(1000, seconds, 1),), changed.pop("problems", ()), where).figures()


ROWS = [
    figures("raw", 0.1, {"CassandraBolt": 10, "Storm worker": 20, "cassandra": 50, "nimbus": 9}),
    figures("datapoints", 0.1, {"PublishBolt": 5, "kairosdb": 40, "cassandra": 60}),
    figures("alert", 0.1, {"TimeBolt": 5}, problems=("1 times missing",)),
    figures("raw", 0.01, {"CassandraBolt": 1}, workload="backlog"),
    figures("latency", 1.0, {"CassandraBolt": 10, "PublishBolt": 5}),  # of several topologies
    Figures(
        profile="full", bench="disk", measured="cassandra", workload="backlog", unit="bytes", median=200.0,

    ),
]  # fmt: skip


@pytest.fixture
def measured(tmp_path, monkeypatch):
    write(tmp_path / "benchmarks.md", {"full": Measurement("./qold bench", "here", 1, ROWS)})
    monkeypatch.setattr(command, "FIGURES", tmp_path / "benchmarks.json")
    return tmp_path / "benchmarks.json"


def test_figures_are_not_read_from_a_device(capsys):
    assert main(["capacity", "--figures", "/dev/zero"]) == 2
    assert "not a regular file" in capsys.readouterr().err


def test_it_tells_what_a_fleet_needs(measured, capsys):
    assert main(["capacity", "--devices", "1200000", "--interval", "60", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["readings_s"] == 20_000
    # What was not measured with a clean ledger is not planned with.
    assert found["topologies"].keys() == {"raw", "datapoints"}
    assert found["topologies"]["raw"] == {"workers": 4, "cores": 1}
    assert found["cores"] == {"workers": 2, "cassandra": 11, "kairosdb": 2}
    assert found["disk_bytes"] == {"cassandra": 20_000 * 5 * 365 * 86_400 * 200 * 3 * 2}
    assert found["six_terabytes_after_years"] == 0.048


def test_without_a_fleet_it_answers_for_the_source(measured, capsys):
    assert main(["capacity"]) == 0
    out = capsys.readouterr().out
    for expected in (
        "70 000 readings/s: 8 400 000 devices",
        "Portugal: 1 140 000",
        "Europe: 23 205 000",
    ):
        assert expected in out


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["--devices", "0"], 2),
        (["--devices", "5", "--rate", "7"], 2),
        (["--rate", "0"], 2),
        (["--years", "-1"], 2),
        (["--figures", "/nowhere"], 2),
        (["--workload", "peak"], 2),
    ],
)
def test_bad_arguments(measured, words, exit_code):
    assert main(["capacity", *words]) == exit_code


def test_without_figures_it_names_the_command_that_measures_them(measured, tmp_path, capsys):
    measured.write_text("{}")
    assert main(["capacity"]) == 3
    assert "./qold bench --profile full" in capsys.readouterr().err
    measured.write_text("[1]")
    assert main(["capacity"]) == 2
