"""Jars of our classes, Storm's as the example: made of our sources, and taken only as they were made."""

import re
import shutil
import zipfile

import pytest

from local.services import artifacts, storm
from local.services.exact_folder import ArtifactsError
from local.services.place import Place
from local.services.storm import OWN_JAR
from tests.support.servers import needs_storm

pytestmark = needs_storm

# Where Netty looks for its extensions.
SERVICE = "META-INF/services/org.apache.storm.shade.io.netty.bootstrap.ChannelInitializerExtension"


@pytest.fixture(scope="module")
def libraries():
    return artifacts.fetch("storm", stubs=storm.STUBS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with the jar; compiled once."""
    return storm.assemble(Place(tmp_path_factory.mktemp("state")), lambda text: None)


@pytest.fixture
def home(made, tmp_path):
    """A copy of what matters of it."""
    home = empty_home(tmp_path)
    shutil.copy(made / "extlib" / OWN_JAR.file, home / "extlib")
    shutil.copy(OWN_JAR.record(made), home)
    return home


def empty_home(folder):
    (folder / "extlib").mkdir()
    return folder


def test_it_holds_what_storm_is_configured_with(made):
    """A class that is named and not there would end Nimbus, or leave a port open."""
    text = "".join(path.read_text("ascii") for path in (made / "conf").iterdir())
    with zipfile.ZipFile(made / "extlib" / OWN_JAR.file) as jar:
        classes = {name.removesuffix(".class").replace("/", ".") for name in jar.namelist()}
        assert jar.read(SERVICE).decode().split() == ["qold.storm.BoundListener"]
    named = set(re.findall(r"qold\.storm\.\w+", text))
    assert len(named) == 4
    assert named <= classes
    assert "org.apache.storm.testing.InProcessZookeeper" in classes
    assert (made / "extlib" / OWN_JAR.file).stat().st_mode & 0o777 == 0o600


def test_it_is_compiled_once(home, libraries, monkeypatch):
    monkeypatch.setenv("PATH", str(home))  # no javac there
    OWN_JAR.install(home, libraries)


@pytest.mark.parametrize("how", ["bytes added", "older sources"])
def test_what_is_not_as_it_was_made_is_made_again(home, libraries, how):
    """The same sources make the same bytes."""
    jar, record = home / "extlib" / OWN_JAR.file, OWN_JAR.record(home)
    as_made = jar.read_bytes()
    if how == "bytes added":
        jar.write_bytes(as_made + b"\0")
    else:
        record.write_text(record.read_text("ascii").replace('made_of": "', 'made_of": "0'), "ascii")
    assert OWN_JAR.install(home, libraries).read_bytes() == as_made


def test_a_jar_beside_it_is_refused_by_name(home, libraries):
    """Every JVM of Storm would load it."""
    (home / "extlib" / "planted.jar").touch()
    with pytest.raises(ArtifactsError, match=r"planted\.jar: not expected\nfix: rm"):
        OWN_JAR.install(home, libraries)


def test_without_javac_its_package_is_named(libraries, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArtifactsError, match="sudo apt install openjdk-17-jdk"):
        OWN_JAR.install(empty_home(tmp_path), libraries)
