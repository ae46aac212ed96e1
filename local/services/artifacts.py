"""The jars of a server, from Maven Central: pinned in `local/services/locks/`, checked, kept.

A lock has a line per jar: `<sha256>  <group as path>/<artifact>/<version>/<file>`, as Maven lays a
repository out. Maven does the fetching, so a mirror or proxy that is set up for it is used, and
what it has fetched it keeps: an interrupted start goes on where it was.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

LOCKS = Path(__file__).resolve().parent / "locks"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
INSTALL = "org.apache.maven.plugins:maven-install-plugin:2.4:install-file"
LOOK_S = 0.3
STAMP = "complete"

Tell = Callable[[int, int], None]
"""Told how many jars of how many are there."""


class ArtifactsError(RuntimeError):
    """The jars could not be had; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a lock."""

    sha256: str
    group: str
    artifact: str
    version: str
    file: str

    @property
    def path(self) -> str:
        """Where a Maven repository has it."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file}"

    @property
    def classifier(self) -> str:
        """What stands between version and `.jar`, mostly nothing."""
        stem = self.file.removesuffix(".jar")
        return stem.removeprefix(f"{self.artifact}-{self.version}").removeprefix("-")


def read_lock(name: str) -> list[Jar]:
    """The jars of `locks/<name>.sha256`; raises ValueError for a line that is none."""
    jars = []
    for number, line in enumerate((LOCKS / f"{name}.sha256").read_text("ascii").splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (\S+)/([^/\s]+)/([^/\s]+)/([^/\s]+\.jar)", line)
        if match is None:
            raise ValueError(f"{name}.sha256:{number}: not `<sha256>  <path of a jar>`")
        jars.append(Jar(match[1], match[2].replace("/", "."), match[3], match[4], match[5]))
    return jars


def cache_folder() -> Path:
    """Where jars are kept between starts and state folders."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "qold"


def is_fetched(name: str) -> bool:
    """Whether `fetch` would return at once."""
    stamp = cache_folder() / name / STAMP
    return stamp.exists() and stamp.read_text("ascii") == _checksum(LOCKS / f"{name}.sha256")


def fetch(
    name: str, *, tell: Tell = lambda have, want: None, stubs: Mapping[str, str] | None = None
) -> Path:
    """The folder with exactly the jars of a lock; raises `ArtifactsError`.

    `stubs` maps `group:artifact:version` of a missing parent POM to that of its own parent.
    """
    folder = cache_folder() / name
    if is_fetched(name):
        return folder
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # neither Maven's repository nor our folder takes two
        return folder if is_fetched(name) else _fetch(name, folder, tell, stubs or {})
    finally:
        os.close(lock)


def _fetch(name: str, folder: Path, tell: Tell, stubs: Mapping[str, str]) -> Path:
    jars = read_lock(name)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as scratch:
        work = Path(scratch)
        for stub, parent in stubs.items():
            _install_stub(work, stub, parent)
        _copy(work, jars, tell)
        _check(work / "lib", jars)
        (work / "lib" / STAMP).write_text(_checksum(LOCKS / f"{name}.sha256"), "ascii")
        shutil.rmtree(folder, ignore_errors=True)
        (work / "lib").rename(folder)
    return folder


def _copy(work: Path, jars: list[Jar], tell: Tell) -> None:
    (work / "pom.xml").write_text(_pom(jars), "utf-8")
    done = threading.Event()
    repository = Path.home() / ".m2" / "repository"  # elsewhere there is no progress to see

    def watch() -> None:
        while not done.wait(LOOK_S):
            tell(sum((repository / jar.path).exists() for jar in jars), len(jars))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        _maven(work, f"{PLUGIN}:copy")
    finally:
        done.set()
        watcher.join()
    tell(len(jars), len(jars))


def _pom(jars: Iterable[Jar]) -> str:
    items = "".join(
        f"<artifactItem><groupId>{escape(jar.group)}</groupId>"
        f"<artifactId>{escape(jar.artifact)}</artifactId><version>{escape(jar.version)}</version>"
        + (f"<classifier>{escape(jar.classifier)}</classifier>" if jar.classifier else "")
        + "</artifactItem>"
        for jar in jars
    )
    group, artifact, version = PLUGIN.split(":")
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>qold</groupId>"
        "<artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>"
        f"<build><plugins><plugin><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version><configuration><artifactItems>{items}</artifactItems>"
        "<outputDirectory>${project.basedir}/lib</outputDirectory>"
        "<useBaseVersion>true</useBaseVersion></configuration></plugin></plugins></build></project>"
    )


def _install_stub(work: Path, stub: str, parent: str) -> None:
    group, artifact, version = stub.split(":")
    parent_group, parent_artifact, parent_version = parent.split(":")
    pom = work / f"{artifact}.xml"
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion>"
        f"<artifactId>{artifact}</artifactId><packaging>pom</packaging>"
        f"<parent><groupId>{parent_group}</groupId><artifactId>{parent_artifact}</artifactId>"
        f"<version>{parent_version}</version></parent></project>",
        "utf-8",
    )
    _maven(
        work,
        INSTALL,
        f"-Dfile={pom}",
        f"-DgroupId={group}",
        f"-DartifactId={artifact}",
        f"-Dversion={version}",
        "-Dpackaging=pom",
    )


def _maven(folder: Path, *arguments: str) -> None:
    command = shutil.which("mvn")
    if command is None:
        raise ArtifactsError("Maven is missing\nfix: sudo apt install maven")
    done = subprocess.run(
        [command, "-B", "-q", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        reason = lines[0].removeprefix("[ERROR] ") if lines else done.stderr.strip()[-300:]
        raise ArtifactsError(f"Maven could not fetch: {reason}")


def _check(lib: Path, jars: list[Jar]) -> None:
    wrong = [jar.file for jar in jars if _checksum(lib / jar.file) != jar.sha256]
    if wrong:
        raise ArtifactsError(
            f"not what the lock says: {', '.join(wrong)}\n"
            "fix: remove them from the Maven repository (~/.m2) and start again"
        )


def _checksum(path: Path) -> str:
    if not path.exists():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
