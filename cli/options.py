"""Options that several commands share."""

from collections.abc import Callable
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
