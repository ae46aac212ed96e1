"""`./qold notify`."""

import logging

import click

from cli.console import stderr
from cli.errors import MISSING, USAGE, Failure
from cli.options import state_option
from qold import wiring
from qold.clock import SystemClock
from qold.domain.contacts import is_phone
from qold.ports import Rejected, Unavailable
from qold.settings import Settings
from qold.texts import trial_text


@click.group()
def command() -> None:
    """Send a test message to a person."""


@command.command()
@click.option("--to", "phone", default="", metavar="PHONE", help="Default: the staff.")
@click.option("--locale", default="", help="Language of the text (default: the staff's).")
@state_option
def test(phone: str, locale: str, settings: Settings) -> None:
    """Send a text through the provider of the setting `notifier_url`, and tell what it said."""
    logging.basicConfig(format="%(message)s", level="WARNING")
    clock = SystemClock()
    if phone and not is_phone(phone):
        raise Failure(f"{phone!r} is not + and 7 to 15 digits", exit_code=USAGE)
    staff = None if phone else wiring.directory(settings, clock).staff()
    to = phone or (staff.phone if staff else settings.fallback_phone)
    if not to:
        raise Failure(
            "nobody to send it to",
            fix="./qold contact staff --phone +351912345678, or --to PHONE",
            exit_code=MISSING,
        )
    text = trial_text(locale or (staff.locale if staff else "en"))
    notifier = wiring.notifier(settings, clock)
    try:
        notifier.send(message_id=f"test-{clock.wall_ms()}", to=to, text=text)
    except (Rejected, Unavailable) as exc:
        fix = "./qold config show names the provider in notifier_url"
        raise Failure(f"not sent to {to}: {exc}", fix=fix) from exc
    stderr.print(f"accepted for {to}: {text}")
