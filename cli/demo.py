"""`./qold demo`."""

import json
import math
import sys
import tempfile
from pathlib import Path

import click

from cli.console import stderr
from cli.errors import NOT_MET, USAGE, Failure
from cli.options import json_option
from local.demo import Demo, Outcome, Plan
from local.demo_view import LineView, LiveView
from local.simulator.faults import FAULTS, TooShort
from local.simulator.recording import RecordingError, read_recording
from local.simulator.refrigerator import Refrigerator, Source
from qold.settings import Settings

START_S = 1_795_456_000 // 86_400 * 86_400
MAX_DEVICES, MAX_GATEWAYS = 5000, 500


def _faults(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise click.BadParameter(f"no fault {', '.join(unknown)}; there is: {', '.join(FAULTS)}")
    return names


def _number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if math.isnan(value):  # no range refuses it
        raise click.BadParameter("nan is not a number")
    return value


@click.command()
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
    help="Simulated seconds per second; 0 is as fast as it goes.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--faults", callback=_faults, default="", metavar="LIST", help=f"Of: {', '.join(FAULTS)}."
)
@click.option(
    "--input",
    "recording",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Send measured data instead: unit,time_unix,temp_c[,battery|battery_v][,door|door_s].",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the stores in DIR, for ./qold query --state DIR.",
)
@json_option
def command(
    devices: int,
    gateways: int,
    hours: float,
    speed: float,
    seed: int,
    faults: tuple[str, ...],
    recording: Path | None,
    keep: Path | None,
    as_json: bool,
) -> int:
    """Simulate a fleet and send it through everything, live on the screen.

    Devices speak real frames over serial lines to the real gateway code; the real topologies store
    what arrives; an oracle checks every stored value. Exit code 0 when all is exact, 4 when not.
    """
    sources: list[Source]
    try:
        if recording is None:
            sources = [
                Refrigerator(number, seed=seed, start_s=START_S, hours=hours)
                for number in range(devices)
            ]
        else:
            sources = list(read_recording(recording))
    except RecordingError as exc:
        raise Failure(str(exc), exit_code=USAGE) from exc
    if not any(True for source in sources for _ in source.sendings()):
        raise Failure("no device sends within these --hours", exit_code=USAGE)
    plan = Plan(sources=sources, gateways=gateways, seed=seed, speed=speed, faults=faults)
    if keep is not None and keep.exists() and not (keep.is_dir() and not any(keep.iterdir())):
        raise Failure(
            f"--keep {keep}: not an empty folder", fix="name a new folder", exit_code=USAGE
        )
    with tempfile.TemporaryDirectory(prefix="qold-demo-") as temporary:
        outcome = _run(
            plan, Settings.load(keep or temporary, {}), is_recorded=recording is not None
        )
    _tell(outcome, keep)
    if as_json:
        click.echo(json.dumps(outcome.as_dict()))
    return 0 if outcome.is_exact else NOT_MET


def _run(plan: Plan, settings: Settings, *, is_recorded: bool) -> Outcome:
    view = LiveView(stderr) if stderr.is_terminal else LineView(stderr)
    with view:
        view.show_units = is_recorded
        try:
            return Demo(plan, settings, view).run()
        except TooShort as exc:
            raise Failure(str(exc), exit_code=USAGE) from exc


def _tell(outcome: Outcome, keep: Path | None) -> None:
    verdict, ledger = outcome.verdict, outcome.ledger
    rejected = ", ".join(f"{count} {reason}" for reason, count in verdict.rejected.items())
    stored = ", ".join(f"{count} {name}" for name, count in verdict.stored.items())
    lost = verdict.missing
    say = stderr.print
    say(f"sent {ledger.sent}, acknowledged {ledger.acknowledged} readings", highlight=False)
    say(f"stored {stored}; rejected {rejected or 'none'}", highlight=False)
    say(
        f"link: {outcome.link['crc_errors']} damaged frames, {outcome.link['repeats']} repeats",
        highlight=False,
    )
    if outcome.is_exact:
        say("[green]Every reading is where it must be, down to each value and time.[/]")
    else:
        say(
            f"[red]{lost} missing, {verdict.unexpected} unexpected,"
            f" {verdict.duplicates} duplicates[/]"
        )
        for example in verdict.examples:
            say(f"  {example}", markup=False, highlight=False)
    state = f" --state {keep}" if keep else ""
    if keep:
        say(f"Next: ./qold query 1{state} --format plot", markup=False, highlight=False)
    else:
        say(
            "Next: ./qold demo --keep DIR keeps the data to query; ./qold up starts Qold for good",
            markup=False,
            highlight=False,
        )
    sys.stderr.flush()
