"""`./qold test`: it ends with all that it started, and leaves out what this machine cannot run."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from local.services.guard import descendants
from local.tools import TOOLS
from tests.support.commands import command_line, environment
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


def test_a_group_that_this_machine_cannot_run_is_left_out_with_the_command_that_provides_it(
    tmp_path,
):
    """On a PATH that has only what Qold's own start needs."""
    for name in ("git", "sh", "ps"):
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    done = subprocess.run(
        command_line("test", "storm"),
        env=environment(PATH=tmp_path, CI=""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "storm        left out  0 passed, 0 failed" in done.stderr
    packages = [
        tool.package for tool in TOOLS if not shutil.which(tool.program, path=str(tmp_path))
    ]
    assert all(package in done.stderr for package in packages)
    assert "0 passed, 0 failed" in done.stdout
