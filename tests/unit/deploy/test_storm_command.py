"""What `deploy/storm/storm` starts, told by a `java` that prints the words it was given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STORM = Path(__file__).resolve().parents[3] / "deploy" / "storm" / "storm"
JAR = "/project/_build/qold-standalone.jar"
FLUX = "org.apache.storm.flux.Flux"


@pytest.fixture
def storm(tmp_path):
    """Run the command; returns exit code, lines on stdout, and stderr."""
    home = tmp_path / "home"
    (home / "lib").mkdir(parents=True)
    (home / "lib" / "storm-client-2.8.3.jar").touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    java = tools / "java"
    java.write_text('#!/bin/sh\necho "CLASSPATH=$CLASSPATH"\nprintf "%s\\n" "$@"\n', "ascii")
    java.chmod(0o755)

    def run(*words, **environ):
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "STORM_HOME": str(home), **environ}
        done = subprocess.run(
            [sys.executable, str(STORM), *map(str, words)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    run.home = home
    return run


def after(words, option):
    return words[words.index(option) + 1]


def test_version_is_that_of_the_jars(storm):
    assert storm("version")[:2] == (0, ["Storm 2.8.3"])
    (storm.home / "lib" / "storm-client-2.9.0.jar").touch()
    code, _, said = storm("version")
    assert (code, "2 storm-client jars" in said) == (3, True)


def test_what_sparse_run_sends_runs_here_and_not_on_a_cluster(storm):
    code, words, _ = storm("jar", JAR, FLUX, "--local", "--no-splash", "--sleep", 30, "/a.yaml")
    assert code == 0
    assert words[-4:] == ["org.apache.storm.LocalCluster", FLUX, "--no-splash", "/a.yaml"]
    assert "-Dstorm.local.sleeptime=30" in words
    assert f"-Dstorm.jar={JAR}" in words


def test_without_an_end_it_runs_as_long_as_local_cluster_can_count(storm):
    """`sparse run` without -t sends the largest long, in seconds; milliseconds would overflow."""
    words = storm("jar", JAR, FLUX, "--local", "--sleep", 2**63 - 1, "/a.yaml")[1]
    seconds = next(word for word in words if "sleeptime" in word).partition("=")[2]
    assert int(seconds) * 1000 < 2**63


def test_the_topology_comes_before_flux_on_the_class_path(storm):
    """Both jars hold resources/; components are unpacked from the first."""
    for local in ([], ["--local"]):
        entries = after(storm("jar", JAR, FLUX, *local, "/a.yaml")[1], "-cp").split(":")
        assert entries.index(JAR) < entries.index(f"{storm.home}/lib-flux/*")


def test_without_local_a_jar_goes_to_the_cluster(storm):
    words = storm("jar", JAR, "org.example.Main", "word")[1]
    assert words[-2:] == ["org.example.Main", "word"]
    assert f"{storm.home}/lib-worker/*" in after(words, "-cp").split(":")
    assert "org.apache.storm.LocalCluster" not in words


def test_local_ends_after_its_time(storm):
    words = storm("local", JAR, FLUX, "--local-ttl", 7, "/a.yaml")[1]
    assert "-Dstorm.local.sleeptime=7" in words
    assert words[-3:] == ["org.apache.storm.LocalCluster", FLUX, "/a.yaml"]


@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("nimbus", "org.apache.storm.daemon.nimbus.Nimbus"),
        ("supervisor", "org.apache.storm.daemon.supervisor.Supervisor"),
    ],
)
def test_daemons_have_a_log_and_options_of_their_own(storm, name, main):
    words = storm(name, **{f"STORM_{name.upper()}_OPTS": "-Xmx64m -Da=b"})[1]
    assert words[-1] == main
    assert words[1:3] == ["-Xmx64m", "-Da=b"]
    assert f"-Dlogfile.name={name}.log" in words


def test_zookeeper_reads_the_configuration_of_this_home(storm, tmp_path):
    assert storm("zookeeper")[1][-1] == f"{storm.home}/conf/zoo.cfg"
    assert storm("zookeeper", STORM_CONF_DIR=str(tmp_path))[1][-1] == f"{tmp_path}/zoo.cfg"
    assert storm("zookeeper", "/etc/zoo.cfg")[1][-1] == "/etc/zoo.cfg"


@pytest.mark.parametrize("command", ["list", "kill", "rebalance"])
def test_client_commands_pass_their_words_on(storm, command):
    words = storm(command, "raw", "-w", 1)[1]
    assert words[-3:] == ["raw", "-w", "1"]
    assert words[-4].startswith("org.apache.storm.command.")


def test_a_class_path_of_the_shell_does_not_reach_storm(storm):
    assert storm("list", CLASSPATH="/elsewhere.jar")[1][0] == "CLASSPATH="


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nonsense",), 2),
        (("jar",), 2),
        (("jar", JAR), 2),
        (("local", JAR), 2),
        (("local", JAR, FLUX, "--local-ttl", "soon"), 2),
        (("local", JAR, FLUX, "--local-ttl", "-1"), 2),
    ],
)
def test_words_that_are_wrong_are_told(storm, words, code):
    """Bad input: no such command, words missing, a time that is none, a negative one."""
    found, said, told = storm(*words)
    assert (found, said) == (code, [])
    assert told.startswith("storm: ")


def test_what_is_missing_is_named_with_its_fix(storm, tmp_path):
    for environ in ({"STORM_HOME": ""}, {"STORM_HOME": str(tmp_path / "nowhere")}):
        code, _, told = storm("list", **environ)
        assert (code, "./qold storm env" in told) == (3, True)
    code, _, told = storm("list", PATH=os.fspath(tmp_path))
    assert (code, "sudo apt install" in told) == (3, True)


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077], ids=oct)
def test_what_storm_writes_no_other_user_may_change(storm, mask):
    java = storm.home.parent / "tools" / "java"
    java.write_text("#!/bin/sh\numask\n", "ascii")
    kept = os.umask(mask)
    try:
        code, words, _ = storm("nimbus")
    finally:
        os.umask(kept)
    assert (code, int(words[0], 8)) == (0, mask | 0o022)
