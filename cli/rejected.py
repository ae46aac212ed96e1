"""`./qold rejected`."""

from collections import Counter, defaultdict

import click
import msgspec
from rich.table import Table

from cli.console import stderr
from cli.options import json_option, state_option
from local.console import print_json, print_json_text
from qold import wiring
from qold.clock import SystemClock
from qold.redrive import Redrive, Rejected, read_rejected
from qold.settings import Settings

# Gateways that the list names as over their budget; --json has all.
MOST_GATEWAYS = 10


@click.group()
def command() -> None:
    """List refused readings, or drive them again after their cause is mended."""


@command.command("list")
@click.option("--reason", default="", help="Only this reason.")
@state_option
@json_option
def list_rejected(reason: str, settings: Settings, as_json: bool) -> None:
    """Print how many readings were refused for which reason; with --json, each record on a line.

    One record may stand for many readings; those over a gateway's budget are counted only.
    """
    log = wiring.message_log(settings, SystemClock())
    counts: Counter[str] = Counter()
    records: Counter[str] = Counter()
    over: dict[str, Counter[str]] = defaultdict(Counter)
    for record, rejected in read_rejected(log, settings):
        if reason in ("", rejected.reason):
            counts[rejected.reason] += rejected.readings
            records[rejected.reason] += 1
            if rejected.reason == "over-budget":
                over[_account(rejected)].update(rejected.counts)
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
    rows.add_column("records", justify="right")
    for name, count in counts.most_common():
        rows.add_row(name, str(count), str(records[name]))
    stderr.print(rows)
    for account in sorted(over, key=lambda name: -over[name].total())[:MOST_GATEWAYS]:
        parts = ", ".join(f"{count} {why}" for why, count in over[account].most_common())
        line = f"{account}: counted, not written: {parts}"
        stderr.print(line)


def _account(rejected: Rejected) -> str:
    if rejected.gateway is None:
        return "reports of no proven gateway"
    return f"{'gateway' if rejected.proven else 'claimed gateway'} {rejected.gateway}"


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
    )
    for still, count in result.still.most_common():
        stderr.print(f"  {count} {still}")
