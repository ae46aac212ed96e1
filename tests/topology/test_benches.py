"""Each bench with a tiny workload; what its ledger says when something is missing, twice or foreign.

Nothing is timed: whether a target is reached is the business of ./qold bench.
"""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from local.bench import (
    BENCHES,
    alert,
    authentication,
    breach,
    datapoints,
    latency,
    load,
    log,
    open_loop,
    outbox,
    patience,
    raw,
    thresholds,
)
from local.bench.drive import append_all, drive, open_log, put_readings, settings_of
from local.bench.fleet import register
from local.bench.full import ledgers
from local.bench.workload import Workload, reading_records, reports
from qold import wiring
from qold.clock import SystemClock
from qold.domain import routing
from qold.ports import Alert, Point, RawRow

NOW_S = SystemClock().wall_ms() // 1000
TINY = Workload("tiny", 20, 40, NOW_S)
SINGLE = Workload("single", 50, 1, NOW_S)


@pytest.mark.parametrize("workload", [TINY, SINGLE], ids=lambda workload: workload.name)
@pytest.mark.parametrize("name", [name for name in BENCHES if name != "legacy"])
def test_every_bench_counts_what_was_put_in_under_a_clean_ledger(name, workload):
    """That of legacy needs sockets: tests/contract/test_legacy_bench.py."""
    told: list[str] = []
    rows = list(load(name)(workload, 2, told.append))
    assert rows
    for row in rows:
        assert row.problems == ()
        assert row.case.bench == name
        assert [run.count for run in row.runs] == 2 * [
            workload.devices if row.case.unit == "s" else workload.total
        ]
    assert any("run 2 of 2" in text for text in told)


def test_a_topology_that_loses_a_record_has_no_clean_ledger(tmp_path):
    settings = settings_of(tmp_path)
    records = reading_records(TINY)
    append_all(open_log(settings), settings.readings_topic, records[:7] + records[9:])
    run, _ = drive("raw", settings, TINY, raw.ledger)
    assert run.problems == ("2 rows missing",)


def test_the_ledger_of_raw(tmp_path):
    settings = settings_of(tmp_path)
    put_readings(settings, TINY)
    run, _ = drive("raw", settings, TINY, raw.ledger)
    assert run.problems == ()
    store = wiring.raw_store(settings, SystemClock())
    (stored, *_) = store.read(1, 0, 2**53)
    store.write([replace(stored, fingerprint=stored.fingerprint ^ 1)])
    store.write([RawRow(10**6, NOW_S * 1000, 1, stored.message, "foreign")])
    with closing(sqlite3.connect(tmp_path / "raw.db")) as db, db:
        db.execute("DELETE FROM raw WHERE device_id = 2")
    assert raw.ledger(settings, TINY) == (
        "40 rows missing",
        "1 rows stored twice",
        "1 rows never put in",
    )


def test_the_ledger_of_datapoints(tmp_path):
    settings = settings_of(tmp_path)
    put_readings(settings, TINY)
    run, _ = drive("datapoints", settings, TINY, datapoints.ledger)
    assert run.problems == ()
    store = wiring.reading_store(settings, SystemClock())
    store.write("Temperature", [Point(3, NOW_S * 1000, 99.5)])  # over the last one, which is lost
    store.write("Battery", [Point(10**6, NOW_S * 1000, 50)])
    assert datapoints.ledger(settings, TINY) == (
        "1 temperature points missing",
        "1 temperature points never put in",
        "1 battery points never put in",
    )


def test_the_ledger_of_alert(tmp_path):
    settings = settings_of(tmp_path)
    put_readings(settings, TINY)
    run, _ = drive("alert", settings, TINY, alert.ledger)
    assert run.problems == ()
    last_seen = wiring.last_seen(settings, SystemClock())
    last_seen.retire([3, -1])
    last_seen.touch({4: NOW_S * 1000 + 1001})
    warm = Alert("a", "device.silent", "device:5", 1, 1)
    wiring.alert_log(settings, SystemClock()).open_once([warm], topology="alert", now_ms=1)
    assert alert.ledger(settings, TINY) == (
        "3 times missing",
        "1 times never put in",
        "1 alerts about nothing",
    )


def test_the_ledger_of_authentication(tmp_path):
    settings = settings_of(tmp_path)
    message_log = open_log(settings)
    records = reading_records(TINY)
    foreign = reading_records(Workload("foreign", 21, 1, NOW_S))[20:]
    append_all(message_log, settings.readings_topic, records)
    assert authentication.ledger(settings, TINY) == ()
    append_all(message_log, settings.readings_topic, [*records[:3], *foreign])
    append_all(message_log, settings.rejected_topic, [("reports:0:0", b"{}")])
    assert authentication.ledger(settings, TINY) == (
        "3 readings stored twice",
        "1 readings never put in",
        "1 readings refused",
    )


def test_the_ledger_of_the_log(tmp_path):
    settings = settings_of(tmp_path)
    entries = reading_records(TINY)
    append_all(open_log(settings), settings.readings_topic, entries)
    found = log.read(settings)
    assert log.ledger(entries, found) == ()
    assert log.ledger(entries, [*found[1:], found[1]]) == (
        "1 records missing",
        "1 records stored twice",
    )
    assert log.ledger(entries[1:], found) == ("1 records never put in",)


def test_the_ledger_of_the_outbox(tmp_path):
    run = outbox.run_once(tmp_path, TINY, outbox.frames_of(TINY))
    assert run.problems == ()
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db, db:
        (message,) = db.execute("SELECT message FROM Messages WHERE id = 2").fetchone()
        foreign = json.dumps({"device": {"id": 99}, "reading": json.loads(message)["reading"]})
        db.execute("DELETE FROM Messages WHERE id IN (3, 4, 5)")
        for added in (message, foreign):
            db.execute(
                "INSERT INTO Messages (timestamp, message, topic) VALUES (1, ?, 'r')", (added,)
            )
    assert outbox.ledger(outbox.settings_of(tmp_path), TINY, unanswered=2) == (
        "3 readings missing",
        "1 readings stored twice",
        "1 readings never put in",
        "2 frames not acknowledged",
    )


def test_a_gateway_that_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(outbox, "PATIENCE_STEPS", 3)
    damaged = [bytes([frame[0], frame[1] ^ 1, *frame[2:]]) for frame in outbox.frames_of(SINGLE)]
    run = outbox.run_once(tmp_path, SINGLE, damaged)
    assert run.problems == ("50 readings missing", "50 frames not acknowledged")


def test_the_ledger_of_thresholds(tmp_path):
    """A device too few, an excursion too many, an alert too few."""
    workload = Workload("warm", 150, 100, NOW_S)
    settings = settings_of(tmp_path)
    thresholds.prepare(settings, workload)
    run, _ = drive("thresholds", settings_of(tmp_path), workload, thresholds.ledger)
    assert run.problems == ()
    excursions, alerts = thresholds.truth(workload)
    assert len(excursions) >= len(alerts) > 1
    with closing(sqlite3.connect(tmp_path / "alerts.db")) as db, db:
        db.execute("DELETE FROM alerts WHERE fired_at_ms = (SELECT min(fired_at_ms) FROM alerts)")
        db.execute("INSERT INTO excursions VALUES (1, 'temperature.high', 1, 1, 2, 9.0, 1)")
    with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
        db.execute("DELETE FROM states WHERE key = 'thresholds:2'")
    assert thresholds.ledger(settings, workload) == (
        "1 states missing",
        "1 states never put in",
        "1 excursions never put in",
        "1 alerts missing",
    )


def test_breach_waits_for_every_text(monkeypatch):
    """Without the minute in which texts wait for each other; a backlog has no figure."""
    monkeypatch.setattr(routing, "DIGEST_MS", 0)
    monkeypatch.setattr(breach, "DIGEST_MS", 0)
    (row,) = breach.measure(SINGLE, 1, lambda text: None)
    assert row.problems == ()
    assert [run.count for run in row.runs] == [SINGLE.devices]
    assert list(breach.measure(TINY, 1, lambda text: None)) == []


def test_breach_misses_texts_that_nobody_was_sent(monkeypatch):
    monkeypatch.setattr(routing, "DIGEST_MS", 0)
    monkeypatch.setattr(breach, "DIGEST_MS", 0)
    monkeypatch.setattr(breach, "PATIENCE_S", 1.0)
    monkeypatch.setattr(breach, "COLD_LIMIT", 100.0)
    (row,) = breach.measure(SINGLE, 1, lambda text: None)
    assert row.problems == ("2 texts missing",)


def test_the_ledgers_of_the_full_profile_count_all_and_compare_a_sample(tmp_path, monkeypatch):
    """They ask the ports only; here SQLite is behind them. Every second device is compared."""
    monkeypatch.setattr(ledgers, "SAMPLED_DEVICES", 10)
    monkeypatch.setattr(patience, "LEDGER_S", 0.0)  # nothing comes later here
    settings = settings_of(tmp_path)
    put_readings(settings, TINY)
    for name, ledger in (("raw", ledgers.raw), ("datapoints", ledgers.datapoints)):
        run, _ = drive(name, settings, TINY, ledger)
        assert run.problems == ()
    store = wiring.reading_store(settings, SystemClock())
    store.write("Temperature", [Point(3, NOW_S * 1000, 99.5)])
    with closing(sqlite3.connect(tmp_path / "raw.db")) as db, db:
        db.execute("DELETE FROM raw WHERE device_id = 2")
    assert ledgers.raw(settings, TINY) == ("760 rows instead of 800",)
    assert ledgers.datapoints(settings, TINY) == (
        "1 temperature points missing",
        "1 temperature points never put in",
    )


def test_a_fleet_can_speak(tmp_path):
    """Its tokens are those of the registry: authentication refuses none of its readings."""
    settings = settings_of(tmp_path)
    workload = Workload("far", 40, 4, NOW_S, first_id=2_000_000_001, parts=2)
    message_log = open_log(settings)
    fleet = register(settings, workload)
    for part in range(2):
        entries = reports(workload, fleet.devices, fleet.gateways, part)
        append_all(message_log, settings.reports_topic, entries)
    run, _ = drive("authentication", settings, workload, authentication.ledger)
    assert run.problems == ()


def test_latency_finds_every_sample_in_both_stores(monkeypatch):
    monkeypatch.setattr(latency, "SECONDS", 1)
    monkeypatch.setattr(latency, "PEAK_S", 0.05)
    found = list(latency.measure(SINGLE, 1, lambda text: None))
    assert [row.problems for row in found] == 4 * [()]
    assert all(row.figures().p99_ms >= row.figures().p50_ms for row in found)
    assert list(latency.measure(TINY, 1, lambda text: None)) == []


def test_latency_misses_what_never_comes(monkeypatch):
    monkeypatch.setattr(latency, "SECONDS", 1)
    monkeypatch.setattr(latency, "PEAK_S", 0.05)
    monkeypatch.setattr(latency, "CELSIUS", 99.0)  # what is looked for; what is sent is another
    monkeypatch.setattr(open_loop, "PATIENCE_S", 0.5)
    (_, in_readings, *_) = latency.measure(SINGLE, 1, lambda text: None)
    assert in_readings.problems == ("5 of 5 samples missing",)
