"""./qold up, status and down, and a reading's whole way through processes of their own."""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.embedded import AlreadyRunning, lock_path, state_lock, supervisor_pid
from local.services.listening import listeners
from local.simulator.serial_line import SerialLine
from local.topologies import topology_names
from qold.clock import SystemClock
from qold.settings import Settings
from qold.wire import Frame, Item, encode
from tests.support.commands import command_line, json_lines, qold
from tests.support.processes import Processes, is_alive, processes, wait_until

TOPOLOGIES = set(topology_names())
OPEN_TO_THE_NETWORK = """
import socket, sys
if "up" in sys.orig_argv and "-d" not in sys.orig_argv:
    listener = socket.create_server(("0.0.0.0", 0))
"""
KEYS = {"name", "ready", "detail", "lag", "memory_mb", "addresses", "counters"}
STORES = {"log", "registry", "raw store", "reading store"}


class State:
    """A state folder of its own, with the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "qold.toml").write_text("window_ms = 500\n", "utf-8")
        self.settings = Settings.load(folder, {})

    def run(self, *words: object, code: int = 0) -> str:
        """A command's stdout."""
        return qold(*words, "--state", self.folder, code=code).stdout

    def supervisor(self) -> int:
        return supervisor_pid(self.settings)

    def components(self, code: int = 0) -> dict[str, dict[str, Any]]:
        """What `status --json` tells, by component."""
        (found,) = json_lines(self.run("status", "--json", code=code))
        return {component["name"]: component for component in found}

    def pretend(self, name: str, pid: int) -> None:
        """Have a topology's status come from that process, just now."""
        file = self.folder / "run" / f"{name}.json"
        told = json.loads(file.read_text("utf-8"))
        now_ms = SystemClock().wall_ms()
        file.write_text(json.dumps({**told, "pid": pid, "written_at_ms": now_ms}), "utf-8")

    def topology_pid(self, name: str) -> int:
        file = self.folder / "run" / f"{name}.json"
        return int(json.loads(file.read_text("utf-8"))["pid"]) if file.exists() else 0

    def topology_pids(self) -> list[int]:
        return [self.topology_pid(name) for name in TOPOLOGIES]

    def points(self, device_id: int, metric: str = "temperature") -> list[float]:
        """The values that `query` shows."""
        words = ("query", device_id, "--metric", metric, "--format", "json")
        return [point["value"] for point in json_lines(self.run(*words))]

    def close(self) -> None:
        """End what `up -d` left running."""
        for pid in [self.supervisor(), *self.topology_pids()]:
            if pid and is_ours(pid, self.folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: not is_alive(pid), "it is gone")


def is_ours(pid: int, folder: Path) -> bool:
    """True for a process that was started with this state folder."""
    try:
        return os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.fixture
def new_state(tmp_path: Path) -> Iterator[Callable[[str], State]]:
    with contextlib.ExitStack() as stack:

        def make(name: str = "state") -> State:
            state = State(tmp_path / name)
            stack.callback(state.close)
            return state

        yield make


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path) as started:
        yield started


class Shop:
    """A gateway in processes of its own, and the devices on its serial line."""

    def __init__(self, state: State, folder: Path, running: Processes) -> None:
        self.config = folder / "gateway.toml"
        state.run("gateway", "create", "--write", self.config)
        created = state.run("device", "create", "--count", 3, "--json")
        self.devices = json_lines(created)
        self.line = SerialLine()
        self._running = running
        self._status = folder / "gateway-status" / "input.json"
        self._sequence = 0

    def open(self) -> None:
        """Start both; what was written before the line is open would be lost."""
        gateway = ("gateway", "input", "--config", self.config, "--port", self.line.path)
        self._running.start("input", command_line(*gateway))
        self._running.start("output", command_line("gateway", "output", "--config", self.config))
        wait_until(self._is_open, "the line is open")

    def send(self, device: dict[str, Any], *centi: int) -> None:
        """One frame with a measurement per value, until it is acknowledged."""
        age_s = len(centi) * 60
        items = tuple(Item(age_s - 60 * n, value, 88) for n, value in enumerate(centi))
        frame = Frame(device["id"], device["auth"], self._sequence, items)
        self._sequence += len(centi)
        self.line.send(encode(frame))
        wait_until(lambda: frame.ack() in self.line.exchange(), "an ack")

    def close(self) -> None:
        """Both end cleanly."""
        assert self._running.stop("input") == 0
        assert self._running.stop("output") == 0
        self.line.close()

    def _is_open(self) -> bool:
        return self._status.exists() and json.loads(self._status.read_text("utf-8"))["port"]["open"]


def test_a_reading_goes_all_the_way_in_processes_of_their_own(
    new_state: Callable[..., State], running: Processes, tmp_path: Path
) -> None:
    """Also after a topology was killed; what was refused goes the rest of it once its cause is gone."""
    state = new_state()
    state.run("up", "-d")
    shop = Shop(state, tmp_path, running)
    assert [device["id"] for device in shop.devices] == [1, 2, 3]
    assert {frozenset(device) for device in shop.devices} == {frozenset({"id", "auth", "state"})}
    assert shop.config.stat().st_mode & 0o777 == 0o600
    shop.open()
    running.start("tail", command_line("tail", "readings", "-f", "--json", "--state", state.folder))
    first, second, third = shop.devices

    shop.send(first, 421, 433, -1850)
    shop.send(second, 5)
    wait_until(lambda: state.points(1) == [4.21, 4.33, -18.5], "query shows the readings")
    wait_until(lambda: state.points(2, "battery") == [88], "query shows the battery")

    killed = {name: state.topology_pid(name) for name in TOPOLOGIES}
    for pid in killed.values():
        os.kill(pid, signal.SIGKILL)
    shop.send(first, 444)
    shop.send(third, 7)
    wait_until(lambda: state.points(1) == [4.21, 4.33, -18.5, 4.44], "what was sent afterwards")
    wait_until(lambda: state.points(3) == [0.07], "and of the other device")
    for name in TOPOLOGIES:
        wait_until(lambda name=name: state.topology_pid(name) != killed[name], f"{name} is back")

    state.run("device", "disable", 2)
    shop.send(second, 6)
    wait_until(lambda: "inactive" in state.run("rejected", "list", "--json"), "it is refused")
    state.run("device", "enable", 2)
    redriven = json.loads(state.run("rejected", "redrive", "--reason", "inactive", "--json"))
    assert redriven == {"published": 1, "earlier": 0, "still": {}}
    shop.send(second, 8)
    wait_until(lambda: state.points(2) == [0.05, 0.06, 0.08], "the redriven one, and the next")

    shop.close()
    assert running.stop("tail", signal.SIGINT) == 130
    tailed = [json.loads(record["value"]) for record in json_lines(running.output("tail"))]
    assert sorted(record["device"]["id"] for record in tailed) == [1, 1, 1, 1, 2, 2, 2, 3]
    state.run("down")
    assert state.points(1) == [4.21, 4.33, -18.5, 4.44], "the state stays"


def test_status_tells_each_component(new_state: Callable[..., State]) -> None:
    """Exit code 0 only while all are ready; a second `up` says so and exits 3."""
    state = new_state()
    assert state.components(code=1).keys() == {"up"}
    started = qold("up", "-d", "--state", state.folder)
    assert str(state.supervisor()) in started.stderr
    assert listeners(state.supervisor()) == [], "not even on loopback"
    found = state.components()
    assert found.keys() == STORES | TOPOLOGIES
    for name, component in found.items():
        assert component.keys() == KEYS
        assert component["ready"] is True
        assert component["lag"] == (0 if name in TOPOLOGIES else None)
    told = qold("status", "--state", state.folder)
    assert all(name in told.stderr for name in found)
    assert told.stdout == "", "a table is for people"

    for words in (("up",), ("up", "-d")):
        again = qold(*words, "--state", state.folder, code=3)
        assert f"already running in {state.folder} (process {state.supervisor()})" in again.stderr
    pids = state.topology_pids()
    state.run("down")
    assert not any(is_alive(pid) for pid in pids)
    assert state.supervisor() == 0
    assert [name for name, one in state.components(code=1).items() if not one["ready"]] == sorted(
        TOPOLOGIES
    )
    assert "nothing runs" in qold("down", "--state", state.folder).stderr


@pytest.mark.parametrize("options", [(), ("-d",)])
def test_it_is_not_ready_while_one_of_its_processes_listens_beyond_loopback(
    new_state: Callable[..., State], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Python itself opens the socket as the process of `up` starts; what was started is ended."""
    (tmp_path / "sitecustomize.py").write_text(OPEN_TO_THE_NETWORK, "utf-8")
    state = new_state()
    path = f"{tmp_path}:{os.environ['PYTHONPATH']}"
    done = qold("up", *options, "--state", state.folder, code=1, PYTHONPATH=path)
    told = " ".join(done.stderr.split())
    assert "listens beyond loopback: python" in told
    assert " on tcp 0.0.0.0 port " in told
    assert "ready; process" not in told
    assert state.supervisor() == 0
    wait_until(lambda: not any(map(is_alive, state.topology_pids())), "the topologies end")


def test_two_states_live_side_by_side(new_state: Callable[..., State], running: Processes) -> None:
    """In the foreground; SIGTERM ends one and SIGINT the other, each with all of its processes."""
    one, two = new_state("one"), new_state("two")
    for state in (one, two):
        running.start(state.folder.name, command_line("up", "--state", state.folder))
    for name in ("one", "two"):
        wait_until(lambda name=name: "ready" in running.log_tail(name).split(), f"{name} is ready")
    one.run("device", "create", "--count", 2)
    assert len(one.run("device", "list", "--json").splitlines()) == 2
    assert two.run("device", "list", "--json") == ""
    first, second = one.topology_pids(), two.topology_pids()
    assert not set(first) & set(second)

    assert running.stop("one", signal.SIGTERM) == 0
    assert not any(is_alive(pid) for pid in first)
    assert "what was stored is kept" in running.log_tail("one")
    assert two.components()["raw"]["ready"]
    assert running.stop("two", signal.SIGINT) == 130
    assert not any(is_alive(pid) for pid in second)
    assert running.output("one") == running.output("two") == "", "stdout is for data"


def test_topologies_run_together_in_one_process(
    new_state: Callable[..., State], running: Processes
) -> None:
    """Without `up`, as under another supervisor; Ctrl-C is told from being asked to stop."""
    state = new_state()
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        process = running.start("run", command_line("run", *TOPOLOGIES, "--state", state.folder))
        wait_until(lambda pid=process.pid: set(state.topology_pids()) == {pid}, "all run")
        assert running.stop("run", number) == code
    assert "stopped" in running.log_tail("run")
    told = qold("run", "raw", "nonsense", "--state", state.folder, code=2).stderr
    assert f"no topology nonsense; there is: {', '.join(sorted(TOPOLOGIES))}" in told


def test_only_one_of_two_that_start_together_wins(
    new_state: Callable[..., State], running: Processes
) -> None:
    state = new_state()
    started = {
        name: running.start(name, command_line("up", "--state", state.folder))
        for name in ("one", "two")
    }
    wait_until(lambda: any(p.poll() is not None for p in started.values()), "one gives up")
    wait_until(
        lambda: "ready" in running.log_tail("one").split() + running.log_tail("two").split(),
        "the other is ready",
    )
    (loser,) = (name for name, process in started.items() if process.poll() is not None)
    (winner,) = started.keys() - {loser}
    assert started[loser].returncode == 3
    assert state.supervisor() == started[winner].pid
    assert running.stop(winner) == 0


def test_the_topologies_end_with_a_killed_supervisor(new_state: Callable[..., State]) -> None:
    """However it ends; afterwards the state can be started again."""
    state = new_state()
    state.run("up", "-d")
    pids = state.topology_pids()
    os.kill(state.supervisor(), signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "the topologies end")
    assert not state.components(code=1)["raw"]["ready"]
    for name in TOPOLOGIES:  # a process that lives by now may have the number of one that died
        state.pretend(name, os.getpid())
    state.run("up", "-d")
    assert not {os.getpid(), *pids} & set(state.topology_pids())
    state.run("down")


def test_a_look_at_the_status_does_not_keep_up_from_starting(
    new_state: Callable[..., State], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock for a moment, as a shared one; `up` waits for that."""
    settings = new_state().settings
    asking = lock_path(settings).open("a")
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr("local.embedded.time.sleep", lambda seconds: asking.close())
    with state_lock(settings):
        assert asking.closed
        assert supervisor_pid(settings) == os.getpid()
        with pytest.raises(AlreadyRunning, match=str(os.getpid())), state_lock(settings):
            pytest.fail("two hold it")
    assert supervisor_pid(settings) == 0
