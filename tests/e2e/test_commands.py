"""Commands with words people mistype, numbers out of range, and folders in which nothing is yet.

Each failure is one line that says what is wrong, mostly one that names the fix, and no traceback.
"""

import json

import click
import pytest

from cli import parse
from cli.app import COMMANDS, main
from cli.plot import draw
from qold.ports import Point
from tests.support.pipeline import Site

NOW_MS = 1_795_456_000_000
HUGE = "9" * 5_000


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("QOLD_STATE", str(tmp_path / "state"))
    assert main(["device", "create"]) == 0
    return tmp_path / "state"


USAGE = [
    "query 1 --from tomorrow",
    "query 1 --from 2026-13-01",
    f"query 1 --from {HUGE}",
    "query 1 --to 99999999999999999999",
    "query 1 --from -24",
    "query 1 --from 2026-11-25 --to 2026-11-24",
    "query 1 --to 0",
    "query 1 --agg 1h",
    "query 1 --agg 1h:median",
    "query 1 --agg 0h:avg",
    "query 1 --agg -1h:avg",
    "query 1 --metric humidity",
    "query 1 --format xml",
    "query",
    "device enable 0",
    "device enable -1",
    "device disable 2147483648",
    f"device delete {HUGE} --yes",
    "device create --count 0",
    "device create --count 100001",
    "device create --count 2 --name x",
    "tail nothing",
    "tail config -n -1",
    "tail",
    "rejected redrive",
    "rejected",
    "gateway input",
    "gateway input --config /nowhere.toml",
    "run",
    "run nothing",
    "config set",
    "completion tcsh",
    "up --nonsense",
    "nothing",
]


@pytest.mark.parametrize("words", USAGE, ids=lambda words: words[:40])
def test_a_wrong_word_is_a_usage_error(state, capsys, words):
    capsys.readouterr()
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("qold: ")
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    "device", ["2", "0", "2147483648", "²", "Freezer", HUGE], ids=lambda d: d[:9]
)
def test_a_device_that_is_not_there(state, capsys, device):
    capsys.readouterr()
    assert main(["query", device]) == 1
    assert f"no device {device}" in capsys.readouterr().err


def test_a_folder_in_which_nothing_is_yet(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QOLD_STATE", str(tmp_path / "new"))
    for words in (["rejected", "list"], ["rejected", "redrive", "--reason", "inactive"]):
        assert main(words) == 1
        told = capsys.readouterr().err
        assert "no topic reports.rejected here" in told
        assert "fix: ./qold up" in told
    assert main(["status"]) == 1
    assert main(["down"]) == 0


def test_refusals_that_one_record_counts_are_listed_as_readings(tmp_path, capsys):
    site = Site(tmp_path)
    one = {"v": 1, "source": "reports:0:1", "index": 0, "gateway": 7}
    records = [
        {**one, "reason": "malformed"},
        {**one, "reason": "malformed", "readings": 480, "counts": {"[red]x[/nope]": 480}},
        {**one, "reason": "over-budget", "readings": 5, "proven": True, "counts": {"malformed": 5}},
        {**one, "reason": "over-budget", "readings": 2, "proven": True, "counts": {"malformed": 2}},
        {**one, "reason": "over-budget", "readings": 3, "counts": {"bad-gateway-token": 3}},
        {
            **one,
            "gateway": None,
            "reason": "over-budget",
            "readings": 9,
            "counts": {"malformed": 9},
        },
    ]
    site.log.append("reports.rejected", [("", json.dumps(record).encode()) for record in records])
    assert main(["rejected", "list", "--state", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    rows = [line.split() for line in told.splitlines()]
    assert ["malformed", "481", "2"] in rows
    assert ["over-budget", "19", "4"] in rows
    assert "reports of no proven gateway: counted, not written: 9 malformed" in told
    assert "\ngateway 7: counted, not written: 7 malformed" in told
    assert "claimed gateway 7: counted, not written: 3 bad-gateway-token" in told
    assert main(["rejected", "list", "--json", "--state", str(tmp_path)]) == 0
    assert list(map(json.loads, capsys.readouterr().out.splitlines())) == records
    for reason in ("malformed", "over-budget"):
        assert main(["rejected", "redrive", "--reason", reason, "--state", str(tmp_path)]) == 0
        assert "published 0" in capsys.readouterr().err


def test_settings_are_shown_and_every_problem_is_named(state, capsys):
    (state / "qold.toml").write_text("shards = 8\n", "utf-8")
    capsys.readouterr()
    assert main(["config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == 8
    assert main(["config", "validate"]) == 0
    for text, problems in (
        ("shards = -1\nshardz = 1\n", ["shards: -1 is less than 0", "shardz: no such setting"]),
        ('poll_records = "many"\n', ["poll_records"]),
        ("shards = \n", ["qold.toml"]),
        ('state_dir = "elsewhere"\nlog_url = 3\n', ["log_url"]),
    ):
        (state / "qold.toml").write_text(text, "utf-8")
        capsys.readouterr()
        assert main(["config", "validate"]) == 2
        told = capsys.readouterr().err
        assert all(problem in told for problem in problems), told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(capsys, shell):
    assert main(["completion", shell]) == 0
    assert "_QOLD_COMPLETE" in capsys.readouterr().out


def test_completion_knows_the_commands(capsys, monkeypatch):
    monkeypatch.setenv("_QOLD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "qold ")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        main([])
    offered = {line.partition(",")[2] for line in capsys.readouterr().out.splitlines()}
    assert offered == set(COMMANDS)


def test_every_command_has_help(capsys):
    for name in COMMANDS.keys() - {"storm"}:  # which is another program
        assert main([name, "--help"]) == 0
        assert "Usage: qold " + name in capsys.readouterr().out


def test_the_version_is_data(capsys):
    assert main(["version", "--json"]) == 0
    assert {"qold", "python"} <= json.loads(capsys.readouterr().out).keys()


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("now", NOW_MS),
        ("-24h", NOW_MS - 86_400_000),
        ("1795456000", NOW_MS),
        ("2026-11-23T17:46:40", NOW_MS),
        ("2026-11-23 18:46:40+01:00", NOW_MS),
        ("1970-01-01", 0),
    ],
)
def test_times_as_people_write_them(text, instant_ms):
    assert parse.instant_ms(text, NOW_MS) == instant_ms


@pytest.mark.parametrize(
    "text",
    ["", "15", "1.5h", "h", "01h", "1w", "1h ", "-1h", "\N{FULLWIDTH DIGIT ONE}h", "99999999h"],
)
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter):
        parse.duration_ms(text)


def test_a_plot_leaves_gaps_and_takes_a_single_point():
    points = [Point(1, NOW_MS + 60_000 * n, 4.0 + n % 3) for n in range(60)]
    whole = draw(points, title="device 1", unit="°C")
    with_gap = draw([*points[:20], *points[45:]], title="device 1", unit="°C")
    assert whole != with_gap
    for drawn in (whole, with_gap, draw(points[:1], title="device 1", unit="°C")):
        assert "device 1" in drawn
        assert "°C" in drawn
        assert max(map(len, drawn.splitlines())) <= 80
