"""The command: exit codes, and errors for people on stderr."""

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.__main__ import main

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[gateway]\nid = 1\ntoken = "{TOKEN}"\n[uplink]\nurl = "sqlite://{tmp_path}/log.db"\n'
    )
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["input"],
        ["sideways", "--config", "gateway.toml"],
        ["output", "--config", "gateway.toml", "--port", "loop://"],
    ],
)
def test_wrong_arguments_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_wrong_settings_are_2_and_all_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.toml").write_text("[gateway]\nid = 0\n")
    assert main(["output", "--config", str(tmp_path / "gateway.toml")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 3


@pytest.mark.parametrize("port", [[], ["--port", "pigeon://roof"]])
def test_no_usable_port_is_2(
    config: Path, port: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["input", "--config", str(config), *port]) == 2
    assert "input.port" in capsys.readouterr().err


def test_an_outbox_of_a_newer_version_is_1(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = sqlite3.connect(tmp_path / "outbox.db")
    connection.executescript("CREATE TABLE Future (x); PRAGMA user_version = 2")
    connection.close()
    assert main(["output", "--config", str(config)]) == 1
    assert "version 2" in capsys.readouterr().err
