"""`./qold alert`."""

import getpass
from datetime import datetime, tzinfo
from typing import Any

import click

from cli.console import stderr
from cli.errors import USAGE, Failure
from cli.options import json_option, state_option
from cli.parse import instant_ms
from local.administration import find_device
from local.alert_story import summary, whole_story
from local.console import print_csv, print_json, print_line
from qold import wiring
from qold.clock import SystemClock
from qold.domain.contacts import MAX_NAME, is_name
from qold.plain_text import visible
from qold.settings import Settings

SHAPES = ("table", "json", "csv")
COLUMNS = (
    "id", "kind", "subject", "fired_at_ms", "started_at_ms", "over_at_ms", "value", "limit",
    "is_live", "acknowledged_by", "acknowledged_at_ms",
)  # fmt: skip


@click.group()
def command() -> None:
    """List, show and acknowledge alerts."""


@command.command("list")
@click.option("--open", "only_open", is_flag=True, help="Neither over nor acknowledged.")
@click.option("--device", default="", metavar="DEVICE|UNIT", help="Of one device.")
@click.option("--from", "start", default="0", metavar="T", help="2026-11-24T13:00, Unix s, -24h.")
@click.option("--to", "end", default="", metavar="T", help="Exclusive.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--format", "shape", type=click.Choice(SHAPES), default="table", show_default=True)
@state_option
def list_alerts(
    only_open: bool,
    device: str,
    start: str,
    end: str,
    limit: int,
    shape: str,
    settings: Settings,
) -> None:
    """Print alerts, the newest first."""
    now_ms = SystemClock().wall_ms()
    device_id = None
    if device:
        device_id = find_device(settings, device)
        if device_id is None:
            raise Failure(f"no device {device}", fix="./qold device list")
    stories = wiring.alert_log(settings, SystemClock()).alerts(
        device_id=device_id,
        only_open=only_open,
        from_ms=instant_ms(start, now_ms),
        to_ms=instant_ms(end, now_ms) if end else None,
        limit=limit,
    )
    rows = [summary(story) for story in stories]
    if shape == "json":
        for row in rows:
            print_json(row)
    elif shape == "csv":
        print_csv(COLUMNS, ([row[name] for name in COLUMNS] for row in rows))
    elif not rows:
        stderr.print("no alerts")
    else:
        for row in rows:
            print_line(_line(row, settings.zone))
    if len(rows) == limit:
        stderr.print(f"These are the newest {limit}; --limit shows more.")


@command.command()
@click.argument("alert_id", metavar="ID")
@click.option("--by", default="", help="Who has seen it (default: your user name).")
@state_option
def ack(alert_id: str, by: str, settings: Settings) -> None:
    """Say that somebody has seen an alert; it is not open any more."""
    name = by or _user()
    if not is_name(name):
        raise Failure(
            f"--by: {name!r} is longer than {MAX_NAME} characters or holds control characters",
            exit_code=USAGE,
        )
    clock = SystemClock()
    alert_log = wiring.alert_log(settings, clock)
    if not alert_log.acknowledge(alert_id, by=name, now_ms=clock.wall_ms()):
        raise _unknown(alert_id)
    story = alert_log.alert(alert_id)
    if story is not None:
        stderr.print(f"acknowledged by {visible(story.acknowledged_by or '')}")


@command.command()
@click.argument("alert_id", metavar="ID")
@state_option
@json_option
def show(alert_id: str, settings: Settings, as_json: bool) -> None:
    """Tell the whole story of an alert: its readings, the decision, and who was told."""
    story = whole_story(settings, SystemClock(), alert_id)
    if story is None:
        raise _unknown(alert_id)
    if as_json:
        print_json(story)
        return
    zone = settings.zone
    print_line(f"{story['kind']} of {story['subject']}, {_state(story, zone)}")
    value = "" if story["value"] is None else f", {story['value']:g}{_beyond(story)}"
    print_line(
        f"  decided   at {_moment(story['fired_at_ms'], zone)}"
        f" ({'live' if story['is_live'] else 'over already'}), since"
        f" {_moment(story['started_at_ms'], zone)}{value} {story['detail']}".rstrip()
    )
    if excursion := story["excursion"]:
        end = excursion["ended_at_ms"]
        print_line(
            f"  excursion {_moment(excursion['started_at_ms'], zone)} to"
            f" {_moment(end, zone) if end else 'now'}, extreme {excursion['extreme']:g},"
            f" observed {excursion['observed_ms'] // 60_000} min"
        )
    for delivery in story["deliveries"]:
        print_line(
            f"  told      {delivery['channel']} {delivery['address']}: {delivery['status']}"
            f" {_moment(delivery['changed_at_ms'], zone)}, attempts {delivery['attempts']}"
            f" {delivery['detail']}".rstrip()
        )
    if not story["deliveries"]:
        print_line("  told      nobody yet")
    for reading in story["readings"]:
        temp, batt = reading["temp"], reading["batt"]
        print_line(
            f"  reading   {_moment(reading['time'] * 1000, zone)}"
            f"  {'sensor fault' if temp is None else f'{temp:.2f} °C'}"
            f"  {'?' if batt is None else batt} %"
        )


def _line(row: dict[str, Any], zone: tzinfo) -> str:
    told = ", ".join(f"{count} {status}" for status, count in row["deliveries"].items())
    value = "" if row["value"] is None else f"{row['value']:g}{_beyond(row)}"
    parts = (
        row["id"],
        _moment(row["fired_at_ms"], zone),
        f"{row['kind']:<16}",
        f"{row['subject']:<12}",
        f"{value:<14}",
        f"{_state(row, zone)}; told: {told or 'nobody yet'}",
    )
    return "  ".join(parts)


def _state(row: dict[str, Any], zone: tzinfo) -> str:
    if row["over_at_ms"] is not None:
        return f"over {_moment(row['over_at_ms'], zone)}"
    return f"seen by {row['acknowledged_by']}" if row["acknowledged_by"] else "open"


def _beyond(story: dict[str, Any]) -> str:
    return "" if story["limit"] is None else f" beyond {story['limit']:g}"


def _moment(at_ms: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m-%d %H:%M:%S}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"


def _unknown(alert_id: str) -> Failure:
    return Failure(f"no alert {alert_id}", fix="./qold alert list")
