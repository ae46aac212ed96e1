"""Text from outside through every command that shows it: text it was, and text it stays."""

import contextlib
import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cli.app import main
from cli.console import stderr
from cli.status import table
from local.status import ComponentStatus
from qold import wiring
from qold.domain.model import Alert
from qold.plain_text import is_plain, visible
from qold.ports import Device
from tests.support.commands import json_lines, qold
from tests.support.pipeline import NOW_S, Site, make_record
from tests.support.terminal import on_terminal

OWNED = "\x1b]0;owned\x07"
MARKUP = "[red]x[/nope]"
HOSTILE = st.text(
    st.sampled_from(
        "[]/\\:=+-@'\"<>&%{}\x00\x07\x08\t\n\r\x1b\x7f\x85\x9b\u200b\u2028\u202e\u2066é冷"
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A state folder with a device, an alert, and a message on the log, all to be renamed."""
    folder = tmp_path_factory.mktemp("hostile") / "state"
    site = Site(folder)
    site.provisioning.create_devices(1, active=True)
    site.log.append("readings", [("1", make_record(1, NOW_S))])
    site.run(site.topology("raw"))
    site.run(site.topology("datapoints"))
    wiring.contact_book(site.settings, site.clock).staff()  # makes the schema
    site.alert_log = wiring.alert_log(site.settings, site.clock)
    site.topic_names = site.log.topics()
    return site


def plant(site: Site, text: str) -> None:
    """Where no door stands, such as what an older version stored; `text` goes everywhere."""
    site.registry.put_devices([Device(1, "", True, {"name": text, "maxTemperature": text})])
    with sqlite3.connect(Path(site.settings.state_dir) / "directory.db") as book:
        for table, key in (("contacts", "device_id"), ("staff", "one")):
            book.execute(
                f"INSERT OR REPLACE INTO {table} ({key}, name, owner, phone, locale)"  # noqa: S608  # ours
                " VALUES (1, ?, ?, ?, ?)",
                (text, text, text, text),
            )
    book.close()
    alert = Alert(
        id="a1", kind="system.event", subject="gateway:1", fired_at_ms=NOW_S * 1000,
        started_at_ms=NOW_S * 1000, detail="",
    )  # fmt: skip
    site.alert_log.open_once([alert], topology="system", now_ms=NOW_S * 1000)
    with sqlite3.connect(Path(site.settings.state_dir) / "alerts.db") as alerts:
        alerts.execute(
            "UPDATE alerts SET detail = ?, acknowledged_by = ?, acknowledged_at_ms = 1",
            (text, text),
        )
    alerts.close()
    site.log.append("reports", [("1", text.encode())])
    refused = {"v": 1, "reason": text, "source": text, "index": 0, "detail": text}
    site.log.append("reports.rejected", [("1", json.dumps(refused, ensure_ascii=False).encode())])
    folder = Path(site.settings.state_dir)
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "raw.log").write_text(text, "utf-8", newline="")


def shown(site: Site, *words: object, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of a command, which ends with `code` and shows nothing but plain text."""
    out, err = io.StringIO(newline=""), io.StringIO(newline="")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = main([*map(str, words), "--state", site.settings.state_dir])
    assert ended == code, err.getvalue()
    for text in (out.getvalue(), err.getvalue()):
        assert is_plain(text.replace("\n", "")), words
    return out.getvalue(), err.getvalue()


@example(MARKUP)
@example("[/]")
@example(OWNED)
@example("=1+1\u202e\u2028:smile:\x9b2J")
@settings(max_examples=8)
@given(HOSTILE)
def test_every_command_shows_it_as_text(site, text):
    text = f"<{text}>"
    plant(site, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "2000")
        look(site, text)


def look(site: Site, text: str) -> None:
    escaped = visible(text)
    for words in (("contact", "list"), ("device", "list"), ("rejected", "list")):
        assert escaped in shown(site, *words)[1]
    assert "never started" in shown(site, "status", code=1)[1]
    err = io.StringIO(newline="")
    with contextlib.redirect_stderr(err):
        stderr.print(
            table([ComponentStatus(text, detail=text), ComponentStatus(text, counters={text: 1})])
        )
    assert err.getvalue().count(escaped) == 4
    assert err.getvalue().count("\n") == 3
    shown(site, "device", "config", 1)
    assert escaped in shown(site, "alert", "list")[0]
    assert escaped in shown(site, "alert", "show", "a1")[0]
    assert escaped in shown(site, "alert", "ack", "a1")[1]
    assert escaped in shown(site, "tail", "reports", "-n", 1)[0]
    lines = shown(site, "logs", "raw")[0].split("\n")
    assert lines[:-1] == [visible(line, keep="\t") for line in text.split("\n")]
    assert len(shown(site, "alert", "list", "--format", "csv")[0].split("\n")) == 3
    for words in (
        ("contact", "list", "--json"),
        ("device", "list", "--json"),
        ("device", "config", 1, "--json"),
        ("alert", "list", "--format", "json"),
        ("alert", "show", "a1", "--json"),
        ("tail", "reports", "-n", 1, "--json"),
        ("rejected", "list", "--json"),
    ):
        out, _ = shown(site, *words)
        assert out.isascii()
        assert text in values_of(json_lines(out)), words
    if is_plain(text):  # else the command line refuses it
        assert "device 1" in shown(site, "query", text, "--format", "plot")[0]
        assert f"no device {text}x" in shown(site, "query", f"{text}x", code=1)[1]
        assert f"no alert {text}" in shown(site, "alert", "show", text, code=1)[1]


def test_a_cell_of_the_alerts_csv_is_no_formula(site):
    plant(site, '=HYPERLINK("http://x")')
    out, _ = shown(site, "alert", "list", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["acknowledged_by"] == '\'=HYPERLINK("http://x")'


def values_of(value: object) -> list[object]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return (
        [found for one in value for found in values_of(one)] if isinstance(value, list) else [value]
    )


@pytest.mark.parametrize(
    "words",
    [
        ("alert", "ack", "a1", "--by"),
        ("contact", "set", "1", "--name"),
        ("contact", "staff", "--name"),
        ("contact", "set", "1", "--locale"),
        ("device", "create", "--name"),
        ("device", "config", "1", "--name"),
        ("device", "config", "1", "--max"),
        ("query",),
        ("tail",),
        ("logs",),
        ("rejected", "list", "--reason"),
        ("demo", "--input"),
        ("nothing",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "text", [OWNED, "a\x7f", "a\x85", "a\u202eb", "a\u2028b", "a\nb", "\udcff"]
)
def test_control_characters_are_refused_on_the_command_line(words, text, site):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main([*words, text, "--state", site.settings.state_dir]) == 2
    assert visible(text) in err.getvalue()
    assert is_plain(err.getvalue().replace("\n", ""))


def test_a_user_of_the_machine_is_acknowledged_by_a_plain_name(site):
    plant(site, "x")
    done = qold("alert", "ack", "a1", "--state", site.settings.state_dir, code=2, LOGNAME=OWNED)
    assert r"\x1b]0;owned\x07" in done.stderr


def test_units_are_text_in_the_live_demo(tmp_path):
    units = ["[/]", MARKUP, "[bold]", ":smile:", "=1+1", "-18"]
    rows = [f"{unit},{NOW_S + 900 * n},{20 + n}" for unit in units for n in range(4)]
    limits = [f"{unit},0,8" for unit in units]
    for name, lines in (
        ("in.csv", ["unit,time_unix,temp_c", *rows]),
        ("limits.csv", ["unit,min,max", *limits]),
    ):
        (tmp_path / name).write_text("\n".join(lines), "utf-8")
    words = ("--input", tmp_path / "in.csv", "--limits", tmp_path / "limits.csv", "--speed", 0)
    code, sent, _ = on_terminal("demo", *words, "--alerts-out", tmp_path / "out.csv")
    screen = sent.decode()
    assert code == 0, screen
    for number, unit in enumerate(units, 1):
        assert f"{unit} -> {number}" in screen
        assert screen.count(unit) >= 3, "in the list, the fleet and the alerts"
    found = [row.partition(",")[0] for row in (tmp_path / "out.csv").read_text("utf-8").split("\n")]
    assert set(found) == {"unit", "", "[/]", MARKUP, "[bold]", ":smile:", "'=1+1", "-18"}
