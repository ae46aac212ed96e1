"""Rows of a bench, their table, and `./qold bench` around them."""

import json

import pytest

from cli import bench as command
from cli.app import main
from local.bench.measure import Case, Figures, Row, Run, differences, repeat
from local.bench.page import Measurement, data_path, describe_machine, read, render, write
from local.bench.table import shares, table

RATE = Case(bench="raw", measured="stored", workload="backlog", source=7_099, target=40_000)
COLD = Case(bench="auth", measured="cold", workload="steady", unit="s", target=60)
FREE = Case(bench="raw", measured="stored", workload="steady")


def row(case: Case, *seconds: float, problems: tuple[str, ...] = ()) -> Row:
    return Row(case, tuple(Run(100_000, wall_s, wall_s / 2) for wall_s in seconds), problems)


@pytest.mark.parametrize(
    ("measured", "is_met"),
    [
        (row(RATE, 2, 2.5, 9), True),  # 40 000/s in the middle
        (row(RATE, 2, 2.6, 2.6), False),
        (row(COLD, 59, 60, 99), True),
        (row(COLD, 1, 61, 99), False),
        (row(FREE, 10**6), None),
        (row(FREE, 1, problems=("1 rows missing",)), False),
        (row(RATE, 1, problems=("1 rows missing",)), False),
    ],
)
def test_the_median_must_reach_the_target_under_a_clean_ledger(measured, is_met):
    assert measured.is_met is is_met


def figures(*rows: Row):
    return [one.figures() for one in rows]


def test_figures_are_left_out_when_the_ledger_is_not_clean():
    (clean,) = figures(row(RATE, 1, 2, 4))
    assert (clean.best, clean.median, clean.rate, clean.cpu_us) == (100_000, 50_000, 50_000, 10)
    assert clean.times_source == 7.04
    assert clean.ledger == "clean"
    (unclean,) = figures(row(RATE, 1, problems=("1 rows missing",)))
    assert (unclean.best, unclean.median, unclean.runs, unclean.cpu_us) == (None,) * 4
    assert "100 000" not in table([unclean])
    assert "1 rows missing" in table([unclean])
    assert unclean.ledger == "1 rows missing"


def test_a_rate_is_never_rounded_up():
    assert "33 333 /s" in table(figures(row(FREE, 3)))
    assert "66 666 /s" in table(figures(row(FREE, 1.5)))


def test_bytes_are_at_most_so_many_and_never_rounded_down():
    month = Figures(
        profile="full",
        bench="uplink",
        measured="a month",
        workload="backlog",
        unit="bytes",
        target=50_000_000,
        met=True,
        median=5_508_882.6,
        best=40.8,
    )
    assert "| 5 508 883 B | 40.8 B |" in table([month])
    assert "≤ 50 000 000 B met" in table([month])


def test_a_time_of_microseconds_is_told_and_compared():
    bolt = Case(bench="raw", measured="Parser Bolt", workload="backlog", unit="s", source=0.047)
    (told,) = figures(Row(bolt, (Run(1, 2.34e-6, 0.0),), ()))
    assert (told.best, told.median) == (2.34e-6, 2.34e-6)
    assert " 2.3 µs |" in table([told])
    assert " 5e-05 |" in table([told])


def test_where_the_time_goes_leaves_out_what_is_little():
    measured = Row(RATE, (Run(10, 1, 1),), (), {"broker": 2.0, "ParserBolt": 7.96, "nimbus": 0.04})
    text = shares(figures(measured, row(FREE, 1)))
    assert "| ParserBolt 8.0, broker 2.0 |" in text
    assert "nimbus" not in text
    assert len(text.splitlines()) == 3
    assert shares(figures(row(FREE, 1))) == ""


def test_the_table_is_markdown_and_names_what_was_missed():
    lines = table(figures(row(RATE, 1), row(COLD, 61), row(FREE, 2))).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert "100 000 /s" in lines[2]
    assert "met |" in lines[2]
    assert "**missed**" in lines[3]


def test_the_page_names_machine_and_versions():
    machine = describe_machine(1_795_456_000_000)
    text = render({"embedded": Measurement("./qold bench", machine, 2, figures(row(RATE, 1, 1)))})
    words = " ".join(text.split())
    for expected in ("cores", "Python 3.", "SQLite 3.", "streamparse 5", "Qold 0", "2026-11-23"):
        assert expected in words
    assert "come 2 runs" in text
    assert max(map(len, text.splitlines())) < 400
    for server in ("Storm 2.", "Kafka 4.", "Cassandra 5.", "KairosDB 1."):
        assert server not in machine
        assert server in describe_machine(1_795_456_000_000, with_servers=True)


def test_what_the_page_has_of_another_profile_stays(tmp_path):
    page = tmp_path / "benchmarks.md"
    write(page, {"embedded": Measurement("./qold bench", "here", 1, figures(row(RATE, 1)))})
    write(
        page,
        {"full": Measurement("./qold bench --profile full", "there", 1, figures(row(FREE, 2)))},
    )
    write(
        page,
        {"full": Measurement("./qold bench --profile full", "there", 1, figures(row(FREE, 4)))},
    )
    text = page.read_text()
    assert "100 000 /s" in text
    assert "25 000 /s" in text
    assert "50 000 /s" not in text
    assert render(read(data_path(page))) == text
    assert read(tmp_path / "nothing.json") == {}


def test_the_ledger_counts_each_kind_of_difference():
    assert differences("aab", "baa", things="rows") == ()
    assert differences("aabc", "abbx", things="rows") == (
        "2 rows missing",
        "1 rows stored twice",
        "1 rows never put in",
    )
    assert differences("ab", "ab", things="rows", total=5) == ("3 rows never put in",)


def test_every_run_has_a_folder_of_its_own_and_the_warm_up_counts_for_the_ledger_alone(tmp_path):
    (tmp_path / "there").write_text("as prepared")
    folders = []

    def once(folder):
        assert (folder / "there").read_text() == "as prepared"
        (folder / "there").write_text("changed by a run")
        folders.append(folder)
        return [Run(len(folders), 1, 1, () if len(folders) > 1 else ("1 rows missing",))]

    (only,) = repeat([FREE], 2, once, tell=lambda text: None, template=tmp_path)
    assert len(set(folders)) == 3
    assert not any(folder.exists() for folder in folders)
    assert [run.count for run in only.runs] == [2, 3]
    assert only.problems == ("1 rows missing",)


@pytest.fixture
def benches(monkeypatch):
    """Makes `log` and `raw` yield the given rows; returns the workloads they were asked for."""
    asked = []

    def replace(**rows):
        def load(name):
            def measure(workload, runs, tell):
                asked.append((name, workload.name, runs))
                tell("working")
                yield rows[name]

            return measure

        monkeypatch.setattr(command, "load", load)
        return asked

    return replace


def test_the_command_prints_a_table_and_exits_with_0(benches, capsys):
    asked = benches(log=row(FREE, 1), raw=row(RATE, 1))
    assert main(["bench", "log", "raw", "log", "--runs", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("| bench")
    assert len(out.splitlines()) == 6
    assert "working" in err
    assert asked == [(n, w, 1) for n in ("log", "raw") for w in ("backlog", "steady")]


@pytest.mark.parametrize("bad", [row(RATE, 9), row(FREE, 1, problems=("1 rows missing",))])
def test_a_missed_target_or_an_unclean_ledger_exits_with_4(benches, capsys, bad):
    benches(log=row(FREE, 1), raw=bad)
    assert main(["bench", "log", "raw", "--workload", "steady", "--json"]) == 4
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["met"] for line in printed] == [None, False]


def test_the_page_is_written_where_it_was_asked_for(benches, tmp_path, capsys):
    benches(raw=row(RATE, 1))
    assert main(["bench", "raw", "--markdown", str(tmp_path / "benchmarks.md")]) == 0
    assert (tmp_path / "benchmarks.md").read_text().startswith("# How fast is it?")
    assert read(tmp_path / "benchmarks.json")["embedded"].rows[0].rate == 100_000


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["log", "nothing"],
        ["--workload", "peak"],
        ["--runs", "0"],
        ["--runs", "many"],
        ["--markdown", "/nowhere/benchmarks.md"],
        ["--markdown", "/"],
        ["--fast"],
        ["--profile", "huge"],
        ["--compare", "source"],
        ["--compare", "others", "--profile", "full"],
        ["all-at-once"],
        ["all-at-once", "--profile", "full", "--minutes", "0"],
        ["all-at-once", "--profile", "full", "--rate", "0"],
        ["outbox", "--profile", "full"],
    ],
)
def test_bad_arguments_exit_with_2_before_anything_is_measured(benches, words, capsys):
    asked = benches()
    assert main(["bench", *words]) == 2
    assert asked == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("qold: ")
