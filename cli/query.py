"""`./qold query`."""

from datetime import UTC, datetime

import click

from cli.console import stderr
from cli.errors import Failure
from cli.options import state_option
from cli.parse import aggregation, instant_ms
from cli.plot import draw
from local.administration import find_device
from local.console import print_csv, print_json, print_line, print_text
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Metric, Point
from qold.settings import Settings

METRICS: dict[str, tuple[Metric, str]] = {
    "temperature": ("Temperature", "°C"),
    "battery": ("Battery", "%"),
}


@click.command()
@click.argument("device", metavar="DEVICE|UNIT")
@click.option(
    "--metric", type=click.Choice(list(METRICS)), default="temperature", show_default=True
)
@click.option("--from", "start", default="0", metavar="T", help="2026-11-24T13:00, Unix s, -24h.")
@click.option("--to", "end", default="", metavar="T", help="Exclusive; everything if not given.")
@click.option("--agg", default="", metavar="1h:avg", help="One value per bucket.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "json", "csv", "plot"]),
    default="table",
    show_default=True,
)
@state_option
def command(
    device: str, metric: str, start: str, end: str, agg: str, shape: str, settings: Settings
) -> None:
    """Read what is stored of a device, by its id or its name."""
    now_ms = SystemClock().wall_ms()
    from_ms = instant_ms(start, now_ms)
    to_ms = instant_ms(end, now_ms) if end else 2**53 - 1
    if from_ms >= to_ms:
        raise click.BadParameter(f"--from {start} is not before --to {end or 'the end'}")
    bucket = aggregation(agg) if agg else None
    device_id = find_device(settings, device)
    if device_id is None:
        raise Failure(f"no device {device}", fix="./qold device list")
    store = wiring.reading_store(settings, SystemClock())
    name, unit = METRICS[metric]
    if bucket:
        points = store.aggregate(
            name, device_id, from_ms, to_ms, bucket_ms=bucket[0], aggregator=bucket[1]
        )
    else:
        points = store.query(name, device_id, from_ms, to_ms)
    if not points:
        stderr.print(f"device {device_id} has no {metric} in this time")
    elif shape == "plot":
        print_text(
            draw(
                points,
                title=f"device {device_id}"
                if device.isdigit()
                else f"{device} (device {device_id})",
                unit=unit,
            )
        )
    else:
        _print(points, shape, unit)


def _print(points: list[Point], shape: str, unit: str) -> None:
    if shape == "json":
        for point in points:
            print_json({"measured_at_ms": point.measured_at_ms, "value": point.value})
    elif shape == "csv":
        values = ((point.measured_at_ms, point.value) for point in points)
        print_csv(("measured_at_ms", "value"), values)
    else:
        for point in points:
            moment = datetime.fromtimestamp(point.measured_at_ms / 1000, UTC)
            value = f"{point.value:.2f}" if isinstance(point.value, float) else str(point.value)
            print_line(f"{moment:%Y-%m-%d %H:%M:%S}  {value:>8} {unit}")
