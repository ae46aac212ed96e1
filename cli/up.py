"""`./qold up`."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import click
from rich.live import Live

from cli.console import stderr
from cli.errors import FAILED, MISSING, Failure
from cli.options import ROOT, state_option
from cli.status import table
from local.embedded import AlreadyRunning, Supervisor, prepare, state_lock, supervisor_pid
from local.status import statuses
from qold.settings import Settings

READY_WITHIN_S = 60.0
LOOK_S = 0.2
REDRAW_S = 1.0


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when all is ready; ./qold down stops.")
@state_option
def command(detach: bool, settings: Settings) -> int | None:
    """Start Qold on this machine: the log and one process per topology, restarted when they die."""
    if supervisor_pid(settings):
        raise _already(settings, supervisor_pid(settings))
    if detach:
        return _detach(settings)
    return _foreground(settings)


def _foreground(settings: Settings) -> int:
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    try:
        with state_lock(settings):
            prepare(settings)
            supervisor = Supervisor(settings)
            try:
                _watch(settings, supervisor, stopping)
            finally:
                supervisor.stop()
    except AlreadyRunning as exc:
        raise _already(settings, exc.pid) from exc
    stderr.print("stopped; what was stored is kept")
    return 130 if signal.SIGINT in stopping else 0


def _watch(settings: Settings, supervisor: Supervisor, stopping: list[int]) -> None:
    stderr.print(f"Qold is starting in {settings.state_dir}; Ctrl-C stops", highlight=False)
    redraw_at = time.monotonic() + REDRAW_S
    was_ready = False
    with Live(console=stderr, auto_refresh=False) as live:
        while not stopping:
            supervisor.watch()
            time.sleep(LOOK_S)
            if time.monotonic() < redraw_at:
                continue
            redraw_at = time.monotonic() + REDRAW_S
            if stderr.is_terminal:
                live.update(table(statuses(settings)), refresh=True)
            elif not was_ready and all(status.is_ready for status in statuses(settings)):
                was_ready = True
                stderr.print("ready", highlight=False)


def _detach(settings: Settings) -> int:
    logs = Path(settings.state_dir) / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (logs / "up.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--state", settings.state_dir],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_WITHIN_S
    with stderr.status("starting …"):
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise Failure(f"ended at once with {process.returncode}", fix=f"see {logs}/up.log")
            if supervisor_pid(settings) and all(s.is_ready for s in statuses(settings)):
                stderr.print(f"ready; process {process.pid}; ./qold status, ./qold down")
                return 0
            time.sleep(LOOK_S)
    stderr.print(table(statuses(settings)))
    raise Failure(f"not ready within {READY_WITHIN_S:.0f} s", fix=f"see {logs}", exit_code=FAILED)


def _already(settings: Settings, pid: int) -> Failure:
    return Failure(
        f"already running in {settings.state_dir} (process {pid})",
        fix="./qold down, or another --state DIR",
        exit_code=MISSING,
    )
