"""`./qold up`."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.live import Live

from cli.console import stderr
from cli.errors import FAILED, MISSING, USAGE, Failure
from cli.options import ROOT, state_option
from cli.prerequisites import check_tools
from cli.progress import StartProgress
from cli.status import table
from local.embedded import AlreadyRunning, state_lock, supervisor_pid
from local.programs import Keeper, open_log
from local.services.exact_folder import ArtifactsError
from local.services.listening import beyond_loopback
from local.services.profiles import Stack
from local.services.servers import NotReady, Stopped
from local.status import statuses
from local.storm_submission import SubmissionError
from local.supervision import note_processes, stack_of, start
from qold.private_files import make_folder
from qold.settings import PROFILES, Settings

EMBEDDED_READY_S, SERVERS_READY_S = 60.0, 1800.0
LOOK_S = 0.2
THESIS_IS_OPEN = (
    "profile thesis: every user of this machine may read, write and delete what is on Kafka, tokens"
    " of gateways and devices included; it is there to compare with the source only"
)
REDRAW_S = 1.0


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return when all is ready; ./qold down stops.")
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="full: Storm, Kafka, Cassandra, KairosDB, Redis, nginx; kafka, storage: a half of it;"
    " thesis: Kafka with the source's doors; embedded: none (default: as last time here).",
)
@click.option("--brokers", type=click.Choice(["1", "3"]), help="Kafka brokers of a new state.")
@state_option
def command(
    detach: bool, profile: str | None, brokers: str | None, settings: Settings
) -> int | None:
    """Start Qold on this machine: servers, log and topologies, restarted when they die."""
    if supervisor_pid(settings):
        raise _already(settings, supervisor_pid(settings))
    settings = replace(
        settings,
        profile=profile or settings.profile,
        brokers=int(brokers or settings.brokers),
    )
    if settings.brokers not in (1, 3):
        raise Failure(f"{settings.brokers} brokers; there are 1 or 3", exit_code=USAGE)
    found = stack_of(settings)
    check_tools(f"profile {found.profile}", found)
    if found.profile == "thesis":
        stderr.print(THESIS_IS_OPEN, style="yellow")
    if detach:
        return _detach(settings)
    return _foreground(settings, found)


def _foreground(settings: Settings, found: Stack) -> int:
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    try:
        with state_lock(settings):
            keeper = Keeper(Path(settings.state_dir) / "logs")
            try:
                stderr.print(f"Qold is starting in {settings.state_dir}; Ctrl-C stops")
                with StartProgress() as tell:
                    start(found, settings, keeper, tell=tell, is_stopping=lambda: bool(stopping))
                _watch(Settings.load(settings.state_dir), keeper, stopping)
            except Stopped:
                pass
            except (ArtifactsError, NotReady, SubmissionError) as exc:
                message, _, fix = str(exc).partition("\nfix: ")
                if not stopping:  # else it was cut off by the Ctrl-C that it got, too
                    logs = f"see {settings.state_dir}/logs"
                    code = MISSING if isinstance(exc, ArtifactsError) else FAILED
                    raise Failure(message, fix=fix or logs, exit_code=code) from exc
            finally:
                keeper.stop()
    except AlreadyRunning as exc:
        raise _already(settings, exc.pid) from exc
    stderr.print("stopped; what was stored is kept")
    return 130 if signal.SIGINT in stopping else 0


def _watch(settings: Settings, keeper: Keeper, stopping: list[int]) -> None:
    redraw_at = time.monotonic() + REDRAW_S
    was_ready = False
    with Live(console=stderr, auto_refresh=False) as live:
        while not stopping:
            keeper.watch()
            time.sleep(LOOK_S)
            if time.monotonic() < redraw_at:
                continue
            redraw_at = time.monotonic() + REDRAW_S
            note_processes(settings, keeper)
            if was_ready and not stderr.is_terminal:
                continue
            found = statuses(settings)
            if not was_ready and all(status.is_ready for status in found):
                was_ready = True
                refuse_open_sockets(os.getpid())
                if not stderr.is_terminal:
                    stderr.print("ready")
            if stderr.is_terminal:
                live.update(table(found), refresh=True)


def refuse_open_sockets(pid: int) -> None:
    """Raise `Failure` when a process of this tree listens where other machines could reach it."""
    found = beyond_loopback(pid)
    if found:
        raise Failure(
            f"listens beyond loopback: {'; '.join(map(str, found))}",
            fix="stop that process; if Qold started it, please report it (SECURITY.md)",
            exit_code=FAILED,
        )


def _detach(settings: Settings) -> int:
    logs = Path(settings.state_dir) / "logs"
    make_folder(logs)
    told = logs / "up.log"
    words = ["--profile", settings.profile, "--brokers", str(settings.brokers)]
    seen = told.stat().st_size if told.exists() else 0
    with open_log(told) as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", *words, "--state", settings.state_dir],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,
        )
    is_embedded = settings.profile == "embedded"
    patience_s = EMBEDDED_READY_S if is_embedded else SERVERS_READY_S
    deadline = time.monotonic() + patience_s
    with stderr.working("starting …") as tell:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                code = MISSING if process.returncode == MISSING else FAILED
                what = _final_error(told, seen) or f"ended at once with {process.returncode}"
                raise Failure(what, fix=f"see {told}", exit_code=code)
            last = _last_line(told, seen)
            if last and not is_embedded:
                tell(f"starting … {last}")
            if supervisor_pid(settings) and _all_ready(settings):
                try:
                    refuse_open_sockets(process.pid)
                except Failure:
                    process.terminate()
                    process.wait()
                    raise
                stderr.print(f"ready; process {process.pid}; ./qold status, ./qold down")
                return 0
            time.sleep(LOOK_S if is_embedded else REDRAW_S)
    stderr.print(table(statuses(settings)))
    raise Failure(f"not ready within {patience_s:.0f} s", fix=f"see {logs}", exit_code=FAILED)


def _all_ready(settings: Settings) -> bool:
    now = Settings.load(settings.state_dir)
    return now.profile == settings.profile and all(status.is_ready for status in statuses(now))


def _last_line(path: Path, seen: int) -> str:
    return _text(path, seen).strip().rpartition("\n")[2]


def _final_error(path: Path, seen: int) -> str:
    """What the process said was wrong, "" if it said nothing; its lines are wrapped."""
    _, mark, error = _text(path, seen).rpartition("qold: ")
    return " ".join(error.partition("fix: ")[0].split()) if mark else ""


def _text(path: Path, seen: int) -> str:
    with path.open("rb") as file:
        file.seek(seen)
        return file.read().decode("utf-8", "replace")


def _already(settings: Settings, pid: int) -> Failure:
    return Failure(
        f"already running in {settings.state_dir} (process {pid})",
        fix="./qold down, or another --state DIR",
        exit_code=MISSING,
    )
