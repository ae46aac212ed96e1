"""`./qold storm`."""

import os
import shlex

import click

from cli.console import stderr
from cli.errors import MISSING, USAGE, Failure
from cli.options import state_option
from local.console import print_text
from local.services import storm
from local.services.exact_folder import ArtifactsError
from local.services.place import Place
from qold.settings import Settings

WORDS = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


@click.command(context_settings=WORDS)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="WORD…")
@state_option
def command(words: tuple[str, ...], settings: Settings) -> None:
    """Run Storm's command on the cluster of the state folder: list, kill, stats, jar, nimbus, …

    `./qold storm env` prints what a shell needs so that plain `storm` and `sparse` work in it:
    eval "$(./qold storm env)"
    """
    if words[:1] == ("env",) and len(words) > 1:
        raise Failure("options come first: ./qold storm --state DIR env", exit_code=USAGE)
    place = _assembled(settings)
    environ = storm.environment(place)
    if words == ("env",):
        for name, value in environ.items():
            print_text(f"export {name}={shlex.quote(value)}")
        return
    program = str(storm.COMMANDS / "storm")
    os.execve(program, [program, *(words or ("help",))], {**os.environ, **environ})  # noqa: S606  # ours


def _assembled(settings: Settings) -> Place:
    place = Place(settings.state_dir)
    try:
        with stderr.working("looking for Storm …") as tell:
            storm.assemble(place, tell)
    except ArtifactsError as exc:
        message, _, fix = str(exc).partition("\nfix: ")
        raise Failure(message, fix=fix, exit_code=MISSING) from exc
    return place
