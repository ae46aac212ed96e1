"""What another user of the machine could change is refused; what is made, no other can change.

Each test with a second user needs root, who becomes that user in a forked process.
"""

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qold.keyring import KeyringError, ensure_keys, load_keys
from qold.private_files import (
    NotPrivate,
    check_file,
    check_folder,
    check_state,
    close_folder,
    create_private,
    make_folder,
    open_private,
    read_private,
    restrict_umask,
    write_private,
)
from qold.settings import Settings
from tests.support.stranger import STRANGER, as_stranger, needs_root

UMASKS = (0o000, 0o002, 0o022, 0o077)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Set this process's umask for the test."""
    kept = os.umask(0o022)
    os.umask(kept)
    yield os.umask
    os.umask(kept)


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder in which every user may make files, as in /tmp."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def test_a_folder_of_ours_is_taken_and_a_missing_one_too(tmp_path: Path) -> None:
    assert check_folder(tmp_path) == tmp_path
    assert check_folder(tmp_path / "not" / "there") == tmp_path / "not" / "there"
    assert check_folder(tmp_path / "not" / ".." / "there").name == "there"
    check_state(tmp_path / "not")


@pytest.mark.parametrize("bits", [0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(NotPrivate, match="other users may write it") as refused:
        check_folder(folder)
    assert str(folder) in refused.value.fix
    with pytest.raises(NotPrivate):
        make_folder(folder)
    with pytest.raises(NotPrivate):
        Settings.load(folder, {})


def test_a_folder_above_must_be_closed_or_sticky(tmp_path: Path) -> None:
    above = tmp_path / "above"
    (above / "state").mkdir(parents=True)
    above.chmod(0o1777)
    check_folder(above / "state")
    above.chmod(0o777)
    for folder in (above / "state", above / "new" / "state"):
        with pytest.raises(NotPrivate, match=f"other users may write {above}"):
            check_folder(folder)
    with pytest.raises(NotPrivate):
        make_folder(above / "new" / "state")
    assert not (above / "new").exists()


def test_a_link_of_ours_to_a_folder_is_followed_and_each_folder_checked(tmp_path: Path) -> None:
    """Absolute, relative, through another link; and one that goes round in a circle."""
    disk = tmp_path / "disk"
    (disk / "state").mkdir(parents=True)
    (tmp_path / "link").symlink_to(disk)
    (tmp_path / "state").symlink_to("link/state")
    assert check_folder(tmp_path / "state") == disk / "state"
    disk.chmod(0o777)
    with pytest.raises(NotPrivate, match=f"other users may write {disk}"):
        check_folder(tmp_path / "state")
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(NotPrivate, match="too many symbolic links"):
        check_folder(tmp_path / "round")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(NotPrivate, match="is not a folder"):
        check_folder(tmp_path / "state")


def test_a_group_that_nobody_else_is_in_may_write(tmp_path: Path) -> None:
    """As umask 002 leaves folders, where each user has a group of the same name."""
    tmp_path.chmod(0o775)
    check_folder(tmp_path)


@needs_root
def test_a_group_with_another_member_may_not_write(tmp_path: Path) -> None:
    os.chown(tmp_path, -1, 1)  # the account daemon's, everywhere
    tmp_path.chmod(0o775)
    with pytest.raises(NotPrivate):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    "name", ["log.db", "up.lock", "logs/raw.log", "secrets/token-1.key", "run", "services/redis"]
)
def test_what_others_may_write_in_a_state_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    check_state(tmp_path)
    path.chmod(0o666)
    with pytest.raises(NotPrivate, match="other users may write it") as refused:
        check_state(tmp_path)
    assert refused.value.filename == str(path)
    assert refused.value.fix.endswith(f"chmod -R go-w {tmp_path}")


@pytest.mark.parametrize("name", ["qold.toml", "profile.toml"])
def test_settings_are_not_read_through_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").write_text("shards = 7\n")
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        Settings.load(tmp_path, {})


def test_a_key_is_not_read_through_a_link_nor_where_others_may_write(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("66" * 32)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "token-1.key").symlink_to("../elsewhere")
    with pytest.raises(KeyringError, match="is a symbolic link"):
        load_keys(secrets)
    (secrets / "token-1.key").unlink()
    ensure_keys(secrets)
    secrets.chmod(0o777)
    with pytest.raises(KeyringError, match="other users may write it"):
        load_keys(secrets)


@pytest.mark.parametrize("target", ["precious", "missing"])
def test_a_link_is_neither_opened_nor_made_through(tmp_path: Path, target: str) -> None:
    (tmp_path / "precious").write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(target)
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
        with pytest.raises(NotPrivate, match="is a symbolic link"):
            open_private(link, flags)
    with pytest.raises(NotPrivate):
        read_private(link)
    with pytest.raises(NotPrivate):
        check_file(link)
    write_private(link, "replaced")
    assert not link.is_symlink()
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_what_is_made_is_private_under_each_umask(
    tmp_path: Path, umask: Callable[[int], None], mask: int
) -> None:
    umask(mask)
    make_folder(tmp_path / "a" / "b" / "c")
    for folder in ("a", "a/b", "a/b/c"):
        assert mode(tmp_path / folder) == 0o700
    write_private(tmp_path / "written", "x")
    create_private(tmp_path / "created", "x")
    os.close(open_private(tmp_path / "opened", os.O_WRONLY | os.O_CREAT))
    for file in ("written", "created", "opened"):
        assert mode(tmp_path / file) == 0o600
    restrict_umask()
    (tmp_path / "any").touch()
    assert mode(tmp_path / "any") & 0o022 == 0
    assert mode(tmp_path / "any") & mask == 0


def test_a_folder_of_secrets_that_was_open_is_closed(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    secrets.chmod(0o755)
    close_folder(secrets)
    assert mode(secrets) == 0o700


def test_what_was_there_is_replaced_and_its_mode_too(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_text(), mode(file)) == ("new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_writers_at_once_each_leave_a_whole_file(tmp_path: Path) -> None:
    """Drafts of one name were renamed under each other's hands."""
    file = tmp_path / "file"
    failures: list[Exception] = []

    def write(letter: str) -> None:
        try:
            for _ in range(100):
                write_private(file, letter * 50_000)
        except OSError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        content = file.read_text() if file.exists() else "a" * 50_000
        assert len(content) == 50_000
        assert len(set(content)) == 1
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_those_that_create_at_once_one_counts_for_all(tmp_path: Path) -> None:
    start, found = threading.Barrier(8), []

    def create(number: int) -> None:
        start.wait()
        create_private(tmp_path / "file", str(number) * 1000)
        found.append(read_private(tmp_path / "file"))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) == 1000


@needs_root
@pytest.mark.parametrize("where", ["itself", "above", "by link", "gone over to us"])
def test_a_folder_of_another_user_is_refused(common: Path, where: str) -> None:
    """Also one whose link is hers, and one that was handed over with what she had put there."""
    theirs = common / "theirs"
    state = {"above": theirs / "state", "by link": common / "link"}.get(where, theirs)

    def make() -> None:
        theirs.mkdir()
        (theirs / "qold.toml").write_text("shards = 7\n")
        if where == "above":
            (theirs / "state").mkdir()
        if where == "by link":
            state.symlink_to("/")

    as_stranger(make)
    if where == "above":
        os.chown(state, 0, 0)
    if where == "gone over to us":
        os.chown(theirs, 0, 0)
    with pytest.raises(NotPrivate, match=f"belongs to {STRANGER}, not to root"):
        Settings.load(state, {})


@needs_root
def test_links_of_another_user_are_refused_where_they_lie(common: Path, tmp_path: Path) -> None:
    """`up.lock` and a log, in a folder that was handed over without them."""
    precious = tmp_path / "precious"
    precious.write_text("root's")
    theirs = common / "theirs"

    def make() -> None:
        (theirs / "logs").mkdir(parents=True)
        (theirs / "up.lock").symlink_to(precious)
        (theirs / "logs" / "raw.log").symlink_to(precious)

    as_stranger(make)
    os.chown(theirs, 0, 0)
    for name in ("logs", "up.lock", "logs/raw.log"):
        with pytest.raises(NotPrivate, match=f"belongs to {STRANGER}"):
            check_state(theirs)
        os.chown(theirs / name, 0, 0, follow_symlinks=False)
    check_state(theirs)  # links of ours lead nowhere either: they are not opened
    with pytest.raises(NotPrivate, match="is a symbolic link"):
        open_private(theirs / "up.lock", os.O_RDWR)


@needs_root
def test_a_folder_made_by_another_user_in_between_is_refused(
    common: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """She makes it after the check found none, before we make it."""
    state = common / "state"
    mkdir = Path.mkdir

    def late(self: Path, *words: int, **options: bool) -> None:
        as_stranger(lambda: os.mkdir(state))
        mkdir(self, *words, **options)

    monkeypatch.setattr(Path, "mkdir", late)
    with pytest.raises(NotPrivate, match=f"belongs to {STRANGER}"):
        make_folder(state)


@needs_root
def test_an_ordinary_user_has_a_state_folder_in_a_place_open_to_all(common: Path) -> None:
    """And one on a volume that belongs to that user, and settings that root wrote."""

    def use(state: Path) -> tuple[int, int]:
        secrets = Settings.load(state, {}).secrets_dir
        ensure_keys(secrets)
        return Settings.load(state, {}).shards, mode(secrets)

    assert as_stranger(lambda: use(common / "new"), umask=0) == (4, 0o700)
    volume = common / "volume"
    volume.mkdir()
    (volume / "qold.toml").write_text("shards = 7\n")
    os.chown(volume, STRANGER, STRANGER)
    assert as_stranger(lambda: use(volume)) == (7, 0o700)


@needs_root
def test_an_ordinary_user_who_may_not_look_is_told_so() -> None:
    outside = Path(tempfile.mkdtemp())
    try:
        (outside / "state").mkdir()

        def refusal() -> str:
            try:
                check_folder(outside / "state")
            except NotPrivate as exc:
                return str(exc.strerror)
            return ""

        assert as_stranger(refusal) == f"{outside} cannot be searched"
    finally:
        shutil.rmtree(outside)
