"""./qold demo tells people what it should and nothing else, whatever goes wrong."""

import csv
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cli.app import main
from local.demo import Demo
from local.demo_embedded import EmbeddedWorld
from local.demo_outcome import Plan, Progress
from local.simulator.bounds import Bounds
from local.simulator.recording import RecordedUnit
from local.simulator.refrigerator import Measurement
from qold.settings import Settings
from tests.support.commands import json_lines, qold

ALERT_FAULTS = "door,silent,gateway-silent,battery,backlog,late,restart"
READING_FAULTS = "crc,retransmit,duplicate,reset,badtoken,unknown,inactive,badgateway,clock,sensor"
AT_S = 1_795_456_000


def seeds() -> list[int]:
    """As `QOLD_SEEDS` says, such as 1-20; by default the one."""
    first, _, last = os.environ.get("QOLD_SEEDS", "11").partition("-")
    return list(range(int(first), int(last or first) + 1))


def demo(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """In this process: a day of sixty devices takes its time."""
    code = main(["demo", "--speed", "0", "--json", *map(str, words)])
    told = capsys.readouterr()
    assert code == 0, told.err
    (summary,) = json_lines(told.out)
    return summary


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", seeds())
def test_every_alert_is_told_and_no_other(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A shop's mishaps and killed topologies; every fault at least three times."""
    summary = demo(capsys, "--seed", seed, "--faults", ALERT_FAULTS)
    assert (summary["alerts_missing"], summary["alerts_unexpected"]) == (0, 0)
    assert summary["alerts"] == summary["alerts_expected"]
    assert summary["alerts"]["temperature.high"] >= 3
    assert summary["alerts"]["battery.low"] >= 3
    assert summary["alerts"]["device.silent"] >= 3
    assert summary["alerts"]["gateway.silent"] >= 6
    assert summary["notifications"] > 0
    assert summary["sent"] > summary["acknowledged"], "shops without power hear nothing"


@pytest.mark.timeout(1200)
def test_all_seventeen_faults_together(capsys: pytest.CaptureFixture[str]) -> None:
    summary = demo(capsys, "--seed", 6, "--faults", f"{ALERT_FAULTS},{READING_FAULTS}")
    assert (summary["alerts_missing"], summary["alerts_unexpected"]) == (0, 0)
    assert (summary["missing"], summary["unexpected"], summary["duplicates"]) == (0, 0, 0)
    assert summary["alerts"]["system.clock-jump"] >= 1


def recording(folder: Path, celsius: dict[str, list[float | None]]) -> Path:
    path = folder / "measured.csv"
    lines = ["unit,time_unix,temp_c,battery"]
    for unit, values in celsius.items():
        for n, value in enumerate(values):
            lines.append(f"{unit},{AT_S + 900 * n},{'' if value is None else value},50")
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_a_recording_is_watched_by_the_limits_of_a_file(tmp_path: Path) -> None:
    """A delay, hysteresis, a side that is not checked, a unit without limits; one not recorded."""
    path = recording(
        tmp_path,
        {
            "Milk": [4, 9, 9.5, 9, 7.9, 4, 4],
            "Fish": [1, 9, 7.9, 8.5, 7.5, 1, -5],
            "Ice": [-18, 30, 30, 30, -18, -18, -18],
        },
    )
    limits, found = tmp_path / "limits.csv", tmp_path / "alerts.csv"
    limits.write_text(
        "unit,min,max,delay_s,hysteresis\nMilk,0,8,900,\nFish,,8,,0.5\nGhost,,5,,\n", "utf-8"
    )
    words = ("--input", path, "--limits", limits, "--alerts-out", found, "--speed", 0, "--json")
    done = qold("demo", *words)
    assert "Ghost is not in the recording" in done.stderr
    with found.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [
        ["Fish", "temperature.high", *map(str, (AT_S + 900, AT_S + 3600, 9.0, AT_S + 900))],
        ["Milk", "temperature.high", *map(str, (AT_S + 900, AT_S + 3600, 9.5, AT_S + 1800))],
    ]
    assert list(rows[0]) == [
        *("unit", "kind", "opened_unix", "closed_unix", "extreme", "alerted_unix")
    ]
    (summary,) = json_lines(done.stdout)
    assert summary["alerts"] == {"temperature.high": 2}


BAD_LIMITS = {
    "min above max": ("A,9,8,,", "min 9 is above max 8"),
    "text": ("B,x,,,", "min 'x' is not a number"),
    "nan": ("C,,nan,,", "max 'nan' is not a number"),
    "beyond what can be measured": ("D,,400,,", "max '400' is not a number from -327.67"),
    "a negative delay": ("E,,8,-1,", "delay_s '-1' is not a number from 0"),
    "endless hysteresis": ("F,,8,,inf", "hysteresis 'inf' is not a number from 0"),
    "no unit": (",0,8,,", "unit is empty"),
    "too few fields": ("G,0", "not as many fields as columns"),
    "twice": ("good,1,2,,", "good has limits already"),
}


def test_bad_limits_are_all_named_and_nothing_is_done(tmp_path: Path) -> None:
    path = recording(tmp_path, {"good": [4, 4]})
    limits, found = tmp_path / "limits.csv", tmp_path / "alerts.csv"
    rows = [row for row, _ in BAD_LIMITS.values()]
    limits.write_text("\n".join(["unit,min,max,delay_s,hysteresis", "good,0,8,,", *rows]), "utf-8")
    words = ("--input", path, "--limits", limits, "--alerts-out", found, "--json")
    done = qold("demo", *words, code=2)
    told = [line for line in done.stderr.splitlines() if str(limits) in line]
    for number, (line, (_, reason)) in enumerate(zip(told, BAD_LIMITS.values(), strict=True)):
        assert f"{limits}:{number + 3}: {reason}" in line
    assert done.stdout == ""
    assert not found.exists()


@pytest.mark.parametrize("header", ["unit,min", "unit,min,max,delays", ""])
def test_a_file_without_the_columns_is_refused(header: str, tmp_path: Path) -> None:
    """A misspelt column would be a limit that nobody watches."""
    path = recording(tmp_path, {"good": [4]})
    limits = tmp_path / "limits.csv"
    limits.write_text(f"{header}\n", "utf-8")
    done = qold("demo", "--input", path, "--limits", limits, code=2)
    assert f"{limits}:1: " in done.stderr


TAMPERED = {
    "an alert lost": ("DELETE FROM alerts", (1, 0)),
    "an alert a minute late": ("UPDATE alerts SET fired_at_ms = fired_at_ms + 60000", (1, 1)),
    "an alert of another device": ("UPDATE alerts SET subject = 'device:2'", (1, 1)),
    "an alert of nobody": (
        "INSERT INTO alerts SELECT 'x', 'device.silent', subject, fired_at_ms, started_at_ms, NULL,"
        " NULL, NULL, 0, '', topology, opened_at_ms, opened_at_ms, NULL, NULL FROM alerts",
        (0, 1),
    ),
    "an alert that was never told": ("UPDATE deliveries SET status = 'refused'", (1, 0)),
    "an excursion lost": ("DELETE FROM excursions", (1, 0)),
    "another extreme": ("UPDATE excursions SET extreme = extreme + 0.01", (1, 1)),
    "nothing": ("SELECT 1", (0, 0)),
}


class Tamperer:
    """A view that changes the alert log when everything is told."""

    def __init__(self, folder: Path, statement: str) -> None:
        self._path, self._statement = folder / "alerts.db", statement

    def started(self, fleet: object) -> None:
        """Nothing is shown."""

    def moved(self, progress: Progress, heard: object) -> None:
        if progress.at_s == progress.end_s:
            connection = sqlite3.connect(self._path)
            connection.execute(self._statement)
            connection.commit()
            connection.close()


@pytest.mark.parametrize("name", TAMPERED)
def test_the_verdict_counts_what_is_wrong(name: str, tmp_path: Path) -> None:
    """'nothing' shows that the hand alone changes nothing."""
    statement, expected = TAMPERED[name]
    unit = RecordedUnit("Milk")
    unit.bounds = Bounds(highest=8)
    for n, celsius in enumerate([4, 9, 9, 4, 4, 4]):
        unit.add(Measurement(AT_S + 900 * n, 100 * celsius, 50, 0))
    plan = Plan(sources=[unit], gateways=1, seed=1, speed=0, faults=())
    view = Tamperer(tmp_path, statement)
    outcome = Demo(plan, EmbeddedWorld(plan, Settings.load(tmp_path, {})), view).run()
    assert (outcome.alerts.missing, outcome.alerts.unexpected) == expected
    assert outcome.is_exact == (name == "nothing")
    assert bool(outcome.alerts.examples) == (name != "nothing")
