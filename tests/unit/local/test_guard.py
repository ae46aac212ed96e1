"""Whatever a guarded command started is gone when the guard is, however it is told to end."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import is_alive, processes, wait_until

GUARD = Path(__file__).resolve().parents[3] / "local" / "services" / "guard.py"
# Starts a process that has left it (setsid, its own parent gone), tells both pids, and waits.
LEAVES_A_WORKER = 'setsid sh -c "echo \\$\\$; exec sleep 1000" & echo $$; exec sleep 1000'


@pytest.fixture
def guard(tmp_path):
    """Start a guarded shell script; returns its process and the pids the script tells."""
    with processes(tmp_path) as started:

        def run(script, *options, count=2):
            command = [sys.executable, str(GUARD), *options, "/bin/sh", "-c", script]
            process = started.start("guard", command)
            wait_until(lambda: len(started.output("guard").split()) >= count, "pids")
            return process, [int(pid) for pid in started.output("guard").split()]

        run.output = lambda: started.output("guard").split()
        run.stop = lambda number=signal.SIGTERM: started.stop("guard", number)
        yield run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_everything(guard, number):
    _, pids = guard(LEAVES_A_WORKER)
    assert guard.stop(number) == 0
    assert not [pid for pid in pids if is_alive(pid)]


def test_what_the_command_left_behind_survives_it_and_ends_with_the_guard(guard):
    """As Storm's workers do: the Supervisor is killed and started again, its workers work on."""
    process, pids = guard(LEAVES_A_WORKER)
    parents = {pid: parent_of(pid) for pid in pids}
    command = next(pid for pid, parent in parents.items() if parent == process.pid)
    worker = next(pid for pid in pids if pid != command)
    os.kill(command, signal.SIGKILL)
    wait_until(lambda: len(guard.output()) >= 4, "the command is started again")
    assert is_alive(worker)
    guard.stop()
    assert not [pid for pid in map(int, guard.output()) if is_alive(pid)]


def test_once_it_ends_with_its_command_and_as_that_did(guard):
    process, pids = guard("sleep 1000 & echo $!; exit 7", "--once", count=1)
    assert process.wait(60) == 7
    assert not is_alive(pids[0])


def test_once_a_command_that_is_killed_is_told(guard):
    process, _ = guard("echo $$; kill -9 $$", "--once", count=1)
    assert process.wait(60) != 0


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
