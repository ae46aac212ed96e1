"""Jars of our own Java classes, compiled here with the JDK's javac for the server that loads them."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.services.artifacts import LOCKS
from local.services.exact_folder import ArtifactsError, hold_exactly
from qold.private_files import write_private

TOOLS: Mapping[str, str] = {"javac": "openjdk-17-jdk-headless"}
# The oldest Java that the servers are run with here.
RELEASE = "17"
# The oldest time that a zip can hold: the same classes make the same bytes.
MADE_AT = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class OwnJar:
    """`<name>.jar` of the `.java` files in `sources`, with its other files as they are.

    `lock` names the jars that the classes extend.
    """

    name: str
    sources: Path
    lock: str

    @property
    def file(self) -> str:
        return f"{self.name}.jar"

    def record(self, home: Path) -> Path:
        """What the jar in `home` was made of, and its checksum."""
        return home / f"{self.name}.json"

    def install(self, home: Path, libraries: Path) -> Path:
        """Return `<home>/extlib/<name>.jar`, compiled again unless made of these sources and jars.

        Raises `ArtifactsError`, also for a file beside it: a server loads every jar there.
        """
        jar = home / "extlib" / self.file
        origin = self._origin()
        if _recorded(self.record(home)) == {"made_of": origin, "sha256": _checksum(jar)}:
            content = jar.read_bytes()
        else:
            with tempfile.TemporaryDirectory(prefix=".classes-", dir=home) as scratch:
                self._compile(Path(scratch), libraries)
                content = self._packed(Path(scratch))
        hold_exactly(jar.parent, {jar.name: content})
        made = {"made_of": origin, "sha256": hashlib.sha256(content).hexdigest()}
        write_private(self.record(home), json.dumps(made))
        return jar

    def _files(self) -> list[Path]:
        return sorted(path for path in self.sources.rglob("*") if path.is_file())

    def _origin(self) -> str:
        inputs = (*self._files(), LOCKS / f"{self.lock}.sha256", Path(__file__))
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in inputs)).hexdigest()

    def _compile(self, classes: Path, libraries: Path) -> None:
        javac = shutil.which("javac")
        if javac is None:
            raise ArtifactsError(f"javac is missing\nfix: sudo apt install {TOOLS['javac']}")
        words = (
            *("-proc:none", "-nowarn", "--release", RELEASE, "-encoding", "UTF-8"),
            *("-cp", f"{libraries}/*", "-d", str(classes)),
            *(str(path) for path in self._files() if path.suffix == ".java"),
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

    def _packed(self, classes: Path) -> bytes:
        files = {path.relative_to(classes): path for path in classes.rglob("*.class")}
        files |= {
            path.relative_to(self.sources): path for path in self._files() if path.suffix != ".java"
        }
        jar = io.BytesIO()
        with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                info = zipfile.ZipInfo(name.as_posix(), MADE_AT)
                archive.writestr(info, files[name].read_bytes(), zipfile.ZIP_DEFLATED)
        return jar.getvalue()


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
