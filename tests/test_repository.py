"""The rules of the house that a machine can check (CONTRIBUTING.md)."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 300
STDLIB = set(sys.stdlib_module_names)
OURS = {"qold", "bolts", "spouts", "topologies", "gateway", "admin_api", "cli", "local"}

TEXT = {"qold.plain_text", "qold.plain_logs", "qold.settings_file"}

# Who may import whom: third-party packages and rooms of ours, besides the standard library.
ROOMS = {
    "src/qold/plain_text.py": (set(), set()),
    "src/qold/wire": ({"crcmod", "cobs"}, {"qold.wire"}),
    "src/qold/domain": (set(), {"qold.domain", "qold.plain_text"}),
    "src/qold/records.py": ({"msgspec"}, {"qold.domain"}),
    "src/qold/rows.py": ({"msgspec"}, {"qold.domain"}),
    "src/qold/private_files.py": (set(), set()),
    "src/qold/ports": (set(), {"qold.domain", "qold.ports"}),
    "src/bolts": ({"streamparse", "msgspec"}, {"qold", "bolts"}),
    "src/spouts": ({"streamparse", "msgspec"}, {"qold", "spouts"}),
    "topologies": ({"streamparse"}, {"bolts", "spouts", "qold.topology_config"}),
    "gateway": (
        {"serial", "peewee", "confluent_kafka"},
        {"gateway", "qold.wire", "qold.private_files", *TEXT},
    ),
}
WIRING = ("wiring.py", "wiring_log.py", "wiring_stores.py")
ADAPTER_MAY = {
    "qold.ports",
    "qold.domain",
    "qold.records",
    "qold.clock",
    "qold.private_files",
    "qold.adapters.sqlite_file",
    "qold.adapters.json_lines_file",
    "qold.adapters.http_service",
    "qold.adapters.cassandra_schema",
    "qold.adapters.cassandra_session",
    "qold.adapters.redis_server",
    "qold.adapters.timely_http",
    "qold.adapters.kafka_batches",
    "qold.adapters.kafka_bounded_reader",
    "qold.adapters.kafka_cluster",
    "qold.adapters.kafka_client",
    "qold.adapters.kafka_fetch",
    "qold.adapters.kafka_offsets",
    "qold.adapters.kafka_reader",
    "qold.adapters.kafka_socket",
    "qold.adapters.pykafka_client",
    "qold.adapters.pykafka_protocol",
    "qold.adapters.pykafka_reader",
}


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"))
    ]


def imported(path: Path) -> set[str]:
    """Full names of the modules a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = str(node.module)
            names.update(
                f"{module}.{alias.name}" if module == "qold" else module for alias in node.names
            )
    return names


def strangers(names: set[str], third_party: set[str], ours: set[str]) -> set[str]:
    def may(name: str) -> bool:
        top = name.partition(".")[0]
        if top in OURS:
            return any(name == room or name.startswith(room + ".") for room in ours)
        return top in STDLIB or top in third_party

    return {name for name in names if not may(name)}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    third_party, ours = ROOMS[room]
    for path in python_files(room):
        assert not strangers(imported(path), third_party, ours), path


def test_an_adapter_imports_ports_and_one_client():
    for path in python_files("src/qold/adapters"):
        if path.name in ("__init__.py", "sqlite_file.py"):
            continue
        names = imported(path)
        third_party = {n.partition(".")[0] for n in names} - STDLIB - OURS
        assert len(third_party) <= 1, path
        beside = f"qold.adapters.{path.parent.name}"
        assert not strangers(names, third_party, {*ADAPTER_MAY, beside}), path


def test_only_wiring_imports_adapters_and_only_inside_functions():
    for path in python_files("src", "topologies", "cli", "local"):
        if "adapters" in path.parts:
            continue
        uses = {name for name in imported(path) if name.startswith("qold.adapters")}
        assert not uses or path.name in WIRING, path
    for name in WIRING:
        tree = ast.parse((ROOT / "src/qold" / name).read_text("utf-8"))
        top_level = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert not [node for node in top_level if "adapters" in str(node.module)]


CLEAN_ROOMS = {
    "qold.wire": {"crcmod", "cobs"},
    "qold.domain.credentials": set(),
    "qold.domain.offsets": set(),
    "qold.domain.readings": set(),
    "qold.records": {"msgspec"},
    "qold.rows": {"msgspec"},
    "qold.ports": set(),
    "qold.private_files": set(),
}


@pytest.mark.parametrize("module", CLEAN_ROOMS)
def test_a_room_stays_clean_through_everything_it_imports(module):
    """Transitively, in a new interpreter: what only an import of an import would bring in."""
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{ROOT}/src"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    tops = {name.partition(".")[0] for name in loaded} - STDLIB - {"qold", "__main__"}
    tops -= {"typing_extensions"}  # msgspec looks whether it is there
    extensions = {name for name in tops if name.startswith("_")}
    assert tops - extensions <= CLEAN_ROOMS[module]


def test_topologies_are_what_streamparse_expects():
    """One class a file, no helper and no __init__, no name that something else has."""
    from streamparse import Topology

    from local.topologies import load_topology

    folder = ROOT / "topologies"
    assert not (folder / "__init__.py").exists()
    assert [
        path for path in folder.iterdir() if path.suffix != ".py" and path.name != "__pycache__"
    ] == []
    for path in folder.glob("*.py"):
        classes = [
            n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.ClassDef)
        ]
        assert len(classes) == 1, path
        assert path.stem not in STDLIB | OURS, path
        assert issubclass(load_topology(path.stem), Topology)


def test_components_live_in_plain_modules_under_src():
    from local.topologies import load_topology, topology_names

    for name in topology_names():
        for spec in load_topology(name).specs:
            module = spec.component_cls.__module__
            assert (ROOT / "src" / (module.replace(".", "/") + ".py")).is_file(), module


def test_only_three_unmistakable_names_ship_in_the_jar():
    names = {path.name for path in (ROOT / "src").iterdir() if path.name != "__pycache__"}
    assert names == {"qold", "bolts", "spouts"}
    assert not (ROOT / "tasks.py").exists()
    assert not (ROOT / "fabfile.py").exists()


def locked(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text("utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def test_every_topology_has_a_self_contained_list_that_agrees_with_the_lock():
    lock = locked("requirements/dev.lock")
    topology_lock = (ROOT / "requirements" / "topology.lock").read_text("utf-8")
    for topology in (ROOT / "topologies").glob("*.py"):
        path = ROOT / "virtualenvs" / f"{topology.stem}.txt"
        text = path.read_text("utf-8")
        assert not re.search(r"^\s*(-(?!-hash=sha256:)|\.|/|file:)", text, re.MULTILINE), path
        assert text == topology_lock, path
        listed = locked(f"virtualenvs/{topology.stem}.txt")
        assert {"streamparse", "setuptools", "msgspec"} <= listed.keys()
        assert listed.items() <= lock.items(), path
        assert int(listed["setuptools"].partition(".")[0]) < 81


@pytest.mark.parametrize("name", ["dev", "qold", "gateway", "topology"])
def test_locks_are_hashed_and_name_no_index(name):
    text = (ROOT / f"requirements/{name}.lock").read_text("utf-8")
    assert "http" not in text
    assert "--index" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


def test_locks_agree_with_each_other():
    whole = locked("requirements/dev.lock")
    for name in ("qold", "gateway", "topology"):
        assert locked(f"requirements/{name}.lock").items() <= whole.items(), name


def test_config_json_holds_only_what_streamparse_reads():
    config = json.loads((ROOT / "config.json").read_text("utf-8"))
    assert set(config) <= {"serializer", "topology_specs", "virtualenv_specs", "envs"}
    allowed = {
        "user", "nimbus", "workers", "log", "use_ssh_for_nimbus", "use_virtualenv",
        "install_virtualenv", "virtualenv_root", "virtualenv_flags", "ui.port", "options",
    }  # fmt: skip
    for environment in config["envs"].values():
        assert set(environment) <= allowed


def test_project_clj_shows_streamparse_the_storm_version():
    """`sparse` finds it only in a dependency line without exclusions."""
    text = (ROOT / "project.clj").read_text("utf-8")
    found = re.search(r'\[org\.apache\.storm/storm-core "([0-9.]+)"\]', text)
    lock = (ROOT / "local/services/locks/project.sha256").read_text("ascii")
    assert f"/storm-core/{found[1]}/storm-core-{found[1]}.jar" in lock


def test_project_clj_names_fixed_versions_and_no_plugins():
    """Its check covers dependencies; a plugin would run before it."""
    project = (ROOT / "project.clj").read_text("utf-8").partition("(defproject")[2]
    assert not re.search(r":(plugins|middleware|hooks|repositories|mirrors)\b", project)
    named = re.findall(r'\[[\w.-]+/[\w.-]+ "([^"]*)"', project)
    assert named
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]+)*", version) for version in named)


def test_modules_are_small():
    for path in python_files("src", "gateway", "cli", "local", "topologies"):
        assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES, path


def test_nothing_prints_where_storm_listens():
    for path in python_files("src"):
        calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], path


TEXT_WRITERS = {
    "print": (),
    "click.echo": ("local/console.py",),
    "click.secho": (),
    "csv.writer": ("local/console.py", "local/simulator/csv_file.py"),
    "csv.DictWriter": (),
    "sys.stdout.write": (),
    "sys.stderr.write": (),
    "rich.print": (),
    "Console": (),
    "Text.from_markup": (),
    "Text.from_ansi": (),
    "stderr.status": (),
    "console.status": (),
}
"""What writes text, and the modules that may call it: they escape and neutralise values first."""


def test_commands_write_through_the_console_that_takes_values_as_text():
    for path in python_files("cli", "local"):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert name in TEXT_WRITERS.get(called, (name,)), f"{name}:{node.lineno}: {called}"
                on = [keyword for keyword in node.keywords if keyword.arg == "markup"]
                assert all(ast.unparse(keyword.value) == "False" for keyword in on), name


def test_components_log_with_the_logger_that_pystorm_gives_them():
    """`self.log` is a method that pystorm itself calls; with Storm, hiding it ends the component."""
    for path in (*python_files("src/bolts", "src/spouts"), ROOT / "src/qold/component.py"):
        assert not re.search(r"self\.log\b", path.read_text("utf-8")), f"{path}: use self.logger"


def test_every_exception_from_a_rule_says_why():
    for path in python_files("src", "gateway", "cli", "local", "topologies", "tests"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            match = re.search(r"# (noqa|type: ignore)\S*(.*)", line)
            if match and "re.search" not in line:
                assert "#" in match[2], f"{path}:{number}"


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_tests_that_documents_name_are_there():
    names = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for named in re.findall(r"[\w/]*\btest_\w+\.py", document.read_text("utf-8")):
            is_there = (ROOT / named).is_file() if "/" in named else named in names
            assert is_there, f"{document.relative_to(ROOT)}: {named}"


def test_what_must_run_can_run():
    for name in (
        "qold",
        ".ci/run",
        "requirements/compile.sh",
        "requirements/lock-jars.sh",
        "requirements/lock-project.sh",
        "deploy/storm/storm",
        "deploy/storm/sparse",
    ):
        assert (ROOT / name).stat().st_mode & 0o111, name
