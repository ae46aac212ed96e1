"""`./qold test` that is told to end: nothing it started goes on, and nothing else begins."""

import os
import signal
from pathlib import Path

import pytest

from local.services.guard import descendants
from tests.support.commands import command_line
from tests.support.processes import processes, wait_until


def pytest_below(pid):
    """The pytest that a command has started, if it runs."""
    for found in descendants(pid):
        try:
            words = Path(f"/proc/{found}/cmdline").read_text("utf-8").split("\0")
        except OSError:
            continue
        if words[1:3] == ["-m", "pytest"]:
            return found
    return None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_runs_ends_with_it(tmp_path, number):
    """Ctrl-C reaches its pytest, too, from the terminal; SIGTERM does not."""
    command = command_line("test", "topology", "unit", "--jobs", "1")
    with processes(tmp_path) as running:
        process = running.start("test", ["setsid", *command])
        wait_until(lambda: pytest_below(process.pid), "pytest runs")
        below = descendants(process.pid)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait() == (143 if number == signal.SIGTERM else 130)
        assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
        assert "unit " not in running.log_tail("test")
