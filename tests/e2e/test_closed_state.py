"""Every command refuses a state folder that another user made, and makes its own for itself alone."""

import os
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from cli.app import COMMANDS, main
from tests.support.commands import qold
from tests.support.stranger import STRANGER, as_stranger, needs_root

# Each command that takes --state, with words that are right for it.
WORDS = (
    "alert list",
    "alert show 1",
    "alert ack 1",
    "config show",
    "config validate",
    "contact set 1 --phone +351912345678",
    "contact staff --phone +351912345678",
    "contact list",
    "demo --profile full",
    "device create",
    "device list",
    "device config 1 --max 8",
    "device enable 1",
    "device disable 1",
    "device delete 1 --yes",
    "doctor",
    "down",
    "gateway create",
    "gateway list",
    "logs raw",
    "notify test",
    "query 1",
    "rejected list",
    "rejected redrive --reason inactive",
    "replay --from 2026-11-23 --dry-run",
    "run raw",
    "soak",
    "status",
    "storm",
    "tail readings",
    "up",
    "up -d",
)


def commands_with_state() -> Iterator[str]:
    """Their names, as they are typed."""
    for name in COMMANDS:
        command = import_module(f"cli.{name}").command
        below = command.commands if isinstance(command, click.Group) else {"": command}
        for sub_name, sub_command in below.items():
            if any("--state" in parameter.opts for parameter in sub_command.params):
                yield f"{name} {sub_name}".strip()


def test_no_command_is_left_out() -> None:
    missing = [name for name in commands_with_state() if not any(w.startswith(name) for w in WORDS)]
    assert missing == []


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Another user's folder in a place like /tmp, and a file that her links point at."""
    precious = tmp_path_factory.mktemp("root") / "precious"
    precious.write_text("root's own\n", "utf-8")
    with tempfile.TemporaryDirectory() as common:
        Path(common).chmod(0o1777)
        state = Path(common) / "shop"

        def make() -> None:
            (state / "secrets").mkdir(parents=True)
            (state / "secrets" / "token-1.key").write_text("66" * 32 + "\n", "utf-8")
            (state / "qold.toml").write_text('fallback_phone = "+351900000666"\n', "utf-8")
            (state / "logs").mkdir()
            for name in ("up.lock", "logs/raw.log", "logs/up.log"):
                (state / name).symlink_to(precious)
            for path in (state, state / "secrets", state / "logs"):
                path.chmod(0o777)

        as_stranger(make)
        yield state, precious


@needs_root
@pytest.mark.parametrize("words", WORDS)
def test_a_folder_of_another_user_is_refused_and_stays_as_it_is(
    words: str, theirs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    state, precious = theirs
    before = sorted(state.rglob("*"))
    assert main([*words.split(), "--state", str(state)]) == 3
    told = capsys.readouterr()
    assert f"qold: {state}: belongs to {STRANGER}, not to root" in told.err
    assert f"fix: use another path; or, if you trust what is in it: chown -hR root {state}" in (
        told.err
    )
    assert told.out == ""
    assert sorted(state.rglob("*")) == before
    assert precious.read_text("utf-8") == "root's own\n"


@needs_root
def test_a_demo_keeps_nothing_there_and_a_gateway_is_not_written_there(
    theirs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, _ = theirs
    assert main(["demo", "--keep", str(state)]) == 3
    where = str(state / "gateway.toml")
    assert main(["gateway", "create", "--write", where, "--state", str(tmp_path / "new")]) == 3
    assert capsys.readouterr().err.count(f"belongs to {STRANGER}, not to root") == 2
    assert not (state / "gateway.toml").exists()


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077], ids=oct)
def test_under_each_umask_no_other_user_may_write_and_secrets_are_closed(
    tmp_path: Path, mask: int
) -> None:
    """The embedded way of a reading, a gateway's settings, and with umask 0 and 077 processes, too."""
    kept = os.umask(mask)
    try:
        demo = "demo --devices 2 --gateways 1 --hours 0.25 --speed 0"
        assert main([*demo.split(), "--keep", str(tmp_path / "a" / "kept")]) == 0
        state = ("--state", str(tmp_path / "b" / "var"))
        if mask in (0o000, 0o077):
            qold("up", "-d", *state)
            qold("down", *state)
        settings = str(tmp_path / "shop" / "gateway.toml")
        os.umask(mask)
        assert main(["gateway", "create", "--write", settings, *state]) == 0
        assert main(["query", "1", "--state", str(tmp_path / "a" / "kept")]) == 0
    finally:
        os.umask(kept)
    for path in tmp_path.rglob("*"):
        assert path.lstat().st_mode & 0o022 == 0, path
    for secrets in tmp_path.rglob("secrets"):
        for path in (secrets, *secrets.rglob("*")):
            assert path.lstat().st_mode & 0o077 == 0, path
    for folder in ("a", "a/kept", "b", "b/var", "shop"):
        assert (tmp_path / folder).stat().st_mode & 0o077 == 0, folder
    assert (tmp_path / "shop" / "gateway.toml").stat().st_mode & 0o777 == 0o600
