"""./qold demo as a process: what goes in, what comes out, and that its verdict can be believed."""

import json
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.app import main
from local.demo import Demo
from local.demo_embedded import EmbeddedWorld
from local.demo_outcome import Outcome, Plan, Progress
from local.services.listening import listeners
from local.simulator.device import Reading
from local.simulator.fleet import Fleet
from local.simulator.refrigerator import Refrigerator
from qold.settings import Settings
from tests.support.commands import PATIENCE_S, command_line, json_lines, qold
from tests.support.processes import Processes, processes, wait_until
from tests.support.terminal import on_terminal

FAULTS = "crc,retransmit,duplicate,reset,badtoken,unknown,inactive,badgateway,clock,sensor"
KEYS = {
    *("seed", "sent", "acknowledged", "authenticated", "rejected", "link", "stored"),
    *("missing", "unexpected", "duplicates", "wall_s"),
    *("alerts", "alerts_expected", "alerts_missing", "alerts_unexpected", "notifications"),
}
AT_S = 1_795_456_000


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The summary and the kept state of a demo with every fault."""
    state = tmp_path_factory.mktemp("demo") / "kept"
    words = ("--hours", 3, "--speed", 0, "--seed", 7, "--faults", FAULTS, "--keep", state)
    (summary,) = json_lines(qold("demo", *words, "--json").stdout)
    return summary, state


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path) as started:
        yield started


def in_store(state: Path, store: str, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(state / f"{store}.db")
    try:
        rows = connection.execute(query).fetchall()
        connection.commit()
    finally:
        connection.close()
    return rows


def test_with_every_fault_all_is_exact(faulty: tuple[dict[str, Any], Path]) -> None:
    summary, _ = faulty
    assert summary.keys() >= KEYS
    assert summary["stored"].keys() == {"raw", "temperature", "battery"}
    assert summary["link"].keys() == {"crc_errors", "repeats"}
    assert (summary["missing"], summary["unexpected"], summary["duplicates"]) == (0, 0, 0)
    assert summary["sent"] == summary["acknowledged"]
    assert summary["seed"] == 7


def test_each_fault_happens_three_times(faulty: tuple[dict[str, Any], Path]) -> None:
    """Seen where it shows: on the link, among the refusals, or in what is stored."""
    summary, state = faulty
    stored = summary["stored"]
    rejected = summary["rejected"]
    assert set(rejected) == {
        *("bad-device-token", "bad-gateway-token", "bad-time", "inactive", "unknown-device")
    }
    assert min(rejected.values()) >= 3
    assert summary["link"]["crc_errors"] >= 3
    assert summary["link"]["repeats"] >= 3
    assert summary["authenticated"] - stored["raw"] >= 3, "published twice, stored once"
    assert 2 * stored["raw"] - stored["temperature"] - stored["battery"] >= 3, "sensor faults"
    assert resets(state) >= 3


def resets(state: Path) -> int:
    """How often a device began again at sequence 0, as the stored readings tell."""
    query = "SELECT device_id, message FROM raw ORDER BY device_id, measured_at_ms"
    count, before = 0, (0, 0)
    for device_id, message in in_store(state, "raw", query):
        sequence = json.loads(message)["reading"]["seq"]
        count += device_id == before[0] and sequence <= before[1]
        before = device_id, sequence
    return count


def test_one_seed_gives_one_result(faulty: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """Down to the stored rows; another seed gives another result."""
    summary, state = faulty
    again, other = tmp_path / "again", tmp_path / "other"
    words = ("--hours", 3, "--speed", 0, "--faults", FAULTS, "--json")
    (same,) = json_lines(qold("demo", *words, "--seed", 7, "--keep", again).stdout)
    (another,) = json_lines(qold("demo", *words, "--seed", 8, "--keep", other).stdout)
    assert {**same, "wall_s": 0} == {**summary, "wall_s": 0}
    rows = "SELECT * FROM raw ORDER BY device_id, measured_at_ms, fingerprint"
    assert in_store(again, "raw", rows) == in_store(state, "raw", rows)
    assert another["missing"] == another["unexpected"] == another["duplicates"] == 0
    assert in_store(other, "raw", rows) != in_store(state, "raw", rows)


def test_without_a_terminal_there_is_a_line_per_tenth() -> None:
    done = qold("demo", "--hours", 2, "--devices", 6, "--speed", 0)
    shares = [line.split()[0] for line in done.stderr.splitlines() if " %  acknowledged" in line]
    assert shares == [str(share) for share in range(10, 101, 10)]
    assert "Every reading is where it must be" in done.stderr
    assert done.stdout == "", "without --json there is no data"


def test_on_a_terminal_there_is_a_live_table_and_stdout_stays_data() -> None:
    code, screen, out = on_terminal("demo", "--hours", 1, "--devices", 6, "--speed", 0, "--json")
    assert code == 0
    assert b"Fleet (6 of 6, worst first)" in screen
    assert [line["sent"] for line in json_lines(out)] == [24]


def test_what_was_kept_can_be_used(faulty: tuple[dict[str, Any], Path]) -> None:
    """query, tail, rejected and status on the state of a demo."""
    summary, state = faulty
    stored = in_store(
        state, "readings", "SELECT measured_at_ms, value FROM Temperature WHERE device_id = 1"
    )
    here = ("--state", state)
    points = json_lines(qold("query", 1, "--format", "json", *here).stdout)
    assert [(point["measured_at_ms"], point["value"]) for point in points] == sorted(stored)
    (count,) = json_lines(
        qold("query", "Walk-in 1", "--agg", "30d:count", "--format", "json", *here).stdout
    )
    assert count["value"] == len(stored), "by name, in one bucket"
    table = qold("query", 1, "--metric", "battery", *here).stdout
    assert table.splitlines()[0].endswith(" %")
    assert qold("query", 1, "--format", "csv", *here).stdout.startswith("measured_at_ms,value\n")
    assert "device 1" in qold("query", 1, "--format", "plot", *here).stdout

    records = json_lines(qold("tail", "readings", "-n", 100_000, "--json", *here).stdout)
    assert len(records) == summary["authenticated"]
    assert len(qold("tail", "readings", *here).stdout.splitlines()) == 10

    told = qold("rejected", "list", *here)
    assert all(reason in told.stderr for reason in summary["rejected"])
    refused = json_lines(qold("rejected", "list", "--json", *here).stdout)
    assert Counter(record["reason"] for record in refused) == summary["rejected"]

    assert "never started" in qold("status", *here, code=1).stderr


def test_refusals_can_be_driven_again_once(
    faulty: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """The demo switched its devices on again, so what was refused for that holds now."""
    summary, state = faulty
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", state, copy], check=True)
    redrive = ("rejected", "redrive", "--state", copy, "--json", "--reason")
    (first,) = json_lines(qold(*redrive, "inactive").stdout)
    (second,) = json_lines(qold(*redrive, "inactive").stdout)
    (still,) = json_lines(qold(*redrive, "unknown-device").stdout)
    inactive, unknown = summary["rejected"]["inactive"], summary["rejected"]["unknown-device"]
    assert first == {"published": inactive, "earlier": 0, "still": {}}
    assert second == {"published": 0, "earlier": inactive, "still": {}}
    assert still == {"published": 0, "earlier": 0, "still": {"unknown-device": unknown}}
    records = qold("tail", "readings", "-n", 100_000, "--state", copy).stdout.splitlines()
    assert len(records) == summary["authenticated"] + inactive


RECORDING = f"""\
unit,time_unix,temp_c,battery_v,door
Milk fridge,{AT_S},4.21,3.0,0
Ice chest,{AT_S},-18.5,2.4,
Milk fridge,{AT_S + 60},4.5,2.7,1
"Ice chest",{AT_S + 60},,2.58,
 Milk fridge ,{AT_S + 120},5.004,,0
Milk fridge,{AT_S + 60},4.5,2.7,1
"""


def test_a_recording_goes_the_same_way(tmp_path: Path) -> None:
    """A blank door is closed, a blank temperature a sensor fault, a row told twice counts once."""
    recording, state = tmp_path / "measured.csv", tmp_path / "kept"
    recording.write_text(RECORDING, "utf-8")
    done = qold("demo", "--input", recording, "--keep", state, "--speed", 0, "--json")
    (summary,) = json_lines(done.stdout)
    assert (summary["sent"], summary["stored"]) == (
        5,
        {"raw": 5, "temperature": 4, "battery": 4},
    )
    assert "Milk fridge -> 1\n" in done.stderr
    assert "Ice chest -> 2\n" in done.stderr

    def points(unit: str, metric: str) -> list[tuple[int, float]]:
        words = ("query", unit, "--metric", metric, "--format", "json", "--state", state)
        found = json_lines(qold(*words).stdout)
        return [(p["measured_at_ms"] // 1000 - AT_S, p["value"]) for p in found]

    assert points("Milk fridge", "temperature") == [(0, 4.21), (60, 4.5), (120, 5.0)]
    assert points("Milk fridge", "battery") == [(0, 100), (60, 50)]
    assert points("Ice chest", "temperature") == [(0, -18.5)]
    assert points("2", "battery") == [(0, 0), (60, 30)]
    messages = in_store(state, "raw", "SELECT message FROM raw ORDER BY device_id, measured_at_ms")
    doors = [json.loads(message)["reading"].get("door", False) for (message,) in messages]
    assert doors == [False, True, False, False, False]


def test_seconds_a_door_was_open_and_percent(tmp_path: Path) -> None:
    """The other pair of columns, with a byte order mark, CRLF and a column nobody asked for."""
    recording, state = tmp_path / "measured.csv", tmp_path / "kept"
    rows = [
        "note,unit,time_unix,temp_c,battery,door_s",
        f"a,1,{AT_S},4,55.4,0",
        f",1,{AT_S + 1},4,,12.5",
    ]
    recording.write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    qold("demo", "--input", recording, "--keep", state, "--speed", 0)
    messages = in_store(state, "raw", "SELECT message FROM raw ORDER BY measured_at_ms")
    readings = [json.loads(message)["reading"] for (message,) in messages]
    assert [(r["batt"], r.get("door", False)) for r in readings] == [(55, False), (None, True)]


BAD_ROWS = {
    "text for a temperature": (f"a,{AT_S},warm,50,0", "temp_c 'warm' is not a number"),
    "a temperature of nan": (f"a,{AT_S},nan,50,0", "temp_c 'nan' is not a finite number"),
    "too cold": (f"a,{AT_S},-400,50,0", "temp_c '-400' is outside"),
    "no unit": (f" ,{AT_S},4,50,0", "unit is empty"),
    "no time": ("a,,4,50,0", "time_unix '' is not in whole seconds"),
    "time with a fraction": (f"a,{AT_S}.5,4,50,0", "time_unix"),
    "time in milliseconds": (f"a,{AT_S}000,4,50,0", "time_unix"),
    "a date for a time": ("a,2026-11-24,4,50,0", "time_unix '2026-11-24' is not a number"),
    "time in 1970": ("a,300,4,50,0", "time_unix"),
    "time without end": ("a,inf,4,50,0", "time_unix 'inf' is not a finite number"),
    "battery over 100": (f"a,{AT_S},4,101,0", "battery '101' is not 0 to 100"),
    "door ajar": (f"a,{AT_S},4,50,0.5", "door '0.5' is not 0 or 1"),
    "too few fields": (f"a,{AT_S},4", "not as many fields as columns"),
    "too many fields": (f"a,{AT_S},4,50,0,7", "not as many fields as columns"),
    "two values for one time": (f"good,{AT_S},9,50,0", f"good already has other values at {AT_S}"),
}


def test_bad_rows_are_all_named_and_nothing_is_done(tmp_path: Path) -> None:
    """Every kind of bad row between good ones; each is told with file, line and reason."""
    recording, state, temporary = (tmp_path / name for name in ("bad.csv", "kept", "tmp"))
    temporary.mkdir()
    lines = ["unit,time_unix,temp_c,battery,door", f"good,{AT_S},4,50,0"]
    lines += [row for row, _ in BAD_ROWS.values()]
    lines.append(f"good,{AT_S + 60},4,50,1")
    recording.write_text("\n".join(lines), "utf-8")
    done = qold(
        *("demo", "--input", recording, "--keep", state, "--json"), code=2, TMPDIR=temporary
    )
    told = [line for line in done.stderr.splitlines() if str(recording) in line]
    assert len(told) == len(BAD_ROWS)
    for number, (line, (_, reason)) in enumerate(zip(told, BAD_ROWS.values(), strict=True)):
        assert f"{recording}:{number + 3}: {reason}" in line
    assert done.stdout == ""
    assert not state.exists()
    assert list(temporary.iterdir()) == []


BAD_FILES = {
    "empty": (b"", "is empty"),
    "only a header": (b"unit,time_unix,temp_c\n", "no rows"),
    "a column missing": (b"unit,temp_c\na,4\n", ":1: no column time_unix"),
    "both batteries": (
        b"unit,time_unix,temp_c,battery,battery_v\n",
        "columns battery and battery_v exclude each other",
    ),
    "volts of another cell": (
        f"unit,time_unix,temp_c,battery_v\na,{AT_S},4,12\n".encode(),
        ":2: battery_v '12' is not the voltage of a 3 V cell",
    ),
    "a door open before it opened": (
        f"unit,time_unix,temp_c,door_s\na,{AT_S},4,-1\n".encode(),
        ":2: door_s '-1' is negative",
    ),
    "not UTF-8": (b"unit,time_unix,temp_c\n\xff,1,1\n", ":2: is not UTF-8"),
    "binary": (b"\x00\x01\x02\x03", ":1: holds a NUL byte"),
    "a field of 200 kB": (
        b"unit,time_unix,temp_c\n" + b"a" * 200_000 + b",1,1\n",
        ":2: a row is longer than 65536 characters",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_recording_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, reason = BAD_FILES[name]
    recording = tmp_path / "bad.csv"
    recording.write_bytes(content)
    assert main(["demo", "--input", str(recording), "--keep", str(tmp_path / "kept")]) == 2
    told = capsys.readouterr().err
    assert str(recording) in told
    assert reason in told
    assert not (tmp_path / "kept").exists()


BAD_ARGUMENTS = [
    "--faults nonsense",
    "--devices 0",
    "--devices 5001",
    "--devices many",
    "--gateways 0",
    "--hours 0",
    "--hours 745",
    "--hours nan",
    "--speed -1",
    "--speed nan",
    "--seed -1",
    "--input /nowhere.csv",
    "--input /tmp",
    "--keep /dev/null",
    "--nonsense",
    "more",
    "--hours",
    f"--devices 1 --hours 0.25 --faults {FAULTS}",
    "--devices 2 --hours 0.25 --faults crc,reset",
    "--devices 60 --hours 5 --faults backlog",
    "--devices 2 --faults door",
    "--gateways 1 --faults gateway-silent,backlog",
    "--devices 60 --hours 0.25 --faults restart",
    "--limits /etc/hostname",
    "--alerts-out /nowhere/alerts.csv",
    "--scale 60",
    "--profile kafka",
    "--profile full",
    "--profile full --scale 0",
    "--profile full --scale 121",
    "--profile full --faults late",
    "--profile full --faults crc,restart",
]


@pytest.mark.parametrize("words", BAD_ARGUMENTS)
def test_a_bad_argument_is_a_usage_error(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told in a line, and nothing was begun."""
    keep = [] if "--keep" in words else ["--keep", str(tmp_path / "kept")]
    assert main(["demo", "--speed", "0", *keep, *words.split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("qold: ")
    assert told.out == ""
    assert not (tmp_path / "kept").exists()


def test_real_time_needs_real_servers(tmp_path: Path) -> None:
    """Where none were started, and where another profile runs."""
    (tmp_path / "profile.toml").write_text('profile = "full"\n', "utf-8")
    for state in (tmp_path / "new", tmp_path):
        done = qold("demo", "--profile", "full", "--state", state, code=3)
        assert f"fix: ./qold up -d --profile full --state {state}" in done.stderr
        assert not (state / "demo").exists()


def test_what_a_state_folder_says_is_no_matter_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "qold.toml").write_text("nonsense", "utf-8")
    words = ("--devices", 1, "--gateways", 1, "--hours", 0.25, "--speed", 0, "--state", tmp_path)
    assert "Every reading is where it must be" in qold("demo", *words).stderr


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine", "utf-8")
    done = qold("demo", "--keep", tmp_path, code=2)
    assert "not an empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_nothing(
    running: Processes, tmp_path: Path, number: int, code: int
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = command_line("demo", "--hours", 3, "--speed", 1800)
    process = running.start("demo", command, TMPDIR=temporary)
    wait_until(lambda: "10 %" in running.log_tail("demo"), "the first line")
    assert listeners(process.pid) == [], "not even on loopback"
    assert list(temporary.iterdir())
    assert running.stop("demo", number) == code
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in running.log_tail("demo")


def test_a_store_that_lost_something_is_exit_4(running: Processes, tmp_path: Path) -> None:
    """Somebody else's hand in the store while the demo has still hours to go."""
    state = tmp_path / "kept"
    command = command_line("demo", "--hours", 1, "--speed", 900, "--keep", state, "--json")
    process = running.start("demo", command)
    wait_until(lambda: "10 %" in running.log_tail("demo"), "the first line")
    lost = in_store(state, "raw", "DELETE FROM raw RETURNING device_id")
    assert process.wait(PATIENCE_S) == 4
    (summary,) = json_lines(running.output("demo"))
    assert lost
    assert summary["missing"] == len(lost)
    assert (summary["unexpected"], summary["duplicates"]) == (0, 0)
    assert f"{len(lost)} missing" in running.log_tail("demo")


class Tamperer:
    """A view that changes a store when everything is stored."""

    def __init__(self, tamper: Callable[[], object]) -> None:
        self._tamper = tamper

    def started(self, fleet: Fleet) -> None:
        """Nothing is shown."""

    def moved(self, progress: Progress, heard: Sequence[tuple[Reading, str]]) -> None:
        if progress.at_s == progress.end_s:
            self._tamper()


TAMPERED = {
    "a raw row lost": ("raw", "DELETE FROM raw WHERE device_id = 1", (4, 0, 0)),
    "a raw row twice": (
        "raw",
        "INSERT INTO raw SELECT device_id, measured_at_ms, fingerprint + 1, message, origin"
        " FROM raw WHERE device_id = 2",
        (0, 0, 4),
    ),
    "a raw value changed": (
        "raw",
        "UPDATE raw SET message = replace(message, '\"seq\":2', '\"seq\":9') WHERE device_id = 1",
        (1, 1, 0),
    ),
    "a raw time changed": (
        "raw",
        "UPDATE raw SET measured_at_ms = measured_at_ms + 1000 WHERE device_id = 1",
        (4, 4, 0),
    ),
    "a raw row of nobody": (
        "raw",
        "INSERT INTO raw SELECT 77, measured_at_ms, fingerprint, message, origin"
        " FROM raw WHERE device_id = 2",
        (0, 4, 0),
    ),
    "a temperature lost": ("readings", "DELETE FROM Temperature WHERE device_id = 1", (4, 0, 0)),
    "a temperature a hundredth off": (
        "readings",
        "UPDATE Temperature SET value = value + 0.01 WHERE device_id = 1",
        (4, 4, 0),
    ),
    "a battery a millisecond late": (
        "readings",
        "UPDATE Battery SET measured_at_ms = measured_at_ms + 1 WHERE device_id = 1",
        (4, 4, 0),
    ),
    "a battery of nobody": ("readings", "INSERT INTO Battery VALUES (77, 1000, 50)", (0, 1, 0)),
    "records of the log lost": (
        "log",
        "DELETE FROM records WHERE id IN (SELECT r.id FROM records r, topics t"
        " WHERE t.topic = 'readings' AND r.id >> 48 = t.number LIMIT 3)",
        (3, 0, 0),
    ),
    "nothing": ("raw", "SELECT 1", (0, 0, 0)),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_the_verdict_counts_what_is_wrong(name: str, tmp_path: Path) -> None:
    """Missing, unexpected and twice; 'nothing' shows that the hand alone changes nothing."""
    store, statement, expected = TAMPERED[name]
    outcome = tampered_demo(tmp_path, store, statement)
    verdict = outcome.verdict
    assert (verdict.missing, verdict.unexpected, verdict.duplicates) == expected
    assert outcome.is_exact == (name == "nothing")
    assert bool(verdict.examples) == (expected[:2] != (0, 0))


def tampered_demo(folder: Path, store: str, statement: str) -> Outcome:
    sources = [Refrigerator(n, seed=1, start_s=AT_S, hours=1) for n in range(3)]
    plan = Plan(sources=sources, gateways=1, seed=1, speed=0, faults=())
    view = Tamperer(lambda: in_store(folder, store, statement))
    return Demo(plan, EmbeddedWorld(plan, Settings.load(folder, {})), view).run()
