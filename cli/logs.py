"""`./qold logs`."""

import click

from cli.errors import USAGE, Failure
from cli.options import state_option
from local.console import print_line
from local.logs import follow, last_lines, log_files
from qold.settings import Settings


@click.command()
@click.argument("service")
@click.option("-f", "--follow", "is_followed", is_flag=True, help="Go on with what is written.")
@click.option("-n", "--lines", default=100, show_default=True, type=click.IntRange(0, 100_000))
@state_option
def command(service: str, is_followed: bool, lines: int, settings: Settings) -> None:
    """Print what a server or topology wrote last."""
    found = log_files(settings.state_dir)
    if service not in found:
        there = ", ".join(sorted(found)) or "nothing; ./qold up was never run here"
        raise Failure(f"no log of {service}; there is: {there}", exit_code=USAGE)
    paths = found[service]
    prefix = {path: f"{path.parent.name}: " if len(paths) > 1 else "" for path in paths}
    for path in paths:
        for line in last_lines(path, lines):
            print_line(prefix[path] + line)
    if is_followed:
        for path, line in follow(paths):
            print_line(prefix[path] + line)
