"""`./qold replay`."""

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.console import stderr
from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from cli.parse import instant_ms
from local.console import print_json, print_line
from local.replay import INTO, all_devices, replay_into
from local.shadow import Comparison, compare
from local.simulator.bounds import Bounds
from local.simulator.csv_file import RecordingError
from local.simulator.limits_file import read_limits_file
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Alert
from qold.settings import Settings

OVERLAID = ("minTemperature", "maxTemperature", "alertDelay", "hysteresis")


@click.command()
@click.option("--from", "start", required=True, metavar="T", help="2026-11-24T13:00, Unix s, -24h.")
@click.option("--to", "end", default="now", show_default=True, metavar="T", help="Exclusive.")
@click.option("--into", type=click.Choice(INTO), help="Send the period through this topology.")
@click.option("--dry-run", is_flag=True, help="Only tell which alerts the rules would give.")
@click.option(
    "--limits",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="With --dry-run, other limits: unit,min,max[,delay_s][,hysteresis]; unit is name or id.",
)
@json_option
@state_option
def command(
    start: str,
    end: str,
    into: str | None,
    dry_run: bool,
    limits: Path | None,
    as_json: bool,
    settings: Settings,
) -> int:
    """Send a period of the raw store through the rules, or through one topology, once more.

    With --dry-run nothing is changed: alerts that would be added (+), gone (-) or moved (~). With
    --into the topology's stores are written again; nobody is told of what is found.
    """
    now_ms = SystemClock().wall_ms()
    from_ms, to_ms = instant_ms(start, now_ms), instant_ms(end, now_ms)
    if from_ms >= to_ms:
        raise click.BadParameter(f"--from {start} is not before --to {end}")
    if dry_run == (into is not None):
        raise Failure("either --dry-run or --into TOPOLOGY", exit_code=USAGE)
    if limits is not None and not dry_run:
        raise Failure(
            "--limits is for --dry-run",
            fix="./qold device config changes limits for good",
            exit_code=USAGE,
        )
    if not Path(settings.state_dir).is_dir():
        raise Failure(f"{settings.state_dir}: nothing there", fix="./qold up, or --state DIR")
    with tempfile.TemporaryDirectory(prefix="replay-", dir=settings.state_dir) as folder:
        if into is not None:
            return _replay(into, settings, Path(folder), from_ms, to_ms, as_json=as_json)
        configs = {} if limits is None else _configs(settings, limits)
        found = compare(settings, Path(folder), configs, from_ms=from_ms, to_ms=to_ms)
    _tell(found, as_json=as_json)
    return 0


def _replay(
    into: str, settings: Settings, folder: Path, from_ms: int, to_ms: int, *, as_json: bool
) -> int:
    def told(readings: int) -> None:
        stderr.print(f"{readings} readings …")

    done = replay_into(into, settings, folder, from_ms=from_ms, to_ms=to_ms, told=told)
    if as_json:
        print_json({"readings": done.readings, "refused": done.refused})
    stderr.print(f"{done.readings} readings went into {into} again")
    if done.refused:
        stderr.print(f"{done.refused} of them could not be used", style="red")
    return 1 if done.refused else 0


def _configs(settings: Settings, path: Path) -> dict[int, Mapping[str, str]]:
    try:
        bounds: dict[str, Bounds] = read_limits_file(path)
    except RecordingError as exc:
        raise Failure(str(exc), exit_code=USAGE) from exc
    configs: dict[int, Mapping[str, str]] = {}
    known = set()
    for device in all_devices(wiring.registry(settings, SystemClock())):
        unit = next((u for u in (device.config.get("name", ""), str(device.id)) if u in bounds), "")
        if unit:
            known.add(unit)
            kept = {key: value for key, value in device.config.items() if key not in OVERLAID}
            configs[device.id] = {**kept, **bounds[unit].as_config()}
    for unit in bounds.keys() - known:
        stderr.print(f"qold: {path}: there is no device {unit}")
    return configs


def _tell(found: Comparison, *, as_json: bool) -> None:
    if as_json:
        summary = {
            "readings": found.readings,
            "excursions": found.excursions,
            "excursions_identical": found.is_identical,
            "same": found.same,
            "added": [_as_dict(alert) for alert in found.added],
            "gone": [_as_dict(alert) for alert in found.gone],
            "moved": [{"from": _as_dict(a), "to": _as_dict(b)} for a, b in found.moved],
        }
        print_json(summary)
    else:
        for alert in found.added:
            print_line(f"+ {_line(alert)}")
        for alert in found.gone:
            print_line(f"- {_line(alert)}")
        for before, after in found.moved:
            print_line(f"~ {_line(before)} -> {_clock(after.fired_at_ms)}")
    stderr.print(
        f"{found.readings} readings: {found.same} alerts as they were, {len(found.added)} added,"
        f" {len(found.gone)} gone, {len(found.moved)} moved;"
        f" {found.excursions} excursions, {'all' if found.is_identical else 'not all'} as they were",
    )


def _as_dict(alert: Alert) -> dict[str, Any]:
    return {
        "subject": alert.subject,
        "kind": alert.kind,
        "fired_at_ms": alert.fired_at_ms,
        "started_at_ms": alert.started_at_ms,
        "value": alert.value,
    }


def _line(alert: Alert) -> str:
    return f"{_clock(alert.fired_at_ms)}  {alert.subject}  {alert.kind}  {alert.value}"


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
