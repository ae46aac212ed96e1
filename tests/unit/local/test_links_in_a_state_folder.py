"""Nothing of a state folder is opened, written or read through a symbolic link."""

import os
from pathlib import Path

import pytest

from local.embedded import state_lock, supervisor_pid, write_status
from local.logs import last_lines
from local.programs import MAX_LOG_BYTES, Keeper, Program
from local.services.authority import Authority
from local.simulator.clock import SimulatedClock
from qold.adapters.json_lines_file import JsonLinesFile
from qold.adapters.sqlite_file import SqliteFile
from qold.ports import Unavailable
from qold.private_files import NotPrivate
from qold.settings import Settings

NOW_MS = 1_795_456_000_000


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file that must stay as it is."""
    (tmp_path / "outside").mkdir()
    file = tmp_path / "outside" / "precious"
    file.write_text("mine\n")
    return file


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state" / "logs").mkdir(parents=True)
    (tmp_path / "state" / "run").mkdir()
    return tmp_path / "state"


def test_the_lock(precious: Path, state: Path) -> None:
    (state / "up.lock").symlink_to(precious)
    settings = Settings.load(state, {})
    with pytest.raises(NotPrivate, match="is a symbolic link"), state_lock(settings):
        pass
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        supervisor_pid(settings)
    assert precious.read_text() == "mine\n"


def test_a_log_and_what_was_cut_off_it(precious: Path, state: Path) -> None:
    log = state / "logs" / "raw.log"
    log.symlink_to(precious)
    keeper = Keeper(state / "logs")
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        keeper.add(Program("raw", ("true",)))
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        last_lines(log, 1)
    log.unlink()
    log.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    log.with_suffix(".log.1").symlink_to(precious)
    keeper.watch()
    keeper.stop()
    assert log.with_suffix(".log.1").stat().st_size == MAX_LOG_BYTES + 1
    assert log.stat().st_size == 0
    assert precious.read_text() == "mine\n"


def test_a_status(precious: Path, state: Path) -> None:
    for name in ("raw.json", "raw.part"):
        (state / "run" / name).symlink_to(precious)
    write_status(Settings.load(state, {}), "raw", {"pid": 1})
    assert precious.read_text() == "mine\n"


@pytest.mark.parametrize("target", ["precious", "missing"])
def test_a_database(precious: Path, state: Path, target: str) -> None:
    (state / "raw.db").symlink_to(precious.with_name(target))
    with (
        pytest.raises(Unavailable, match="is a symbolic link"),
        SqliteFile(state / "raw.db", "raw").reading(),
    ):
        pass
    assert os.listdir(precious.parent) == ["precious"]
    assert precious.read_text() == "mine\n"


@pytest.mark.parametrize("target", ["precious", "missing"])
def test_lines_of_json(precious: Path, state: Path, target: str) -> None:
    path = state / "analytics.jsonl"
    path.symlink_to(precious.with_name(target))
    lines = JsonLinesFile(path, lambda row: str(row["id"]))
    with pytest.raises(Unavailable, match="is a symbolic link"):
        lines.append([{"id": 1}])
    with pytest.raises(Unavailable, match="is a symbolic link"):
        lines.ping()
    assert os.listdir(precious.parent) == ["precious"]
    assert precious.read_text() == "mine\n"


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "redis.pem", "redis.key", "redis.both.pem"])
def test_a_certificate(precious: Path, state: Path, name: str) -> None:
    folder = state / "secrets" / "certificates"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(precious)
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        Authority(folder, SimulatedClock(NOW_MS)).certificate("redis", unit="servers")
    assert precious.read_text() == "mine\n"
