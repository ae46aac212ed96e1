"""Locks of jars: what a line means, and that every lock of ours can be read."""

import pytest

from local.services import artifacts
from local.services.artifacts import LOCKS, ArtifactsError, Jar, fetch, is_fetched, read_lock

SHA = "0" * 64


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
    assert not is_fetched("kafka")
    with pytest.raises(ArtifactsError, match="apt install maven"):
        fetch("kafka")
    assert list((tmp_path / "qold").iterdir()) == []
