"""`./qold doctor`."""

import click
from rich.table import Table
from rich.text import Text

from cli.console import stderr
from cli.errors import MISSING
from cli.options import json_option, state_option
from local.console import print_json
from local.doctor import examine
from qold.settings import Settings

COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


@click.command()
@state_option
@json_option
def command(settings: Settings, as_json: bool) -> int:
    """Tell what this machine can run and what is missing; exit code 3 if something is."""
    findings = list(examine(settings))
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        rows = Table(box=None, show_header=False)
        for finding in findings:
            colour = COLOURS[finding.verdict]
            rows.add_row(finding.name, Text(finding.verdict, style=colour), finding.detail)
            if finding.fix:
                rows.add_row("", "", f"fix: {finding.fix}")
        stderr.print(rows)
    return MISSING if any(finding.verdict == "missing" for finding in findings) else 0
