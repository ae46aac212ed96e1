"""The soak's ledger finds what is lost, twice, foreign or forgotten, and nothing where all is well."""

import random

import pytest

from local.soak.faults import FAULTS, usual
from local.soak.page import page, table
from local.soak.soak import Injection, Outcome, plan
from qold import wiring
from qold.ports import Point
from tests.support.pipeline import NOW_S
from tests.support.soaked import GATEWAYS, REPORTS, Soaked


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    soaked = Soaked(tmp_path_factory.mktemp("soaked"))
    soaked.send()
    soaked.work()
    return soaked


def test_what_went_right_is_exact(soaked):
    findings = soaked.findings()
    assert findings.is_exact, findings.examples
    ledger = soaked.traffic.ledger
    assert findings.stored == {
        "raw": len(ledger.raw),
        "temperature": len(ledger.temperature),
        "battery": len(ledger.battery),
    }
    assert findings.refused == len(soaked.traffic.refused)
    assert {refusal.reason for refusal in soaked.traffic.refused} == {
        "bad-gateway-token",
        "bad-device-token",
        "inactive",
        "unknown-device",
        "bad-time",
    }
    assert findings.alerts > 0
    assert findings.repeats == 0
    assert soaked.progress.behind_ms() == 0
    assert not any(soaked.progress.lags().values())


def test_the_same_seed_says_the_same(tmp_path, soaked):
    again = Soaked(tmp_path)
    for _ in range(REPORTS):
        again.traffic.report()
    assert again.traffic.ledger == soaked.traffic.ledger
    assert again.traffic.refused == soaked.traffic.refused


# What is done to the stores, and what the findings then count: missing, unexpected, duplicates.
DAMAGE = {
    "a raw row is lost": (
        "raw",
        "DELETE FROM raw WHERE device_id = (SELECT min(device_id) FROM raw)",
    ),
    "a temperature is lost": (
        "readings",
        "DELETE FROM Temperature WHERE value = (SELECT max(value) FROM Temperature)",
    ),
    "a value is another": (
        "readings",
        "UPDATE Battery SET value = 19 WHERE value = (SELECT max(value) FROM Battery)",
    ),
    "an alert is lost": ("alerts", "DELETE FROM alerts WHERE id = (SELECT min(id) FROM alerts)"),
    "when a quiet device was heard is forgotten": (
        "last_seen",
        "UPDATE last_seen SET seen_at_ms = seen_at_ms + 1",
    ),
    "a device is watched no more": ("last_seen", "DELETE FROM last_seen WHERE device_id = 7"),
    "a refusal has another reason": (
        "log",
        "UPDATE records SET value = replace(CAST(value AS TEXT), 'bad-time', 'inactive')"
        " WHERE id = (SELECT id FROM records WHERE CAST(value AS TEXT) LIKE '%\"bad-time\"%'"
        " LIMIT 1)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_went_wrong_is_found(soaked, damage):
    name, statement = DAMAGE[damage]
    with soaked.changed(name) as file:
        file.execute(statement)
        file.commit()
        findings = soaked.findings()
    assert not findings.is_exact
    assert findings.examples
    assert soaked.findings().is_exact


def test_points_of_nobody_are_found(soaked):
    readings = wiring.reading_store(soaked.settings, soaked.clock)
    readings.write("Battery", [Point(9_999_999, NOW_S * 1000, 5)])
    findings = soaked.findings()
    assert (findings.missing, findings.unexpected) == (0, 1)
    soaked.execute("readings", "DELETE FROM Battery WHERE device_id = 9999999")


def test_lag_is_told_until_it_is_worked_off(tmp_path):
    soaked = Soaked(tmp_path)
    assert soaked.progress.behind_ms() == 0
    sent_at_ms = soaked.clock.wall_ms()
    soaked.send(GATEWAYS)
    assert soaked.progress.behind_ms() == 0, "it has just been seen"
    soaked.clock.advance_to(soaked.clock.wall_ms() + 20_000)
    assert soaked.progress.behind_ms() >= 20_000
    assert soaked.progress.lags()["authentication"] == GATEWAYS
    soaked.work()
    assert soaked.progress.behind_ms() == 0
    assert soaked.progress.passed_ms > sent_at_ms


def test_a_seed_is_a_plan_and_a_round_has_every_fault():
    names = usual(1, 60)
    first, again, other = (plan(seed, names) for seed in (1, 1, 2))
    drawn = [next(first) for _ in range(3 * len(names))]
    assert drawn == [next(again) for _ in drawn]
    assert drawn != [next(other) for _ in drawn]
    for start in range(0, len(drawn), len(names)):
        assert {name for _, name in drawn[start : start + len(names)]} == set(names)
    assert "brokers" not in names
    assert "cassandra-away" not in usual(1, 20)
    assert "brokers" in usual(3, 20)
    assert "kafka-kill" not in usual(3, 20)


def test_a_page_tells_each_fault_and_what_never_recovered():
    rng = random.Random(1)
    outcome = Outcome(seed=5, rate=600, minutes=3.5, sent=12_345)
    for name in FAULTS:
        lags = [rng.uniform(1, 90) for _ in range(3)]
        outcome.injections += [Injection(name, "", 0, 0, 2.0, lag) for lag in lags]
        median = f"{sorted(lags)[1]:.0f} s"
        (row,) = [line for line in table(outcome.injections).splitlines() if f" {name} " in line]
        assert median in row
    assert outcome.is_met
    text = page("", outcome, "./qold soak", "a machine")
    assert "600 readings/s, 12 345 sent" in text
    assert "`./qold soak` wrote this. It ran on a machine." in text
    assert "**never**" not in text
    outcome.injections.append(Injection("everything", "", 0, 0, 2.0, None))
    assert not outcome.is_met
    assert "**never**" in page("", outcome, "./qold soak", "a machine")


def test_a_page_keeps_what_it_has_of_another_number_of_brokers():
    """In the same place whichever comes first, and each once."""
    one, three = Outcome(seed=1, rate=600), Outcome(seed=2, rate=300, brokers=3)
    text = page("", three, "b", "there")
    text = page(text, one, "a", "here")
    again = page(page("", one, "a", "here"), three, "b", "there")
    assert text == again == page(text, one, "a", "here")
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert [title.partition(",")[0] for title in titles[1:3]] == [
        "## One broker",
        "## Three brokers",
    ]
    assert len(titles) == 4
    before, notes = text.split("\n## How", 1)
    mixed = f"{before}\n## By hand\n\nKept.\n\n## How{notes}"
    assert page(mixed, one, "a", "here") == mixed
    assert "Seed 3," in page(text, Outcome(seed=3, rate=600), "a", "here")
    assert "Seed 1," not in page(text, Outcome(seed=3, rate=600), "a", "here")


@pytest.mark.parametrize(
    ("ready_s", "lag_zero_s", "is_met"),
    [(300.0, 900.0, True), (301.0, 301.0, False), (None, 9.0, False), (9.0, None, False)],
)
def test_what_died_must_answer_sooner_than_all_is_worked_off(ready_s, lag_zero_s, is_met):
    outcome = Outcome(seed=1, rate=60)
    outcome.injections.append(Injection("redis-kill", "", 0, 0, ready_s, lag_zero_s))
    assert outcome.is_met is is_met
