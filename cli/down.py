"""`./qold down`."""

import os
import signal
import time

import click

from cli.console import stderr
from cli.errors import Failure
from cli.options import state_option
from local.embedded import supervisor_pid
from qold.settings import Settings

WITHIN_S = 120.0  # Cassandra writes out what it holds in memory
LOOK_S = 0.05


@click.command()
@state_option
def command(settings: Settings) -> None:
    """Stop what `up` started in this state folder; nothing to stop is no error."""
    pid = supervisor_pid(settings)
    if not pid:
        stderr.print(f"nothing runs in {settings.state_dir}")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + WITHIN_S
    while supervisor_pid(settings) == pid:
        if time.monotonic() > deadline:
            raise Failure(f"process {pid} has not stopped within {WITHIN_S:.0f} s")
        time.sleep(LOOK_S)
    stderr.print("stopped")
