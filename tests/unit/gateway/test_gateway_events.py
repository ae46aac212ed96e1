"""What staff must know: told through the outbox, at most once an hour per kind, never lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.events import Events, Kind
from gateway.outbox import Outbox
from local.simulator.clock import SimulatedClock
from tests.support.gateways import NOW, NOW_MS, gateway_settings, waiting


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW_MS)


@pytest.fixture
def outbox(tmp_path: Path, clock: SimulatedClock) -> Iterator[Outbox]:
    outbox = Outbox(gateway_settings(tmp_path), clock)
    outbox.span()
    yield outbox
    outbox.close()


@pytest.fixture
def events(outbox: Outbox, clock: SimulatedClock) -> Events:
    return Events(outbox, clock, "gateway.events")


def told(folder: Path) -> list[dict[str, Any]]:
    return [message["event"] for *_, message, _ in waiting(gateway_settings(folder))]


def test_the_row_is_the_designs_event_without_credentials(events: Events, tmp_path: Path) -> None:
    events.tell(Kind.OUTBOX_DROP, 12)
    events.flush()
    message = {"event": {"kind": "outbox-drop", "time": NOW, "data": {"count": 12}}}
    assert waiting(gateway_settings(tmp_path)) == [(1, NOW, message, "gateway.events")]


def test_one_an_hour_with_what_happened_since_added_up(
    events: Events, clock: SimulatedClock, tmp_path: Path
) -> None:
    for minute in range(120):
        clock.advance_to(NOW_MS + minute * 60_000)
        events.tell(Kind.OUTBOX_DROP, 5)
        events.flush()
    assert [(event["time"], event["data"]["count"]) for event in told(tmp_path)] == [
        (NOW, 5),
        (NOW + 60, 300),
    ]


def test_kinds_do_not_wait_for_each_other(events: Events, tmp_path: Path) -> None:
    events.tell(Kind.OUTBOX_DROP)
    events.flush()
    events.tell(Kind.PORT_LOST, port="/dev/ttyUSB0")
    events.flush()
    assert [event["kind"] for event in told(tmp_path)] == ["outbox-drop", "port-lost"]


def test_an_outbox_that_cannot_be_written_gets_it_later(
    events: Events, outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each second it is tried; a line of the log each time would fill the disk."""
    database = outbox._follow()
    database.execute_sql("PRAGMA query_only = 1")
    events.tell(Kind.OUTBOX_UNAVAILABLE, error="read only")
    for _ in range(60):
        events.flush()
    assert sum("wait for the outbox" in message for message in caplog.messages) == 1
    assert told(tmp_path) == []
    database.execute_sql("PRAGMA query_only = 0")
    events.flush()
    assert told(tmp_path)[0]["data"] == {"error": "read only", "count": 1}


def test_a_quarantine_is_told(tmp_path: Path, clock: SimulatedClock) -> None:
    (tmp_path / "outbox.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    outbox = Outbox(gateway_settings(tmp_path), clock)
    outbox.span()
    Events(outbox, clock, "gateway.events").flush()
    (event,) = told(tmp_path)
    assert event["kind"] == "outbox-quarantined"
    assert event["data"] == {
        "file": "outbox.db.corrupt-20261123T174640",
        "problem": "file is not a database",
        "salvaged": 0,
        "count": 1,
    }
    outbox.close()
