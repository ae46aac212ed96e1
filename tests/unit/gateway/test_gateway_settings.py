"""gateway.toml: what it means, and that every mistake is told at once."""

import os
from pathlib import Path

import pytest

from gateway.settings import GatewaySettings, Policy, SettingsError, is_readable_by_others

TOKEN = "0123456789abcdef0123456789abcdef01234567"
LEAST = f'[gateway]\nid = 1\ntoken = "{TOKEN}"\n[uplink]\nurl = "sqlite:///abs/log.db"\n'


def load(folder: Path, text: str) -> GatewaySettings:
    file = folder / "gateway.toml"
    file.write_text(text, "utf-8")
    return GatewaySettings.load(file)


def test_the_least_file_has_defaults_beside_it(tmp_path: Path) -> None:
    settings = load(tmp_path, LEAST)
    assert settings == GatewaySettings(
        gateway_id=1,
        token=TOKEN,
        outbox_path=tmp_path / "outbox.db",
        uplink_url="sqlite:///abs/log.db",
    )
    assert settings.outbox_max_bytes == 512 * 2**20
    assert settings.linger_ms == 200


def test_a_whole_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        LEAST
        + '[input]\nport = "/dev/ttyUSB0"\nbaud = 9600\n'
        + '[outbox]\npath = "/data/outbox.db"\nmax_mb = 2\npolicy = "refuse"\n'
        + "[output]\nlinger_s = 900\npoll_s = 5\nmax_report_readings = 32\n"
        + '[topics]\nreports = "reports-eu"\nevents = "events.eu"\n'
        + '[status]\nfolder = "status"\n',
    )
    assert settings == GatewaySettings(
        gateway_id=1,
        token=TOKEN,
        port="/dev/ttyUSB0",
        baud=9600,
        outbox_path=Path("/data/outbox.db"),
        outbox_max_bytes=2 * 2**20,
        policy=Policy.REFUSE,
        linger_ms=900_000,
        poll_ms=5_000,
        max_report_readings=32,
        uplink_url="sqlite:///abs/log.db",
        status_folder=tmp_path / "status",
        reports_topic="reports-eu",
        events_topic="events.eu",
    )


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Tried: a missing token, ids and numbers out of range, wrong types, a bool for a number, a
    topic that looks like a number, an unknown policy, unknown keys in and outside tables."""
    with pytest.raises(SettingsError) as caught:
        load(
            tmp_path,
            "unknown = 1\n[gateway]\nid = 0\n[input]\nbaud = true\n"
            '[outbox]\nmax_mb = 0\npolicy = "forget"\n'
            '[output]\nlinger_s = -1\npoll_s = "soon"\nlinger = 3\n'
            '[topics]\nreports = "1e3"\n[uplink]\nurl = "nowhere"\n',
        )
    assert {problem.split(": ")[1] for problem in caught.value.problems} == {
        "unknown",
        "gateway.id",
        "gateway.token",
        "input.baud",
        "outbox.max_mb",
        "outbox.policy",
        "output.linger_s",
        "output.poll_s",
        "output.linger",
        "topics.reports",
        "uplink.url",
    }


@pytest.mark.parametrize("token", [TOKEN.upper(), TOKEN[:-1], TOKEN + "0"])
def test_a_wrong_token_is_told_without_showing_it(tmp_path: Path, token: str) -> None:
    with pytest.raises(SettingsError, match=r"gateway\.token: must be 40 hex digits$"):
        load(tmp_path, LEAST.replace(TOKEN, token))


@pytest.mark.parametrize("text", ["[gateway", "id = \xff"])
def test_not_toml(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"gateway\.toml"):
        GatewaySettings.load(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        GatewaySettings.load(tmp_path / "gateway.toml")


def test_the_token_is_not_in_the_representation(tmp_path: Path) -> None:
    assert TOKEN not in repr(load(tmp_path, LEAST))


def test_a_file_open_to_others_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.touch()
    os.chmod(file, 0o640)
    assert is_readable_by_others(file)
    os.chmod(file, 0o600)
    assert not is_readable_by_others(file)
