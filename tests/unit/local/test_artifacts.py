"""Locks of jars, and the cache: every `fetch` leaves exactly what the lock says, or fails."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

from local.services import artifacts
from local.services.artifacts import LOCKS, Jar, fetch, read_lock
from local.services.exact_folder import ArtifactsError
from tests.support.stranger import STRANGER, as_stranger, needs_root

SHA = "0" * 64
JARS = {"a-1.jar": b"a", "b-1.jar": b"b"}
COMPLETE = {*JARS, "complete"}

# Stands for Maven: copies what the POM names from its repository, and counts its starts.
MVN = """\
#!{python}
import shutil, xml.etree.ElementTree as xml
from pathlib import Path
with open("{home}/starts", "a") as file:
    file.write("mvn\\n")
for item in xml.parse("pom.xml").iter("artifactItem"):
    group, artifact, version = (item.findtext(k) for k in ("groupId", "artifactId", "version"))
    name = f"{{artifact}}-{{version}}.jar"
    Path("lib").mkdir(exist_ok=True)
    shutil.copy(Path("{home}/.m2/repository", group, artifact, version, name), Path("lib", name))
"""


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*.sha256")), ids=lambda path: path.stem)
def test_every_lock_can_be_read_and_names_each_file_once(path):
    jars = read_lock(path.stem)
    assert jars
    assert len({jar.file for jar in jars}) == len(jars)


@pytest.mark.parametrize(
    "line",
    [
        "",
        SHA,
        f"{SHA} one/space/1/space-1.jar",
        f"{SHA}  a/b/1/b-1.zip",
        f"{SHA[1:]}  a/b/1/b-1.jar",
    ],
)
def test_a_line_that_is_none_is_named(tmp_path, monkeypatch, line):
    monkeypatch.setattr(artifacts, "LOCKS", tmp_path)
    (tmp_path / "x.sha256").write_text(f"{SHA}  a/b/1/b-1.jar\n{line}\n")
    with pytest.raises(ValueError, match=r"x\.sha256:2"):
        read_lock("x")


def test_a_classifier_is_told_from_the_version():
    jar = Jar(SHA, "io.netty", "tcnative", "2.0.1", "tcnative-2.0.1-linux-x86_64.jar")
    assert jar.classifier == "linux-x86_64"
    assert jar.path == "io/netty/tcnative/2.0.1/tcnative-2.0.1-linux-x86_64.jar"
    assert Jar(SHA, "a", "b", "1", "b-1.jar").classifier == ""


def test_without_maven_the_error_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ArtifactsError, match="apt install maven"):
        fetch("kafka")
    assert list((tmp_path / "qold").iterdir()) == []


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a Maven repository of two small jars, and their lock `x`."""
    for name, content in JARS.items():
        path = tmp_path / ".m2" / "repository" / "g" / name[0] / "1" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  g/{name[0]}/1/{name}\n"
        for name, content in JARS.items()
    ]
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "x.sha256").write_text("".join(lines))
    (tmp_path / "bin").mkdir()
    mvn = tmp_path / "bin" / "mvn"
    mvn.write_text(MVN.format(python=sys.executable, home=tmp_path), "ascii")
    mvn.chmod(0o700)
    monkeypatch.setattr(artifacts, "LOCKS", tmp_path / "locks")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


def starts(home):
    path = home / "starts"
    return path.read_text().count("\n") if path.exists() else 0


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".jar"}


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_what_is_fetched_is_exactly_the_lock_and_closed_to_others(home, umask):
    before = os.umask(umask)
    try:
        folder = fetch("x")
    finally:
        os.umask(before)
    assert contents(folder) == JARS
    assert {path.name for path in folder.iterdir()} == COMPLETE
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o644] * 3
    assert folder.stat().st_mode & 0o777 == 0o755
    for cache in (folder.parent, folder.parent.parent):
        assert cache.stat().st_mode & 0o077 == 0, cache
    assert fetch("x") == folder
    assert starts(home) == 1


def append(folder):
    with (folder / "a-1.jar").open("ab") as file:
        file.write(b"appended")


def link_a_jar(folder):
    (folder / "a-1.jar").rename(folder.parent / "a-1.jar")
    (folder / "a-1.jar").symlink_to(folder.parent / "a-1.jar")


def put_a_folder_in_place(folder):
    (folder / "a-1.jar").unlink()
    (folder / "a-1.jar").mkdir()
    (folder / "a-1.jar" / "full").touch()


def link_the_folder(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        append,
        link_a_jar,
        put_a_folder_in_place,
        link_the_folder,
        lambda folder: (folder / "a-1.jar").unlink(),
        lambda folder: (folder / "a-1.jar").chmod(0o666),
        lambda folder: folder.chmod(0o777),
        pytest.param(
            lambda folder: os.chown(folder / "a-1.jar", STRANGER, STRANGER), marks=needs_root
        ),
    ],
)
def test_a_cache_that_was_changed_is_mended(home, change):
    folder = fetch("x")
    change(folder)
    assert fetch("x") == folder
    assert contents(folder) == JARS
    assert not folder.is_symlink()
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert starts(home) == 2
    fetch("x")
    assert starts(home) == 2


def test_a_jar_that_is_not_in_the_lock_is_removed_without_maven(home):
    folder = fetch("x")
    (folder / "evil.jar").write_bytes(b"evil")
    (folder / "org").mkdir()
    fetch("x")
    assert {path.name for path in folder.iterdir()} == COMPLETE
    assert starts(home) == 1


def test_jars_that_are_right_stay_the_same_files(home):
    """A server that runs has them open."""
    folder = fetch("x")
    inode = (folder / "b-1.jar").stat().st_ino
    append(folder)
    fetch("x")
    assert (folder / "b-1.jar").stat().st_ino == inode


def test_a_wrong_jar_in_mavens_repository_is_named_and_the_cache_stays_as_it_was(home):
    kept = home / ".m2" / "repository" / "g" / "a" / "1" / "a-1.jar"
    kept.write_bytes(b"poisoned")
    with pytest.raises(ArtifactsError, match=rf"what the lock says: a-1\.jar\nfix: rm {kept}, and"):
        fetch("x")
    assert list((home / ".cache" / "qold").iterdir()) == []
    kept.write_bytes(JARS["a-1.jar"])
    assert contents(fetch("x")) == JARS


def test_a_cache_that_others_may_write_is_refused(home):
    cache = fetch("x").parent
    cache.chmod(0o707)
    with pytest.raises(ArtifactsError, match=r"qold: other users may write it\nfix: chmod go-w"):
        fetch("x")


@needs_root
def test_a_cache_that_another_user_made_first_is_refused(home, monkeypatch):
    """The stranger can make it in a folder that every user may write, as /tmp is."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        shared = Path(name)
        shared.chmod(0o1777)
        as_stranger(lambda: (shared / "qold" / "x").mkdir(parents=True))
        as_stranger(lambda: (shared / "qold" / "x" / "evil.jar").touch())
        monkeypatch.setenv("XDG_CACHE_HOME", name)
        with pytest.raises(
            ArtifactsError, match=f"qold: belongs to {STRANGER}, not to root\nfix: "
        ):
            fetch("x")
