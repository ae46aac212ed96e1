"""Options that several commands share."""

import os
import shlex
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from qold.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
Command = TypeVar("Command", bound=Callable[..., Any])


def _settings(ctx: click.Context, param: click.Parameter, value: str) -> Settings:
    return Settings.load(value)


def state_option(function: Command) -> Command:
    """`--state DIR`, handed over as the `settings` of that folder."""
    return click.option(
        "--state",
        "settings",
        metavar="DIR",
        default=str(ROOT / "var"),
        envvar="QOLD_STATE",
        callback=_settings,
        help="Folder of the stores and secrets (default: var/ beside ./qold).",
    )(function)


def json_option(function: Command) -> Command:
    """`--json`, handed over as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print data for scripts.")(function)


def known_names(
    what: str, known: Collection[str]
) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    """Callback of an option that takes names with commas: each once, and none that is not known."""

    def names_of(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        unknown = [name for name in names if name not in known]
        if unknown:
            there = ", ".join(known)
            raise click.BadParameter(f"no {what} {', '.join(unknown)}; there is: {there}")
        return names

    return names_of


def markdown_option(help_text: str) -> Callable[[Command], Command]:
    """`--markdown FILE.md`, which can be written."""
    return click.option(
        "--markdown",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_writable,
        metavar="FILE.md",
        help=help_text,
    )


def regular_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Callback of a path that is read whole: what exists is no device and no pipe."""
    if value is not None and value.exists() and not value.is_file():
        raise click.BadParameter(f"{value} is not a regular file")
    return value


def _writable(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    regular_file(ctx, param, value)
    if value is not None and not os.access(value if value.exists() else value.parent, os.W_OK):
        raise click.BadParameter(f"cannot write {value}")
    return value


def typed_command() -> str:
    """The command that runs now, with what was given on its command line, each option once."""
    context = click.get_current_context()
    options: list[str] = []
    arguments: list[str] = []
    for param in context.command.params:
        name = str(param.name)
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params[name]
        if isinstance(param, click.Argument):
            arguments += value if param.nargs == -1 else [value]
        else:
            options.append(param.opts[-1])
            if isinstance(value, tuple):
                options.append(",".join(value))
            elif not isinstance(value, bool):
                options.append(f"{value:g}" if isinstance(value, float) else str(value))
    return shlex.join(["./qold", str(context.info_name), *options, *arguments])
