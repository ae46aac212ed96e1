"""`./qold config`."""

import click
from rich.table import Table

from cli.console import stderr
from cli.options import json_option, state_option
from local.console import print_json
from qold.settings import Settings, meanings


@click.group()
def command() -> None:
    """Show or validate the settings: defaults, DIR/qold.toml, environment (QOLD_SHARDS=8)."""


@command.command()
@state_option
@json_option
def show(settings: Settings, as_json: bool) -> None:
    """Print every setting in force; none of them is a secret."""
    values = {name: getattr(settings, name) for name in meanings()}
    if as_json:
        print_json(values)
        return
    rows = Table(box=None)
    for heading in ("setting", "value", "meaning"):
        rows.add_column(heading)
    for name, meaning in meanings().items():
        rows.add_row(name, str(values[name]), meaning)
    stderr.print(rows)


@command.command()
@state_option
def validate(settings: Settings) -> None:
    """Exit with 0 when every setting can be used; otherwise name every problem and exit with 2."""
    stderr.print(f"the settings of {settings.state_dir} are good")
