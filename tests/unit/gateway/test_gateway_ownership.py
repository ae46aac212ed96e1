"""A gateway starts only where no other user can change its settings, outbox or certificates."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gateway.__main__ as command
from gateway.outbox_file import OutboxUnavailable, open_file
from gateway.output.uplink import UplinkUnavailable
from gateway.output.uplink.sqlite import SqliteUplink
from gateway.room import Division
from gateway.settings import GatewaySettings, is_readable_by_others
from gateway.status import StatusFile
from local.simulator.clock import SimulatedClock
from qold.private_files import NotPrivate
from tests.support.gateways import NOW_MS
from tests.support.stranger import STRANGER, as_stranger, needs_root

TOKEN = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = (
    f'[gateway]\nid = 1\ntoken = "{TOKEN}"\n[uplink]\nurl = "sqlite:///nowhere/log.db"\n'
    'certificates = "certificates"\n[outbox]\npath = "kept/outbox.db"\n[status]\nfolder = "status"\n'
)


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """Its signals and its umask are this process's again afterwards."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    umask = os.umask(0o022)
    yield
    os.umask(umask)
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    file = tmp_path / "shop" / "gateway.toml"
    file.write_text(SETTINGS)
    file.chmod(0o600)
    return file


def folder_open(config: Path) -> None:
    config.parent.chmod(0o1777)


def folder_above_open(config: Path) -> None:
    config.parent.parent.chmod(0o777)


def file_open(config: Path) -> None:
    config.chmod(0o606)


def a_link(config: Path) -> None:
    config.rename(config.with_name("elsewhere"))
    config.symlink_to("elsewhere")


def outbox_open(config: Path) -> None:
    (config.parent / "kept").mkdir()
    (config.parent / "kept").chmod(0o777)


def status_open(config: Path) -> None:
    (config.parent / "status").mkdir()
    (config.parent / "status").chmod(0o777)


def key_open(config: Path) -> None:
    (config.parent / "certificates").mkdir()
    (config.parent / "certificates" / "gateway.key").touch()
    (config.parent / "certificates" / "gateway.key").chmod(0o666)


def another_user(config: Path) -> None:
    os.chown(config, STRANGER, STRANGER)


def folder_of_another_user(config: Path) -> None:
    os.chown(config.parent, STRANGER, STRANGER)


OPENED = [folder_open, folder_above_open, file_open, a_link, outbox_open, status_open, key_open]


@pytest.mark.parametrize("component", ["input", "output"])
@pytest.mark.parametrize(
    "opened",
    [
        *OPENED,
        pytest.param(another_user, marks=needs_root),
        pytest.param(folder_of_another_user, marks=needs_root),
    ],
)
def test_it_ends_with_3_and_names_what_and_the_fix(
    config: Path,
    opened: Callable[[Path], None],
    component: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened(config)
    assert command.main([component, "--config", str(config)]) == 3
    told = capsys.readouterr().err.splitlines()
    assert str(config.parent) in told[-2]
    assert told[-1].startswith("fix: ")
    assert TOKEN not in "".join(told)
    assert not (config.parent / "kept" / "outbox.db").exists()


@needs_root
def test_a_service_reads_what_root_wrote_for_its_group() -> None:
    """As in /etc: root's file, mode 640, in root's folder. It does not count as open to others."""

    def read() -> tuple[int, bool]:
        return GatewaySettings.load(file).gateway_id, is_readable_by_others(file)

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "gateway.toml"
        file.write_text(SETTINGS)
        os.chown(file, 0, STRANGER)
        file.chmod(0o640)
        assert as_stranger(read) == (1, False)
        file.chmod(0o644)
        assert as_stranger(read) == (1, True)


@pytest.mark.parametrize("suffix", ["", ".lock"])
def test_an_outbox_is_not_opened_through_a_link(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f"outbox.db{suffix}").symlink_to("precious")
    with pytest.raises(OutboxUnavailable, match="is a symbolic link"):
        open_file(tmp_path / "outbox.db", division=Division.of(2**20), wall_ms=NOW_MS)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_status_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    for name in ("input.json", "input.json.part"):
        (tmp_path / name).symlink_to("precious")
    StatusFile(tmp_path, "input", SimulatedClock(NOW_MS)).write_when_due(dict)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "input.json").is_symlink()


def test_reports_go_into_no_log_that_others_may_replace(tmp_path: Path) -> None:
    """They hold tokens."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "log.db").touch()
    folder.chmod(0o777)
    uplink = SqliteUplink(folder / "log.db", SimulatedClock(NOW_MS))
    with pytest.raises(UplinkUnavailable, match="other users may write it"):
        uplink.publish("reports", [b"{}"], key="1")


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077], ids=oct)
def test_what_a_gateway_makes_no_other_user_may_write(tmp_path: Path, mask: int) -> None:
    os.umask(mask)
    open_file(tmp_path / "kept" / "outbox.db", division=Division.of(2**20), wall_ms=NOW_MS)[
        0
    ].close()
    StatusFile(tmp_path / "status", "input", SimulatedClock(NOW_MS)).write_when_due(dict)
    assert [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o022] == []
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0


def test_settings_in_a_folder_open_to_all_are_refused_with_a_way_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "gateway.toml").write_text(SETTINGS)
    with pytest.raises(NotPrivate) as refused:
        GatewaySettings.load(tmp_path / "gateway.toml")
    assert refused.value.fix == f"use a folder of your own in {tmp_path}"
