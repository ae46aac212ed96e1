"""The commands of ./qold; each module `cli/<name>.py` defines `command`, loaded when it is used.

Human text goes to stderr, data to stdout. Exit codes: 0 ok, 1 failed, 2 usage, 3 prerequisite
missing, 4 requirement not met, 130 interrupted.
"""

import os
import sys
from importlib import import_module

import click

from cli.errors import USAGE, Failure, as_failure, show
from qold.plain_logs import keep_logs_plain
from qold.plain_text import is_plain, visible
from qold.private_files import restrict_umask

COMMANDS = {
    "demo": "simulate a fleet and send it through everything, live on the screen",
    "up": "start Qold on this machine",
    "status": "tell whether every component is ready, its lag and its counters",
    "logs": "show what a server or topology writes",
    "down": "stop what `up` started",
    "run": "run topologies in this process",
    "gateway": "create gateways; run a gateway's input or output",
    "device": "create, list, configure, enable, disable and delete devices",
    "contact": "say whom devices belong to, and who the staff is",
    "alert": "list, show and acknowledge alerts",
    "notify": "send a test message to a person",
    "query": "read a device's temperatures or battery",
    "tail": "show what is on a topic of the log",
    "replay": "send a period of the raw store through the rules, or a topology, again",
    "rejected": "list refused readings, or drive them again",
    "storm": "run Storm's command, or print what a shell needs for `storm` and `sparse`",
    "soak": "kill and stop everything of a real stack under traffic, and count what is lost",
    "bench": "measure rates and print them beside the source's",
    "capacity": "tell what a fleet needs, from what was measured",
    "test": "run every test group this machine can run",
    "doctor": "tell what this machine can run and what is missing",
    "config": "show or validate the settings",
    "completion": "print the completion script of a shell",
    "version": "print the version",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def qold() -> None:
    """Qold watches refrigerators: ./qold demo shows it, ./qold up runs it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    keep_logs_plain()
    restrict_umask()
    try:
        _check_arguments(sys.argv[1:] if arguments is None else arguments)
        result = qold.main(arguments, prog_name="qold", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of our data has seen enough; nothing more can be said on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as exc:
        failure = as_failure(exc)
        if failure is None:
            raise
        show(failure)
        return failure.exit_code
    return result if isinstance(result, int) else 0


def _check_arguments(arguments: list[str]) -> None:
    """Raises `Failure` for an argument with control characters, wherever it would be stored or shown."""
    for argument in arguments:
        if not is_plain(argument):
            raise Failure(
                f"argument '{visible(argument)}' holds a control or invisible character, or bytes"
                " that are not UTF-8",
                exit_code=USAGE,
            )


__all__ = ["COMMANDS", "Failure", "main", "qold"]
