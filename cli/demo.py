"""`./qold demo`."""

import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

import click
from click.core import ParameterSource

from cli.console import stderr
from cli.demo_run import run, run_full
from cli.errors import NOT_MET, USAGE, Failure
from cli.options import ROOT, json_option, known_names
from cli.signals import unwind_on_sigterm
from local.console import print_json
from local.demo_embedded import EmbeddedWorld
from local.demo_outcome import Outcome, Plan
from local.simulator.alerts_file import write_alerts
from local.simulator.bounds import Bounds
from local.simulator.csv_file import RecordingError, check_output
from local.simulator.faults import FAULTS
from local.simulator.limits_file import read_limits_file
from local.simulator.recording import RecordedUnit, read_recording
from local.simulator.refrigerator import Refrigerator, Source
from qold.private_files import check_folder
from qold.settings import Settings

START_S = 1_795_456_000 // 86_400 * 86_400
MAX_DEVICES, MAX_GATEWAYS = 5000, 500
MEMORY = "/dev/shm"  # noqa: S108  # a folder of its own is made in it
BYTES_A_READING = 10_000
SCALE, MAX_SCALE = 60, 120
NOT_IN_REAL_TIME = {
    "late": "which alerts late readings call for depends on what one poll of the log happens to hold",
    "restart": "how long Storm takes to start a worker again is not told; ./qold test faults kills them",
}


def _number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if math.isnan(value):  # no range refuses it
        raise click.BadParameter("nan is not a number")
    return value


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["embedded", "full"]),
    default="embedded",
    show_default=True,
    help="full: in real time, on the servers of ./qold up --profile full.",
)
@click.option(
    "--scale",
    type=click.IntRange(1, MAX_SCALE),
    help=f"With --profile full, so many times as fast as real time (default: {SCALE}).",
)
@click.option("--devices", type=click.IntRange(1, MAX_DEVICES), default=60, show_default=True)
@click.option("--gateways", type=click.IntRange(1, MAX_GATEWAYS), default=4, show_default=True)
@click.option(
    "--hours",
    type=click.FloatRange(0.25, 24 * 31),
    callback=_number,
    default=24,
    show_default=True,
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    callback=_number,
    default=3600,
    show_default=True,
    help="Simulated seconds per second; 0 is as fast as it goes. Not with --profile full.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--faults",
    callback=known_names("fault", FAULTS),
    default="",
    metavar="LIST",
    help=f"Of: {', '.join(FAULTS)}.",
)
@click.option(
    "--input",
    "recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Send measured data instead: unit,time_unix,temp_c[,battery|battery_v][,door|door_s].",
)
@click.option(
    "--limits",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Limits of what --input sends: unit,min,max[,delay_s][,hysteresis]; blank is no check.",
)
@click.option(
    "--alerts-out",
    "alerts_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Write every excursion and silence, and when it was told.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the stores in DIR, for ./qold query --state DIR.",
)
@click.option(
    "--state",
    metavar="DIR",
    default=str(ROOT / "var"),
    envvar="QOLD_STATE",
    help="With --profile full, the folder whose servers run (default: var/ beside ./qold).",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    profile: str,
    scale: int | None,
    devices: int,
    gateways: int,
    hours: float,
    speed: float,
    seed: int,
    faults: tuple[str, ...],
    recording: Path | None,
    limits: Path | None,
    alerts_file: Path | None,
    keep: Path | None,
    state: str,
    as_json: bool,
) -> int:
    """Simulate a fleet and send it through everything, live on the screen.

    Devices speak real frames over serial lines to the real gateway code; the real topologies store
    what arrives and tell people of what is wrong; an oracle checks every stored value and every
    alert. Exit code 0 when all is exact, 4 when not.

    With --profile full the same traffic goes through Kafka, Storm, Cassandra, KairosDB and Redis of
    the --state folder, in topics, keyspaces and topologies of its own, which are removed at the end:
    a day in 24 minutes, --hours 2 in two. --keep leaves them until the next demo.
    """
    is_full = profile == "full"
    if is_full:
        if ctx.get_parameter_source("speed") == ParameterSource.COMMANDLINE:
            raise Failure("--speed is for --profile embedded", fix="--scale", exit_code=USAGE)
        for name in faults:
            if name in NOT_IN_REAL_TIME:
                raise Failure(
                    f"--faults {name}: not with --profile full: {NOT_IN_REAL_TIME[name]}",
                    exit_code=USAGE,
                )
    elif scale is not None:
        raise Failure("--scale is for --profile full", fix="--speed", exit_code=USAGE)
    sources: list[Source]
    if limits is not None and recording is None:
        raise Failure("--limits is for --input", fix="add --input FILE.csv", exit_code=USAGE)
    try:
        if alerts_file is not None:
            check_output(alerts_file)
        if recording is None:
            sources = [
                Refrigerator(number, seed=seed, start_s=START_S, hours=hours)
                for number in range(devices)
            ]
        else:
            units = read_recording(recording)
            if limits is not None:
                _limit(units, read_limits_file(limits), limits)
            sources = list(units)
    except RecordingError as exc:
        raise Failure(str(exc), exit_code=USAGE) from exc
    if not any(True for source in sources for _ in source.sendings()):
        raise Failure("no device sends within these --hours", exit_code=USAGE)
    plan = Plan(sources=sources, gateways=gateways, seed=seed, speed=speed, faults=faults)
    if keep is not None:
        _check_kept(keep)
    unwind_on_sigterm()
    if is_full:
        outcome = run_full(
            plan, Settings.load(state), scale or SCALE, keep, is_recorded=recording is not None
        )
        return _end(outcome, keep, alerts_file, as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="qold-demo-", dir=_quick_folder(plan)) as temporary:
        world = EmbeddedWorld(plan, Settings.load(keep or temporary, {}))
        outcome = run(plan, world, is_recorded=recording is not None)
    return _end(outcome, keep, alerts_file, as_json=as_json)


def _end(outcome: Outcome, keep: Path | None, alerts_file: Path | None, *, as_json: bool) -> int:
    if alerts_file is not None:
        try:
            write_alerts(alerts_file, outcome.told)
        except RecordingError as exc:
            raise Failure(str(exc)) from exc
    _tell(outcome, keep)
    if as_json:
        print_json(outcome.as_dict())
    return 0 if outcome.is_exact else NOT_MET


def _quick_folder(plan: Plan) -> str | None:
    """Memory, for a demo that is thrown away and fits: nobody needs it to be durable."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return None
    readings = sum(len(it.measurements) for source in plan.sources for it in source.sendings())
    needed = readings * BYTES_A_READING
    return MEMORY if 2 * needed < shutil.disk_usage(MEMORY).free else None


def _check_kept(folder: Path) -> None:
    """Raises `Failure` for what is no empty folder, and `NotPrivate` for one of another user."""
    if folder.is_dir() or not folder.exists():
        check_folder(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise Failure(
            f"--keep {folder}: not an empty folder", fix="name a new folder", exit_code=USAGE
        )


def _limit(units: list[RecordedUnit], limits: dict[str, Bounds], path: Path) -> None:
    for unit in units:
        unit.bounds = limits.pop(unit.unit, unit.bounds)
    for name in limits:
        stderr.print(f"qold: {path}: {name} is not in the recording")


def _tell(outcome: Outcome, keep: Path | None) -> None:
    verdict, ledger = outcome.verdict, outcome.ledger
    rejected = ", ".join(f"{count} {reason}" for reason, count in verdict.rejected.items())
    stored = ", ".join(f"{count} {name}" for name, count in verdict.stored.items())
    lost = verdict.missing
    say = stderr.print
    say(f"sent {ledger.sent}, acknowledged {ledger.acknowledged} readings")
    say(f"stored {stored}; rejected {rejected or 'none'}")
    say(
        f"link: {outcome.link['crc_errors']} damaged frames, {outcome.link['repeats']} repeats",
    )
    alerts = ", ".join(f"{count} {kind}" for kind, count in outcome.alerts.alerts.items())
    say(
        f"alerts: {alerts or 'none'}; {outcome.alerts.notifications} messages to people",
    )
    if outcome.is_exact:
        say("Every reading is where it must be, down to each value and time.", style="green")
        say("Every alert that is called for was told, and no other.", style="green")
    else:
        say(
            f"{lost} missing, {verdict.unexpected} unexpected,"
            f" {verdict.duplicates} duplicates; {outcome.alerts.missing} alerts missing,"
            f" {outcome.alerts.unexpected} unexpected",
            style="red",
        )
        for example in [*verdict.examples, *outcome.alerts.examples]:
            say(f"  {example}")
    state = f" --state {keep}" if keep else ""
    if keep:
        say(f"Next: ./qold query 1{state} --format plot")
    else:
        say(
            "Next: ./qold demo --keep DIR keeps the data to query; ./qold up starts Qold for good",
        )
    sys.stderr.flush()
