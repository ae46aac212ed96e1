"""`./qold rejected`."""

from collections import Counter

import click
import msgspec
from rich.table import Table

from cli.console import stderr
from cli.options import json_option, state_option
from local.console import print_json, print_json_text
from qold import wiring
from qold.clock import SystemClock
from qold.redrive import Redrive, read_rejected
from qold.settings import Settings


@click.group()
def command() -> None:
    """List refused readings, or drive them again after their cause is mended."""


@command.command("list")
@click.option("--reason", default="", help="Only this reason.")
@state_option
@json_option
def list_rejected(reason: str, settings: Settings, as_json: bool) -> None:
    """Print how many readings were refused for which reason; with --json, each record on a line."""
    log = wiring.message_log(settings, SystemClock())
    counts: Counter[str] = Counter()
    for record, rejected in read_rejected(log, settings):
        if reason in ("", rejected.reason):
            counts[rejected.reason] += rejected.readings
            if as_json:
                print_json_text(record.value)
    if as_json:
        return
    if not counts:
        stderr.print("nothing is refused")
        return
    rows = Table(box=None)
    rows.add_column("reason")
    rows.add_column("readings", justify="right")
    for name, count in counts.most_common():
        rows.add_row(name, str(count))
    stderr.print(rows)


@command.command()
@click.option("--reason", required=True, help="The reason whose cause has been mended.")
@state_option
@json_option
def redrive(reason: str, settings: Settings, as_json: bool) -> None:
    """Check refused readings against today's registry and publish those that hold now."""
    clock = SystemClock()
    result = Redrive(
        wiring.message_log(settings, clock),
        wiring.registry(settings, clock),
        wiring.state_store(settings, clock),
        settings,
        clock,
    ).run(reason)
    if as_json:
        print_json(msgspec.to_builtins(result))
        return
    stderr.print(
        f"published {result.published}, published earlier {result.earlier},"
        f" still refused {result.still.total()}",
        highlight=False,
    )
    for still, count in result.still.most_common():
        stderr.print(f"  {count} {still}")
