"""What a folder of jars must be: which files, with which content, owned and writable by whom."""

import hashlib
import os
import shutil

import pytest

from local.services.exact_folder import ArtifactsError, faults, hold_exactly
from tests.support.stranger import STRANGER, needs_root

CONTENTS = {"a.jar": b"a", "b.jar": b"b"}
FILES = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "lib"
    hold_exactly(path, CONTENTS)
    assert faults(path, FILES) == {}
    return path


def append(folder):
    with (folder / "a.jar").open("ab") as file:
        file.write(b"appended")


def link_a_file(folder):
    (folder / "a.jar").rename(folder.parent / "a.jar")
    (folder / "a.jar").symlink_to(folder.parent / "a.jar")


def link_the_folder(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (append, {"a.jar": "other content"}),
        (lambda folder: (folder / "a.jar").unlink(), {"a.jar": "missing"}),
        (lambda folder: (folder / "c.jar").write_bytes(b"c"), {"c.jar": "not expected"}),
        (lambda folder: (folder / ".hidden").touch(), {".hidden": "not expected"}),
        (lambda folder: (folder / "org").mkdir(), {"org": "not a regular file"}),
        (lambda folder: os.mkfifo(folder / "c.jar"), {"c.jar": "not a regular file"}),
        (link_a_file, {"a.jar": "not a regular file"}),
        (link_the_folder, {".": "not a folder"}),
        (lambda folder: (folder / "a.jar").chmod(0o620), {"a.jar": "may be written by others"}),
        (lambda folder: (folder / "b.jar").chmod(0o602), {"b.jar": "may be written by others"}),
        (lambda folder: folder.chmod(0o770), {".": "may be written by others"}),
        (shutil.rmtree, {".": "missing"}),
    ],
)
def test_every_difference_is_a_fault(folder, change, found):
    change(folder)
    assert faults(folder, FILES) == found


def test_files_in_folders_are_compared_as_well(folder):
    (folder / "org").mkdir()
    (folder / "org" / "C.class").write_bytes(b"b")
    (folder / "org" / "D.class").write_bytes(b"b")
    files = {**FILES, "org/C.class": FILES["b.jar"]}
    assert faults(folder, files) == {"org/D.class": "not expected"}


@needs_root
def test_what_another_user_owns_is_a_fault(folder):
    os.chown(folder / "a.jar", STRANGER, STRANGER)
    assert faults(folder, FILES) == {"a.jar": f"belongs to user {STRANGER}"}
    os.chown(folder, STRANGER, STRANGER)
    assert faults(folder, FILES) == {".": f"belongs to user {STRANGER}"}


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_only_its_owner_may_enter_a_folder_that_is_held_under_any_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        hold_exactly(tmp_path / "lib", CONTENTS)
    finally:
        os.umask(before)
    assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "lib" / "a.jar").stat().st_mode & 0o777 == 0o600


def test_a_folder_is_held_again_with_new_contents_and_refuses_any_other_file(folder):
    hold_exactly(folder, {"a.jar": b"new", "b.jar": b"b"})
    assert (folder / "a.jar").read_bytes() == b"new"
    with pytest.raises(ArtifactsError, match=r"b\.jar: not expected\nfix: rm -r .*b\.jar"):
        hold_exactly(folder, {"a.jar": b"new"})


def test_nothing_is_written_through_a_link(folder):
    link_the_folder(folder)
    with pytest.raises(ArtifactsError, match="not a folder"):
        hold_exactly(folder, {"a.jar": b"new", "b.jar": b"b"})
    assert (folder / "a.jar").read_bytes() == b"a"
    other = folder.parent / "elsewhere"
    link_a_file(other)
    hold_exactly(other, {"a.jar": b"new", "b.jar": b"b"})
    assert (other.parent / "a.jar").read_bytes() == b"a"
