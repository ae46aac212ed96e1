"""Code from outside that Storm and Leiningen load: what differs from the locks is refused."""

import hashlib
import os
import subprocess
import zipfile

import pytest

from local.programs import ROOT
from local.services import storm
from local.services.exact_folder import ArtifactsError
from local.services.place import Place
from tests.support.servers import needs_storm

pytestmark = needs_storm


def test_a_file_that_was_put_into_storms_home_is_refused(tmp_path):
    """Storm loads classes from the first three, and its Supervisor runs what is in the last."""
    place = Place(tmp_path)
    home = storm.assemble(place, lambda text: None)
    for folder in ("extlib", "extlib-daemon", "conf", "healthchecks"):
        extra = home / folder / "evil.jar"
        extra.touch()
        refused = rf"{extra}: not expected\nfix: rm -r {extra}"
        with pytest.raises(ArtifactsError, match=refused):
            storm.assemble(place, lambda text: None)
        extra.unlink()
    storm.assemble(place, lambda text: None)
    (storm.conf_folder(place, 2) / "evil.class").parent.mkdir()
    (storm.conf_folder(place, 2) / "evil.class").touch()
    with pytest.raises(ArtifactsError, match=r"evil\.class: not expected"):
        storm.configure_node(place, 2)


@pytest.fixture(scope="module")
def lein(tmp_path_factory):
    """Run Leiningen on the check of project.clj, with one small jar instead of Storm.

    Its repository `remote` is a folder; what is fetched is kept in `kept`.
    """
    root = tmp_path_factory.mktemp("lein")
    check = (ROOT / "project.clj").read_text("utf-8").partition("(defproject")[0]
    (root / "project.clj").write_text(
        f"""{check}(defproject x "1" :local-repo "{root}/kept" :target-path "_build"
          :mirrors {{#".*" {{:name "folder" :url "{(root / "remote").as_uri()}"}}}}
          :dependencies [[g/a "1"]] :profiles {{:base {{}}}})""",
        "utf-8",
    )
    (root / "resources").mkdir()
    (root / "resources" / "x.py").touch()
    for name in ("a", "b"):
        folder = root / "remote" / "g" / name / "1"
        folder.mkdir(parents=True)
        write(folder / f"{name}-1.pom", pom(name))
        write(folder / f"{name}-1.jar", EMPTY_ZIP)
    locks = root / "local" / "services" / "locks"
    locks.mkdir(parents=True)
    digest = hashlib.sha256(EMPTY_ZIP).hexdigest()
    (locks / "project.sha256").write_text(f"{digest}  g/a/1/a-1.jar\n")

    def run(*words):
        done = subprocess.run(
            ["lein", *words],
            cwd=root,
            env={**os.environ, "LEIN_ROOT": "1", "LEIN_NO_USER_PROFILES": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    run.root = root
    return run


EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


def write(path, content):
    """A file as a Maven repository has it, with its checksum."""
    path.write_bytes(content)
    digest = hashlib.sha1(content).hexdigest()  # noqa: S324  # what Maven asks for
    path.with_name(path.name + ".sha1").write_text(digest)


def pom(name, dependency=""):
    return (
        f"<project><modelVersion>4.0.0</modelVersion><groupId>g</groupId>"
        f"<artifactId>{name}</artifactId><version>1</version>{dependency}</project>"
    ).encode()


NEEDS_B = (
    "<dependencies><dependency><groupId>g</groupId><artifactId>b</artifactId>"
    "<version>1</version></dependency></dependencies>"
)


def test_leiningen_uses_jars_as_locked_and_no_other(lein):
    code, said = lein("jar")
    assert (code, "Created" in said) == (0, True), said
    kept = lein.root / "kept" / "g" / "a" / "1"
    with zipfile.ZipFile(kept / "a-1.jar", "w") as jar:
        jar.writestr("native/evil", "Leiningen unpacks this below its target")
    code, said = lein("jar")
    assert (code, f"says: {kept}/a-1.jar\nfix: remove" in said) == (1, True), said
    assert not [*lein.root.rglob("evil")]
    (kept / "a-1.jar").write_bytes(EMPTY_ZIP)
    (kept / "a-1.pom").write_bytes(pom("a", NEEDS_B))
    code, said = lein("jar")
    assert (code, f"says: {lein.root}/kept/g/b/1/b-1.jar\nfix: remove" in said) == (1, True), said


def test_the_locks_of_storm_and_of_its_project_agree():
    locks = ROOT / "local" / "services" / "locks"
    project = set((locks / "project.sha256").read_text("ascii").splitlines())
    assert set((locks / "storm.sha256").read_text("ascii").splitlines()) <= project
