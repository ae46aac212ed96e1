"""`./qold gateway`."""

import logging
import os
from pathlib import Path

import click
from rich.table import Table

from cli.console import stderr
from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from gateway.__main__ import run_input, run_output
from local.administration import open_provisioning, open_registry
from local.console import print_json, print_line
from local.uplinks import ForeignLog, equip_gateway
from qold.private_files import make_folder, open_private
from qold.settings import Settings

_TOML = """\
# A gateway's settings; they hold its token, so keep this file to yourself (mode 600).
[gateway]
id = {id}
token = "{token}"

[input]
# port = "/dev/ttyUSB0"   # or give --port; socket://host:port works too
baud = 115200

[outbox]
path = "{outbox}"
max_mb = 512
policy = "drop-oldest"    # or "refuse": do not acknowledge what cannot be kept

[output]
linger_s = 0.2            # metered links: 900
poll_s = 1.0

[uplink]
{uplink}

[status]
folder = "{status}"
"""

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The gateway's gateway.toml.",
)


@click.group()
def command() -> None:
    """Create gateways; run a gateway's input or output."""


@command.command()
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="gateway.toml",
    help="Write the gateway's settings; its uplink points at this state's log.",
)
@state_option
@json_option
def create(write: Path | None, settings: Settings, as_json: bool) -> None:
    """Register a gateway and tell its token, which is told only now."""
    if write is not None and write.exists():
        raise Failure(f"{write} is there already", fix="name a new file", exit_code=USAGE)
    if write is not None:
        make_folder(write.absolute().parent)
    new = open_provisioning(settings).create_gateway()
    if write is not None:
        _write(write, new.id, new.auth, settings)
        stderr.print(f"gateway {new.id} written to {write}")
    if as_json:
        print_json({"id": new.id, "auth": new.auth})
    elif write is None:
        print_line(f"gateway {new.id} token {new.auth}")


@command.command("list")
@state_option
@json_option
def list_gateways(settings: Settings, as_json: bool) -> None:
    """Print every gateway."""
    registry = open_registry(settings)
    rows = Table("id", "active", box=None)
    after_id = 0
    while page := registry.list_gateways(after_id=after_id):
        for gateway in page:
            if as_json:
                print_json({"id": gateway.id, "state": gateway.active})
            else:
                rows.add_row(str(gateway.id), "yes" if gateway.active else "no")
        after_id = page[-1].id
    if not as_json:
        stderr.print(rows)


@command.command("input")
@config_option
@click.option("--port", help="Serial device, or a URL such as socket://host:port.")
def run_gateway_input(config_path: Path, port: str | None) -> int:
    """Receive frames from devices into the outbox (on the gateway: python -m gateway input)."""
    logging.basicConfig(format=_LOG_FORMAT, level="INFO")
    return run_input(config_path, port=port)


@command.command("output")
@config_option
def run_gateway_output(config_path: Path) -> int:
    """Publish what is in the outbox (on the gateway: python -m gateway output)."""
    logging.basicConfig(format=_LOG_FORMAT, level="INFO")
    return run_output(config_path)


def _write(path: Path, gateway_id: int, token: str, settings: Settings) -> None:
    try:
        uplink = equip_gateway(settings, gateway_id, path)
    except ForeignLog as exc:
        raise Failure(
            str(exc), fix="give it a certificate there, and --write nothing here"
        ) from exc
    content = _TOML.format(
        id=gateway_id,
        token=token,
        outbox=f"{path.stem}-outbox.db",
        status=f"{path.stem}-status",
        uplink=uplink,
    )
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
