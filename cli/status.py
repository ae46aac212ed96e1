"""`./qold status`."""

import click
from rich.table import Table
from rich.text import Text

from cli.console import stderr
from cli.errors import FAILED
from cli.options import json_option, state_option
from local.console import print_json
from local.status import ComponentStatus, statuses
from qold.settings import Settings


@click.command()
@state_option
@json_option
def command(settings: Settings, as_json: bool) -> int:
    """Tell whether every component is ready, its lag and its counters; exit code 1 if one is not."""
    found = statuses(settings)
    if as_json:
        print_json([status.as_dict() for status in found])
    else:
        stderr.print(table(found))
    return 0 if all(status.is_ready for status in found) else FAILED


def table(found: list[ComponentStatus]) -> Table:
    """A row per component."""
    rows = Table(box=None)
    for heading in ("component", "ready", "lag", "MB", "counters"):
        rows.add_column(heading, justify="right" if heading in ("lag", "MB") else "left")
    for status in found:
        counters = "  ".join(f"{name} {count}" for name, count in status.counters.items())
        rows.add_row(
            status.name,
            Text("yes", style="green") if status.is_ready else Text("no", style="red"),
            "" if status.lag is None else str(status.lag),
            "" if status.memory_mb is None else str(status.memory_mb),
            status.detail or counters or ", ".join(status.addresses.values()),
        )
    return rows
