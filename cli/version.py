"""`./qold version`."""

import platform

import click

from cli.options import ROOT, json_option
from local.console import print_json, print_line


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the version of Qold and of what it runs on."""
    qold = (ROOT / "VERSION").read_text("utf-8").strip()
    if as_json:
        print_json({"qold": qold, "python": platform.python_version()})
    else:
        print_line(f"qold {qold} (Python {platform.python_version()})")
