"""The status file: once a second, whole at any moment, never a reason to stop."""

import json
from pathlib import Path

import pytest

from gateway.status import StatusFile
from local.simulator.clock import SimulatedClock
from tests.support.gateways import NOW_MS


def test_once_a_second(tmp_path: Path) -> None:
    clock = SimulatedClock(NOW_MS)
    status = StatusFile(tmp_path / "status", "input", clock)
    written: list[int] = []
    for tenth in range(31):
        clock.advance_to(NOW_MS + tenth * 100)
        status.write_when_due(lambda: written.append(clock.wall_ms()) or {"readings": len(written)})
    assert written == [NOW_MS, NOW_MS + 1_000, NOW_MS + 2_000, NOW_MS + 3_000]
    found = json.loads((tmp_path / "status" / "input.json").read_text())
    assert (found["component"], found["readings"]) == ("input", 4)
    assert found["written_at_ms"] - found["started_at_ms"] == 3_000
    assert [file.name for file in (tmp_path / "status").iterdir()] == ["input.json"]


def test_without_a_folder_the_facts_are_not_even_asked() -> None:
    def facts() -> dict[str, int]:
        raise AssertionError

    StatusFile(None, "input", SimulatedClock(NOW_MS)).write_when_due(facts)


def test_a_folder_that_cannot_be_made_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each second it is tried again; a log that grew by a line each time would fill the disk."""
    (tmp_path / "status").write_text("a file")
    clock = SimulatedClock(NOW_MS)
    status = StatusFile(tmp_path / "status", "input", clock)
    for second in range(60):
        clock.advance_to(NOW_MS + second * 1_000)
        status.write_when_due(dict)
    assert ["status not written" in message for message in caplog.messages] == [True]
