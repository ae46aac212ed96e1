"""How a command fails: one line saying what is wrong, one naming the fix, an exit code."""

import click

from cli.console import stderr
from local.services.exact_folder import ArtifactsError
from local.services.servers import NotReady
from qold.keyring import KeyringError
from qold.plain_text import visible
from qold.ports import Rejected, Unavailable
from qold.private_files import NotPrivate
from qold.settings import SettingsError

FAILED, USAGE, MISSING, NOT_MET = 1, 2, 3, 4


class Failure(Exception):
    """A failure a person can act on."""

    def __init__(self, message: str, *, fix: str = "", exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.exit_code = exit_code


def as_failure(exc: Exception) -> Failure | None:
    """The failure to show for an exception, None when it is a bug that deserves its traceback."""
    if isinstance(exc, Failure):
        return exc
    if isinstance(exc, click.UsageError):
        where = f"; try: {exc.ctx.command_path} --help" if exc.ctx else ""
        return Failure(exc.format_message() + where, exit_code=USAGE)
    if isinstance(exc, click.ClickException):
        return Failure(exc.format_message(), exit_code=exc.exit_code)
    if isinstance(exc, SettingsError):
        return Failure(str(exc), fix="./qold config validate", exit_code=USAGE)
    if isinstance(exc, ArtifactsError | NotReady):
        message, _, fix = str(exc).partition("\nfix: ")
        return Failure(message, fix=fix, exit_code=MISSING)
    if isinstance(exc, NotPrivate):
        return Failure(f"{exc.filename}: {exc.strerror}", fix=exc.fix, exit_code=MISSING)
    if isinstance(exc, KeyringError):
        return Failure(str(exc), exit_code=MISSING)
    if isinstance(exc, Rejected) and exc.reason == "unknown-topic":
        return Failure(f"no topic {visible(exc.detail)} here", fix="./qold up makes it")
    if isinstance(exc, Unavailable | Rejected):
        return Failure(visible(str(exc)), fix="./qold doctor")
    return None


def show(failure: Failure) -> None:
    """Print a failure on stderr."""
    stderr.print(f"qold: {failure.message}", style="red")
    if failure.fix:
        stderr.print(f"      fix: {failure.fix}")
