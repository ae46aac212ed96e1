"""`./qold device`."""

import click
from rich.table import Table

from cli.console import stderr
from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from local.administration import find_device, open_provisioning, open_registry
from local.console import print_json, print_line
from qold.domain.limits import read_limits
from qold.ports import Rejected
from qold.records import MAX_DEVICE_ID
from qold.settings import Settings

MAX_COUNT = 100_000
PAGE = 1000
DEVICE_ID = click.IntRange(1, MAX_DEVICE_ID)


@click.group()
def command() -> None:
    """Create, list, configure, enable, disable and delete devices."""


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
        try:
            created = provisioning.create_devices(size, active=not inactive, config=config)
        except Rejected as refusal:
            raise Failure(refusal.detail, exit_code=USAGE) from refusal
        for new in created:
            line = {"id": new.id, "auth": new.auth, "state": new.state}
            if as_json:
                print_json(line)
            else:
                print_line(f"device {new.id} token {new.auth}")


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
                print_json(line)
            else:
                name = device.config.get("name", "")
                rows.add_row(str(device.id), name, "yes" if device.active else "no")
        after_id = page[-1].id
    if not as_json:
        stderr.print(rows)


@command.command()
@click.argument("device_id", type=DEVICE_ID)
@state_option
def enable(device_id: int, settings: Settings) -> None:
    """Accept what a device sends."""
    _set_state(settings, device_id, active=True)


@command.command()
@click.argument("device_id", type=DEVICE_ID)
@state_option
def disable(device_id: int, settings: Settings) -> None:
    """Refuse what a device sends, from now on."""
    _set_state(settings, device_id, active=False)


@command.command()
@click.argument("device_id", type=DEVICE_ID)
@click.option("--yes", is_flag=True, help="Do not ask.")
@state_option
def delete(device_id: int, yes: bool, settings: Settings) -> None:
    """Forget a device; its readings stay, its id is never given again."""
    if not yes:
        click.confirm(f"Delete device {device_id}?", abort=True, err=True)
    if not open_provisioning(settings).delete_device(device_id):
        raise _unknown(device_id)


@command.command()
@click.argument("device", metavar="DEVICE|UNIT")
@click.option("--max", "maxTemperature", metavar="°C", help="Told when it is warmer.")
@click.option("--min", "minTemperature", metavar="°C", help="Told when it is colder.")
@click.option("--min-battery", "minBattery", metavar="%", help="Told when it is lower; else 20.")
@click.option("--delay", "alertDelay", metavar="S", help="Told once it was outside so long.")
@click.option("--hysteresis", metavar="°C", help="Over once it is so far inside again.")
@click.option("--interval", "reportInterval", metavar="S", help="It reports so often; else 900.")
@click.option("--name", metavar="UNIT", help="What people call it.")
@state_option
@json_option
def config(device: str, settings: Settings, as_json: bool, **changes: str | None) -> None:
    """Change a device's limits, or show them; `none` takes one away.

    Topologies that run follow at once.
    """
    device_id = find_device(settings, device)
    if device_id is None:
        raise _unknown(device)
    given = {
        name: "" if value == "none" else value
        for name, value in changes.items()
        if value is not None
    }
    if blank := [
        name for name, value in changes.items() if value is not None and not value.strip()
    ]:
        raise click.UsageError(f"{blank[0]}: no value; `none` takes a limit away")
    if given:
        try:
            open_provisioning(settings).change_device(device_id, config=given)
        except Rejected as refusal:
            raise Failure(refusal.detail, exit_code=USAGE) from refusal
    _show_limits(settings, device_id, as_json=as_json)


def _show_limits(settings: Settings, device_id: int, *, as_json: bool) -> None:
    stored = open_registry(settings).devices([device_id])[device_id].config
    if as_json:
        print_json({"id": device_id, "config": dict(stored)})
        return
    limits, problems = read_limits(stored)
    rows = Table(box=None, show_header=False)
    for name, value in (
        ("warmest", "no limit" if limits.max_celsius is None else f"{limits.max_celsius:g} °C"),
        ("coldest", "no limit" if limits.min_celsius is None else f"{limits.min_celsius:g} °C"),
        ("battery at least", f"{limits.min_battery} %"),
        ("told after", f"{limits.delay_ms // 1000} s"),
        ("hysteresis", f"{limits.hysteresis:g} °C"),
        ("reports every", f"{limits.interval_ms // 1000} s"),
    ):
        rows.add_row(name, value)
    stderr.print(rows)
    for problem in problems:
        stderr.print(f"not used: {problem}", style="yellow")


def _set_state(settings: Settings, device_id: int, *, active: bool) -> None:
    if open_provisioning(settings).change_device(device_id, active=active) is None:
        raise _unknown(device_id)
    stderr.print(f"device {device_id} is {'active' if active else 'inactive'}")


def _unknown(device: int | str) -> Failure:
    return Failure(f"no device {device}", fix="./qold device list")
