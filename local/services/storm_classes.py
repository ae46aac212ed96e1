"""The jar of our Java classes for Storm (`deploy/storm/java`): one address to listen on, one user.

Compiled here with the JDK's javac against the jars that Storm runs with.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from local.programs import ROOT
from local.services.artifacts import LOCKS
from local.services.exact_folder import ArtifactsError, hold_exactly
from qold.private_files import write_private

SOURCES = ROOT / "deploy" / "storm" / "java"
JAR = "qold-storm.jar"
RECORD = "qold-storm.json"
RELEASE = "17"  # the oldest Java that Storm is run with here
# Netty looks its extensions up by this file.
SERVICE = "META-INF/services/org.apache.storm.shade.io.netty.bootstrap.ChannelInitializerExtension"
SERVICES = {SERVICE: b"qold.storm.BoundListener\n"}
# The oldest time that a zip can hold: the same classes make the same bytes.
MADE_AT = (1980, 1, 1, 0, 0, 0)


def install(home: Path, libraries: Path) -> Path:
    """The jar in `<home>/extlib`, compiled again unless it is the one made of these sources and jars.

    Raises `ArtifactsError`, also for a file beside it: every jar there is loaded by every JVM.
    """
    jar, record = home / "extlib" / JAR, home / RECORD
    origin = _origin()
    if _recorded(record) == {"made_of": origin, "sha256": _checksum(jar)}:
        content = jar.read_bytes()
    else:
        with tempfile.TemporaryDirectory(prefix=".classes-", dir=home) as scratch:
            _compile(Path(scratch), libraries)
            content = _pack(Path(scratch) / "classes")
    hold_exactly(jar.parent, {JAR: content})
    found = {"made_of": origin, "sha256": hashlib.sha256(content).hexdigest()}
    write_private(record, json.dumps(found))
    return jar


def _sources() -> list[Path]:
    return sorted(SOURCES.rglob("*.java"))


def _origin() -> str:
    """The checksum of what the jar is made of."""
    parts = [path.read_bytes() for path in (*_sources(), LOCKS / "storm.sha256", Path(__file__))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _recorded(path: Path) -> object:
    try:
        return json.loads(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _checksum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _compile(scratch: Path, libraries: Path) -> None:
    javac = shutil.which("javac")
    if javac is None:
        raise ArtifactsError("javac is missing\nfix: sudo apt install openjdk-17-jdk-headless")
    words: Iterable[str] = (
        *("-proc:none", "-nowarn", "--release", RELEASE, "-encoding", "UTF-8"),
        *("-cp", f"{libraries}/*", "-d", str(scratch / "classes")),
        *map(str, _sources()),
    )
    environ = {name: value for name, value in os.environ.items() if name != "CLASSPATH"}
    done = subprocess.run(
        [javac, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error:" in line]
        raise ArtifactsError(f"javac failed: {(lines or done.stderr.splitlines() or ['?'])[0]}")


def _pack(classes: Path) -> bytes:
    content = {path.relative_to(classes).as_posix(): path for path in classes.rglob("*.class")}
    files = {name: path.read_bytes() for name, path in content.items()} | SERVICES
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, MADE_AT), files[name])
    return jar.getvalue()
