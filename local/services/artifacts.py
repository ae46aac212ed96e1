"""Jars of a server, from Maven Central: pinned in `local/services/locks/`, cached, always checked.

A lock has a line per jar: `<sha256>  <group as path>/<artifact>/<version>/<file>`, as Maven lays a
repository out. Maven does the fetching, so a mirror or proxy that is set up for it is used, and
what it has fetched it keeps: an interrupted start goes on where it was.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from local.services.exact_folder import WHOLE, ArtifactsError, describe, faults
from qold.private_files import NotPrivate, make_folder

LOCKS = Path(__file__).resolve().parent / "locks"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
INSTALL = "org.apache.maven.plugins:maven-install-plugin:2.4:install-file"
LOOK_S = 0.3
STAMP = "complete"
# Readable by others, so that copies for another machine (docs/operations.md) are; the cache is not.
FOLDER_MODE, FILE_MODE = 0o755, 0o644
_OTHER_CACHE = "XDG_CACHE_HOME=FOLDER, one that only you may write"

Tell = Callable[[int, int], None]
"""Told how many jars of how many are there."""


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


def fetch(
    name: str, *, tell: Tell = lambda have, want: None, stubs: Mapping[str, str] | None = None
) -> Path:
    """Return the folder with exactly the jars of a lock; raises `ArtifactsError`.

    Every call compares all files with the lock and fetches only what is missing or differs.
    `stubs` maps `group:artifact:version` of a missing parent POM to that of its own parent.
    """
    jars = read_lock(name)
    folder = cache_folder() / name
    try:
        make_folder(folder.parent)
        if not faults(folder, _files(name, jars)):
            return folder
        lock = os.open(folder.parent, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # neither Maven's repository nor our folder takes two
            return _mend(name, folder, jars, tell, stubs or {})
        finally:
            os.close(lock)
    except NotPrivate as exc:
        reason = f"the cache of jars is not safe: {exc.filename}: {exc.strerror}"
        raise ArtifactsError(f"{reason}\nfix: {exc.fix}; or {_OTHER_CACHE}") from exc
    except OSError as exc:
        raise ArtifactsError(
            f"the cache of jars cannot be used: {exc}\nfix: {_OTHER_CACHE}"
        ) from exc


def _files(name: str, jars: Iterable[Jar]) -> dict[str, str]:
    # Earlier versions trust the stamp and fetch everything again without it; here it is one more file.
    stamp = hashlib.sha256(_stamp(name)).hexdigest()
    return {**{jar.file: jar.sha256 for jar in jars}, STAMP: stamp}


def _stamp(name: str) -> bytes:
    return _checksum(LOCKS / f"{name}.sha256").encode("ascii")


def _mend(name: str, folder: Path, jars: list[Jar], tell: Tell, stubs: Mapping[str, str]) -> Path:
    files = _files(name, jars)
    wrong = faults(folder, files)
    needed = [jar for jar in jars if WHOLE in wrong or jar.file in wrong]
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as scratch:
        work = Path(scratch)
        (work / "lib").mkdir(mode=0o700)
        if needed:
            for stub, parent in stubs.items():
                _install_stub(work, stub, parent)
            _copy(work, needed, tell)
            _check(work / "lib", needed)
        if WHOLE in wrong:
            _remove(folder)
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)
        for extra in wrong.keys() - files.keys() - {WHOLE}:
            _remove(folder / extra)
        (work / "lib" / STAMP).write_bytes(_stamp(name))
        for fetched in (work / "lib").iterdir():
            fetched.chmod(FILE_MODE)
            if (folder / fetched.name).is_dir():
                _remove(folder / fetched.name)
            fetched.replace(folder / fetched.name)
    left = faults(folder, files)
    if left:
        raise ArtifactsError(f"changed while it was fetched: {describe(folder, left)}")
    return folder


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copy(work: Path, jars: list[Jar], tell: Tell) -> None:
    (work / "pom.xml").write_text(_pom(jars), "utf-8")
    done = threading.Event()
    repository = _maven_repository()

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


def _maven_repository() -> Path:
    """Its default. Where Maven is set up for another one, progress and fixes name this one."""
    return Path.home() / ".m2" / "repository"


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
        [command, "-B", "-q", "--strict-checksums", *arguments],
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
    wrong = [jar for jar in jars if _checksum(lib / jar.file) != jar.sha256]
    if wrong:
        kept = " ".join(shlex.quote(str(_maven_repository() / jar.path)) for jar in wrong)
        raise ArtifactsError(
            f"Maven has not what the lock says: {', '.join(jar.file for jar in wrong)}\n"
            f"fix: rm {kept}, and start again"
        )


def _checksum(path: Path) -> str:
    if not path.exists():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
