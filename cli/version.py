"""`./qold version`."""

import json
import platform

import click

from cli.options import ROOT, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the version of Qold and of what it runs on."""
    qold = (ROOT / "VERSION").read_text("utf-8").strip()
    if as_json:
        click.echo(json.dumps({"qold": qold, "python": platform.python_version()}))
    else:
        click.echo(f"qold {qold} (Python {platform.python_version()})")
