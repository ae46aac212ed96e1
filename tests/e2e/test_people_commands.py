"""The commands through which limits, contacts and alerts are seen and changed."""

import csv
import io
import json

import pytest

from local.services.server import StandIn
from local.topologies import load_topology
from tests.support.commands import json_lines, qold
from tests.support.pipeline import NOW_S, Site, make_record

OWNER, STAFF = "+351911111111", "+351922222222"


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    qold("device", "create", "--name", "Fridge 3", "--state", folder)
    return folder


def limits_of(state):
    (device,) = json_lines(qold("device", "list", "--json", "--state", state).stdout)
    return {name: value for name, value in device["config"].items() if name != "name"}


def test_limits_are_kept_shown_and_taken_away(state):
    done = qold(
        "device", "config", "Fridge 3", "--max", "8", "--min", "-2.5", "--min-battery", "15",
        "--delay", "600", "--hysteresis", "0.5", "--interval", "300", "--state", state,
    )  # fmt: skip
    assert limits_of(state) == {
        "maxTemperature": "8", "minTemperature": "-2.5", "minBattery": "15",
        "alertDelay": "600", "hysteresis": "0.5", "reportInterval": "300",
    }  # fmt: skip
    for words in ("8 °C", "-2.5 °C", "15 %", "600 s", "0.5 °C", "300 s"):
        assert words in done.stderr
    qold("device", "config", 1, "--min", "none", "--delay", "none", "--state", state)
    assert limits_of(state).keys() & {"minTemperature", "alertDelay"} == set()
    shown = json.loads(qold("device", "config", 1, "--json", "--state", state).stdout)
    assert shown == {"id": 1, "config": {"name": "Fridge 3", **limits_of(state)}}


def test_a_change_of_limits_is_told_on_config(state):
    site = Site(state)
    before = len(site.records("config"))
    qold("device", "config", 1, "--max", "8", "--state", state)
    assert [(r["resource"], r["id"]) for r in site.records("config")[before:]] == [("device", 1)]


@pytest.mark.parametrize(
    "words",
    [
        ("--max", "warm"),
        ("--max", "nan"),
        ("--max", "inf"),
        ("--max", "1e9"),
        ("--max", ""),
        ("--max", "8,5"),
        ("--min", "9", "--max", "8"),
        ("--min-battery", "101"),
        ("--min-battery", "-1"),
        ("--delay", "-1"),
        ("--hysteresis", "-0.5"),
        ("--interval", "0"),
    ],
    ids=" ".join,
)
def test_limits_that_cannot_be_read_are_refused_where_they_are_written(state, words):
    done = qold("device", "config", 1, *words, "--state", state, code=2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert limits_of(state) == {}


def test_unknown_things_are_told_apart(state):
    assert (
        "no device 9" in qold("device", "config", 9, "--max", "8", "--state", state, code=1).stderr
    )
    assert (
        "no device 9"
        in qold("contact", "set", 9, "--phone", OWNER, "--state", state, code=1).stderr
    )
    assert "no device 9" in qold("alert", "list", "--device", 9, "--state", state, code=1).stderr
    for words in (("show", "abc"), ("ack", "abc")):
        assert "no alert abc" in qold("alert", *words, "--state", state, code=1).stderr
    assert "no alerts" in qold("alert", "list", "--state", state).stderr


def test_contacts_are_kept_field_by_field(state):
    qold("contact", "set", "Fridge 3", "--phone", OWNER, "--name", "Dairy", "--state", state)
    qold("contact", "set", 1, "--locale", "pt", "--owner", "Ana", "--state", state)
    qold("contact", "staff", "--phone", STAFF, "--state", state)
    staff, device = json_lines(qold("contact", "list", "--json", "--state", state).stdout)
    assert staff == {"staff": {"name": "", "owner": "", "phone": STAFF, "locale": "en"}}
    assert device == {
        "device": 1, "name": "Dairy", "owner": "Ana", "phone": OWNER, "locale": "pt",
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("set", "1"),
        ("set", "1", "--phone", "911111111"),
        ("set", "1", "--phone", "nobody"),
        ("set", "1", "--locale", "Português"),
        ("set", "1", "--name", "x" * 101),
        ("staff", "--phone", "none"),
        ("staff", "--locale", "en"),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_contacts_that_cannot_be_used_are_refused(state, words):
    qold("contact", *words, "--state", state, code=2)
    assert json_lines(qold("contact", "list", "--json", "--state", state).stdout) == [
        {"staff": None}
    ]


def test_a_contact_is_not_ours_to_write_where_the_directory_is_somebody_elses(state):
    (state / "qold.toml").write_text('directory_url = "qold-app+http://127.0.0.1:9"\n', "utf-8")
    done = qold("contact", "staff", "--phone", STAFF, "--state", state, code=2)
    assert "directory_url" in done.stderr


def test_the_story_of_an_alert(state):
    """A warm refrigerator, from its readings to the person who has seen the alert."""
    qold("device", "config", 1, "--max", "8", "--state", state)
    qold("contact", "staff", "--phone", STAFF, "--state", state)
    site = Site(state, notifier_url="file:sent.jsonl")
    values = (5.0, 9.5, 10.0)
    for n, temp in enumerate(values):
        site.log.append("readings", [("1", make_record(1, NOW_S + 900 * n, temp=temp, seq=n))])
    site.run(site.topology("raw"))
    topology = site.topology("thresholds", load_topology("thresholds"))
    site.run(topology)
    for _ in range(140):
        site.clock.advance_to(site.clock.monotonic_ms() + 500)
        topology.run_until_idle()
    (row,) = json_lines(
        qold("alert", "list", "--open", "--format", "json", "--state", state).stdout
    )
    assert (row["kind"], row["subject"], row["value"], row["limit"], row["is_live"]) == (
        "temperature.high", "device:1", 9.5, 8.0, True,
    )  # fmt: skip
    assert row["deliveries"] == {"delivered": 2}
    listed = qold("alert", "list", "--device", "Fridge 3", "--state", state).stdout
    for words in (row["id"], "temperature.high", "device:1", "9.5 beyond 8", "open", "2 delivered"):
        assert words in listed
    lines = qold("alert", "list", "--format", "csv", "--state", state).stdout
    (line,) = csv.DictReader(io.StringIO(lines))
    assert (line["id"], line["fired_at_ms"]) == (row["id"], str(1000 * (NOW_S + 900)))

    story = json.loads(qold("alert", "show", row["id"], "--json", "--state", state).stdout)
    assert [reading["temp"] for reading in story["readings"]] == [5.0, 9.5]
    assert story["excursion"]["extreme"] == 10.0
    assert {d["address"]: d["status"] for d in story["deliveries"]} == {
        STAFF: "delivered", "alerts": "delivered",
    }  # fmt: skip
    text = qold("alert", "show", row["id"], "--state", state).stdout
    for words in ("9.5 beyond 8", "9.50 °C", f"sms {STAFF}: delivered", "live"):
        assert words in text

    assert "by ana" in qold("alert", "ack", row["id"], "--by", "ana", "--state", state).stderr
    assert "by ana" in qold("alert", "ack", row["id"], "--by", "rui", "--state", state).stderr
    assert qold("alert", "list", "--open", "--format", "json", "--state", state).stdout == ""
    assert "seen by ana" in qold("alert", "list", "--state", state).stdout


def test_a_test_message_goes_through_the_provider(state):
    with StandIn() as stand_in:
        (state / "qold.toml").write_text(
            f'notifier_url = "qold-sms+http://{stand_in.netloc}"\n', "utf-8"
        )
        assert "nobody" in qold("notify", "test", "--state", state, code=3).stderr
        qold("contact", "staff", "--phone", STAFF, "--locale", "pt", "--state", state)
        qold("notify", "test", "--state", state)
        qold("notify", "test", "--to", OWNER, "--state", state)
        told = {sms.to: sms.message for sms in stand_in.handed.sms.values()}
        assert told.keys() == {STAFF, OWNER}
        assert told[OWNER] == "Qold: this is a test. Alerts come to this number."
        assert "teste" in told[STAFF]
        stand_in.behave("qold-sms", "status", status=503)
        assert "503" in qold("notify", "test", "--state", state, code=1).stderr
        qold("notify", "test", "--to", "1234", "--state", state, code=2)
