"""`./qold completion`."""

import click
from click.shell_completion import get_completion_class

from cli.errors import Failure
from local.console import print_text

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script of SHELL; it completes the name `qold`.

    bash: eval "$(./qold completion bash)" in ~/.bashrc, with the folder of ./qold on the PATH.
    """
    from cli.app import qold

    completion = get_completion_class(shell)
    if completion is None:
        raise Failure(f"no completion for {shell}")
    print_text(completion(qold, {}, "qold", "_QOLD_COMPLETE").source())
