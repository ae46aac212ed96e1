"""./qold replay on the state of a demo: in the shadow, and into each topology."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cli.app import main
from local.demo import Demo
from local.demo_embedded import EmbeddedWorld
from local.demo_outcome import Plan, Progress
from local.simulator.refrigerator import Refrigerator
from qold.settings import Settings

START_S = 1_795_392_000
HOURS = 14


class Unseen:
    """A view that shows nothing."""

    def started(self, fleet: object) -> None:
        """Nothing."""

    def moved(self, progress: Progress, heard: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen hours of a dozen fridges: open ones, empty batteries, readings hours late."""
    state = tmp_path_factory.mktemp("replay") / "kept"
    sources = [Refrigerator(n, seed=3, start_s=START_S, hours=HOURS) for n in range(12)]
    faults = ("door", "battery", "late")
    plan = Plan(sources=sources, gateways=1, seed=3, speed=0, faults=faults)
    assert Demo(plan, EmbeddedWorld(plan, Settings.load(state, {})), Unseen()).run().is_exact
    return state


@pytest.fixture
def state(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / "state"))


def rows(state: Path, store: str, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(state / f"{store}.db")
    try:
        query = f"SELECT {columns} FROM {table}"  # noqa: S608  # our own words
        return sorted(connection.execute(query).fetchall(), key=repr)
    finally:
        connection.close()


def contents(state: Path) -> dict[str, list[str]]:
    """Every table of every store; their files also change when a connection is closed."""
    found = {}
    for path in state.glob("*.db"):
        connection = sqlite3.connect(path)
        found[path.name] = list(connection.iterdump())
        connection.close()
    return found


def replay(capsys: pytest.CaptureFixture[str], state: Path, *words: object) -> dict[str, Any]:
    arguments = ["replay", "--state", str(state), "--json", *map(str, words)]
    code = main(arguments)
    told = capsys.readouterr()
    assert code == 0, told.err
    found: dict[str, Any] = json.loads(told.out)
    return found


PERIODS = {
    "everything": (0, "now"),
    "an open fridge at both edges": (START_S + 5 * 3600, START_S + 9 * 3600),
    "an hour": (START_S + 7 * 3600, START_S + 8 * 3600),
}


@pytest.mark.parametrize("name", PERIODS)
def test_with_the_same_limits_nothing_changes(
    name: str, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from_s, to_s = PERIODS[name]
    before = contents(kept)
    found = replay(capsys, kept, "--from", from_s, "--to", to_s, "--dry-run")
    assert found["excursions_identical"]
    assert (found["added"], found["gone"], found["moved"]) == ([], [], [])
    assert name != "everything" or found["same"] >= 6
    assert contents(kept) == before
    assert not list(kept.glob("replay-*"))


def test_other_limits_add_take_and_move_alerts(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name and by id; a device with a delay is told later, one without limits not at all."""
    excursions = rows(kept, "alerts", "excursions")
    warm = {row[0] for row in excursions if row[1] == "temperature.high"}
    moved, gone, *_ = sorted(warm)
    calm = min(set(range(1, 13)) - warm)
    names = dict(rows(kept, "directory", "contacts", "device_id, name"))
    limits = tmp_path / "limits.csv"
    lines = ["unit,min,max,delay_s", f"{moved},,10,5400", f"{names[gone]},,,", f"{calm},,-50,"]
    limits.write_text("\n".join([*lines, "Nobody,1,2,"]), "utf-8")
    words = ("--from", 0, "--dry-run", "--limits", limits)
    arguments = ["replay", "--state", str(kept), *map(str, words), "--json"]
    assert main(arguments) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert "there is no device Nobody" in told.err
    assert not found["excursions_identical"]
    assert f"device:{gone}" in {alert["subject"] for alert in found["gone"]}
    assert f"device:{calm}" in {alert["subject"] for alert in found["added"]}
    changed = [pair["to"]["subject"] for pair in found["moved"]]
    changed += [alert["subject"] for alert in found["gone"] + found["added"]]
    assert f"device:{moved}" in changed


def test_an_emptied_reading_store_is_rebuilt_exactly(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [rows(state, "readings", table) for table in ("Temperature", "Battery")]
    (state / "readings.db").unlink()
    found = replay(capsys, state, "--from", 0, "--into", "datapoints")
    assert found["readings"] == len(rows(state, "raw", "raw"))
    assert [rows(state, "readings", table) for table in ("Temperature", "Battery")] == before


def test_lost_alerts_are_found_again_and_told_to_nobody(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the ids they had; a second time nothing changes."""
    excursions = rows(state, "alerts", "excursions")
    alerts = [
        row
        for row in rows(state, "alerts", "alerts", "id, kind, fired_at_ms")
        if not row[1].startswith(("device", "gateway"))
    ]
    for store in ("alerts", "state"):
        (state / f"{store}.db").unlink()
    told = (state / "notifications.jsonl").read_bytes()
    for _ in range(2):
        replay(capsys, state, "--from", 0, "--into", "thresholds")
        assert rows(state, "alerts", "excursions") == excursions
        assert rows(state, "alerts", "alerts", "id, kind, fired_at_ms") == alerts
        assert rows(state, "alerts", "deliveries") == []
    assert (state / "notifications.jsonl").read_bytes() == told


@pytest.mark.parametrize("into", ["thresholds", "alert", "legacy", "datapoints"])
def test_a_replay_of_what_is_known_changes_nothing(
    into: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [("alerts", "alerts"), ("alerts", "excursions"), ("last_seen", "last_seen")]
    kept += [("readings", "Temperature"), ("raw", "raw"), ("log", "records")]
    before = [rows(state, *table) for table in kept]
    replay(capsys, state, "--from", START_S, "--to", START_S + 10 * 3600, "--into", into)
    assert [rows(state, *table) for table in kept] == before


BAD = {
    "neither": "--from 0",
    "both": "--from 0 --dry-run --into alert",
    "no period": "--dry-run",
    "a period without length": "--from 5 --to 5 --dry-run",
    "no time": "--from yesterday --dry-run",
    "another topology": "--from 0 --into raw",
    "limits for good": "--from 0 --into alert --limits /etc/hostname",
    "limits that are none": "--from 0 --dry-run --limits /etc/hostname",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_argument_is_a_usage_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--state", str(tmp_path), *BAD[name].split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("qold: ")
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []
