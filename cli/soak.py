"""`./qold soak`."""

import shutil
import tempfile
from pathlib import Path

import click

from cli.console import stderr
from cli.errors import NOT_MET, USAGE, Failure
from cli.options import json_option, known_names, markdown_option, typed_command
from cli.prerequisites import check_tools
from cli.signals import unwind_on_sigterm
from local.bench.page import describe_machine
from local.console import print_json, print_text
from local.services.place import Place
from local.services.profiles import stack
from local.soak.faults import FAULTS, usual
from local.soak.page import figures, page, table, verdict
from local.soak.soak import run
from local.soak.traffic import LEAST_RATE, RATE
from qold.clock import SystemClock
from qold.private_files import check_folder


@click.command(epilog="Faults: " + "; ".join(f"{f.name}: {f.meaning}" for f in FAULTS.values()))
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    help="Begin no fault after so long.",
)
@click.option("--rounds", type=click.IntRange(1), help="Each fault so many times, instead.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--rate",
    type=click.IntRange(LEAST_RATE),
    default=RATE,
    show_default=True,
    help="Readings a second.",
)
@click.option(
    "--faults",
    "names",
    callback=known_names("fault", FAULTS),
    default="",
    help="Only these, with commas.",
)
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="A new folder for stores and logs, which stays (default: a temporary one).",
)
@markdown_option("Also write a page with the table and the machine, as docs/faults.md.")
@json_option
def command(
    minutes: float,
    rounds: int | None,
    seed: int,
    rate: int,
    names: tuple[str, ...],
    brokers: str,
    state: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> int:
    """Kill and stop everything of a real stack, under traffic, and look for what is lost.

    Starts servers and topologies of its own as `up --profile full` does, sends readings all
    the while, and strikes one thing after the other, each when the one before is worked off. Exit
    code 0 when every reading is where it must be, once, after each fault everything answered within
    5 minutes and was worked off within 15, and what a hostile gateway did stayed within its bounds of
    memory, disk and refusals; 4 when not.
    """
    chosen = names or tuple(usual(int(brokers), 10**6 if rounds else minutes))
    few = [name for name in chosen if FAULTS[name].brokers > int(brokers)]
    if few:
        raise Failure(f"{', '.join(few)}: with --brokers 3", exit_code=USAGE)
    if state is not None:
        check_folder(state)
    if state is not None and state.exists() and any(state.iterdir()):
        raise Failure(f"{state} is not empty", fix="name a new --state DIR", exit_code=USAGE)
    unwind_on_sigterm()
    machine = describe_machine(SystemClock().wall_ms(), with_servers=True)
    folder = state or Path(tempfile.mkdtemp(prefix="qold-soak-"))
    check_tools("a soak", stack("full", Place(folder), brokers=int(brokers)))
    try:
        outcome = run(
            folder,
            seed=seed,
            rate=rate,
            minutes=minutes,
            rounds=rounds,
            names=chosen,
            brokers=int(brokers),
            tell=lambda text: stderr.print(text),
        )
    finally:
        if state is None:
            shutil.rmtree(folder, ignore_errors=True)
    stderr.print(verdict(outcome))
    if as_json:
        print_json(outcome.as_dict())
    else:
        print_text(table(outcome.injections))
        if measured := figures(outcome.injections):
            print_text(f"\n{measured}")
    if markdown is not None:
        before = markdown.read_text("utf-8") if markdown.exists() else ""
        markdown.write_text(page(before, outcome, typed_command(), machine), "utf-8")
    return 0 if outcome.is_met else NOT_MET
