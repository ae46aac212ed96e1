"""`./qold contact`."""

from collections.abc import Callable
from dataclasses import asdict, replace

import click
from rich.table import Table

from cli.console import stderr
from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from local.administration import find_device
from local.console import print_json
from qold import wiring
from qold.clock import SystemClock
from qold.domain.model import Contact
from qold.plain_text import visible
from qold.ports import ContactBook, Rejected
from qold.settings import Settings

PAGE = 1000
NOTE = "Topologies that run know it within ten minutes."


@click.group()
def command() -> None:
    """Say whom devices belong to, and who the staff is."""


@command.command("set")
@click.argument("device", metavar="DEVICE|UNIT")
@click.option("--name", help="What the device is called in messages.")
@click.option("--owner", help="Whose it is.")
@click.option("--phone", help="Who is told, such as +351912345678; `none` for nobody.")
@click.option("--locale", help="Language of the messages: en or pt.")
@state_option
def set_contact(device: str, settings: Settings, **changes: str | None) -> None:
    """Keep what is given of a device's contact; the rest stays."""
    given = _given(changes)
    device_id = find_device(settings, device)
    if device_id is None:
        raise Failure(f"no device {device}", fix="./qold device list")
    book = _book(settings)
    contact = replace(book.look_up([device_id]).get(device_id, Contact()), **given)
    _put(lambda: book.put(device_id, contact))
    stderr.print(f"device {device_id}: {_line(contact)}. {NOTE}")


@command.command()
@click.option("--name", help="What they are called.")
@click.option("--phone", help="Who is told, such as +351912345678.")
@click.option("--locale", help="Language of the messages: en or pt.")
@state_option
def staff(settings: Settings, **changes: str | None) -> None:
    """Say who the staff is: told of everything, and in place of everybody who is not known."""
    given = _given(changes)
    book = _book(settings)
    contact = replace(book.staff() or Contact(), **given)
    _put(lambda: book.put_staff(contact))
    stderr.print(f"staff: {_line(contact)}. {NOTE}")


@command.command("list")
@state_option
@json_option
def list_contacts(settings: Settings, as_json: bool) -> None:
    """Print the staff, then the contact of every device that has one."""
    book = _book(settings)
    rows = Table("device", "name", "owner", "phone", "locale", box=None)
    found = book.staff()
    if as_json:
        print_json({"staff": asdict(found) if found else None})
    elif found:
        rows.add_row("staff", found.name, found.owner, found.phone, found.locale)
    else:
        stderr.print("no staff: nobody is told of devices without a contact", style="yellow")
    after_id = 0
    while page := book.list(after_id=after_id, limit=PAGE):
        for device_id, contact in page:
            if as_json:
                print_json({"device": device_id, **asdict(contact)})
            else:
                rows.add_row(str(device_id), *asdict(contact).values())
        after_id = page[-1][0]
    if not as_json:
        stderr.print(rows)


def _given(changes: dict[str, str | None]) -> dict[str, str]:
    given = {
        name: "" if value == "none" else value
        for name, value in changes.items()
        if value is not None
    }
    if not given:
        raise click.UsageError("nothing to keep: give --phone, --name or --locale")
    return given


def _book(settings: Settings) -> ContactBook:
    return wiring.contact_book(settings, SystemClock())


def _put(write: Callable[[], None]) -> None:
    try:
        write()
    except Rejected as refusal:
        raise Failure(refusal.detail, exit_code=USAGE) from refusal


def _line(contact: Contact) -> str:
    return ", ".join(visible(value) for value in asdict(contact).values() if value)
