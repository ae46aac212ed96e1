"""`./qold device`."""

import json

import click
from rich.table import Table

from cli.console import stderr
from cli.errors import Failure
from cli.options import json_option, state_option
from local.administration import open_provisioning, open_registry
from qold.settings import Settings

MAX_COUNT = 100_000
PAGE = 1000


@click.group()
def command() -> None:
    """Create, list, enable, disable and delete devices."""


@command.command()
@click.option("--count", type=click.IntRange(1, MAX_COUNT), default=1, show_default=True)
@click.option("--inactive", is_flag=True, help="Refuse what they send until they are enabled.")
@click.option("--name", default="", help="What people call it; for one device.")
@state_option
@json_option
def create(count: int, inactive: bool, name: str, settings: Settings, as_json: bool) -> None:
    """Register devices and print their tokens, which are told only now."""
    if name and count > 1:
        raise click.UsageError("--name is for one device")
    config = {"name": name} if name else {}
    provisioning = open_provisioning(settings)
    for start in range(0, count, PAGE):
        size = min(PAGE, count - start)
        for new in provisioning.create_devices(size, active=not inactive, config=config):
            line = {"id": new.id, "auth": new.auth, "state": new.state}
            click.echo(json.dumps(line) if as_json else f"device {new.id} token {new.auth}")


@command.command("list")
@state_option
@json_option
def list_devices(settings: Settings, as_json: bool) -> None:
    """Print every device; tokens are not kept and cannot be shown."""
    registry = open_registry(settings)
    rows = Table("id", "name", "active", box=None)
    after_id = 0
    while page := registry.list_devices(after_id=after_id, limit=PAGE):
        for device in page:
            if as_json:
                line = {"id": device.id, "state": device.active, "config": dict(device.config)}
                click.echo(json.dumps(line))
            else:
                name = device.config.get("name", "")
                rows.add_row(str(device.id), name, "yes" if device.active else "no")
        after_id = page[-1].id
    if not as_json:
        stderr.print(rows)


@command.command()
@click.argument("device_id", type=int)
@state_option
def enable(device_id: int, settings: Settings) -> None:
    """Accept what a device sends."""
    _set_state(settings, device_id, active=True)


@command.command()
@click.argument("device_id", type=int)
@state_option
def disable(device_id: int, settings: Settings) -> None:
    """Refuse what a device sends, from now on."""
    _set_state(settings, device_id, active=False)


@command.command()
@click.argument("device_id", type=int)
@click.option("--yes", is_flag=True, help="Do not ask.")
@state_option
def delete(device_id: int, yes: bool, settings: Settings) -> None:
    """Forget a device; its readings stay, its id is never given again."""
    if not yes:
        click.confirm(f"Delete device {device_id}?", abort=True, err=True)
    if not open_provisioning(settings).delete_device(device_id):
        raise _unknown(device_id)


def _set_state(settings: Settings, device_id: int, *, active: bool) -> None:
    if open_provisioning(settings).change_device(device_id, active=active) is None:
        raise _unknown(device_id)
    stderr.print(f"device {device_id} is {'active' if active else 'inactive'}", highlight=False)


def _unknown(device_id: int) -> Failure:
    return Failure(f"no device {device_id}", fix="./qold device list")
