"""Options that several commands share."""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

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


def _writable(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and not os.access(value if value.exists() else value.parent, os.W_OK):
        raise click.BadParameter(f"cannot write {value}")
    return value
