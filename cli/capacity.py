"""`./qold capacity`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec

from cli.errors import MISSING, USAGE, Failure
from cli.options import ROOT, json_option, regular_file
from local.bench.page import read
from local.bench.table import markdown
from local.bench.workload import SIZES
from local.capacity import (
    BUSINESSES,
    EQUIPMENTS,
    PROJECTED_YEARS,
    REPORT_S,
    Cost,
    Load,
    Need,
    Plan,
    clients_load,
    load_of_rate,
    need,
    years_until,
)
from local.console import print_json_text, print_text
from local.measured_costs import SECTION, bytes_of, costs_of

FIGURES = ROOT / "docs" / "benchmarks.json"
SCALED_OUT = 70_000.0  # readings a second (source T3.11)
TO_STORE = 6e12  # bytes (source T3.9)
TERA = 1e12
USUAL = Plan()
_MEASURE = "./qold bench --profile full --markdown docs/benchmarks.md"


@click.command()
@click.option("--devices", type=click.IntRange(1), help="Devices of your fleet.")
@click.option(
    "--interval",
    type=click.FloatRange(1),
    default=float(REPORT_S),
    show_default=True,
    metavar="SECONDS",
    help="Between two readings of a device.",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Instead: readings a second.")
@click.option("--clients", type=click.IntRange(1), help="Instead: clients, with 15 devices each.")
@click.option(
    "--years",
    type=click.FloatRange(0, min_open=True),
    default=float(PROJECTED_YEARS),
    show_default=True,
    help="So long everything is kept.",
)
@click.option("--replicas", type=click.IntRange(1, 9), default=USUAL.replicas, show_default=True)
@click.option(
    "--busy",
    type=click.FloatRange(0.05, 1),
    default=USUAL.busy,
    show_default=True,
    help="Share of its time that a core may work.",
)
@click.option("--cores", type=click.IntRange(1), default=USUAL.cores_a_machine, show_default=True)
@click.option("--workload", type=click.Choice([*SIZES]), default="steady", show_default=True)
@click.option(
    "--figures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=regular_file,
    metavar="FILE.json",
    help="What was measured (default: docs/benchmarks.json).",
)
@json_option
def command(
    devices: int | None,
    interval: float,
    rate: float | None,
    clients: int | None,
    years: float,
    replicas: int,
    busy: float,
    cores: int,
    workload: str,
    figures: Path | None,
    as_json: bool,
) -> None:
    """Tell what a fleet needs: partitions, workers, cores, machines and disk.

    From what `./qold bench --profile full` measured. Without --devices, --rate or --clients: for the
    70 000 readings a second and the businesses of the thesis that Qold follows.
    """
    if sum(given is not None for given in (devices, rate, clients)) > 1:
        raise Failure("--devices, --rate and --clients exclude each other", exit_code=USAGE)
    costs, bytes_each = _measured(figures or FIGURES, workload)
    plan = Plan(busy=busy, replicas=replicas, cores_a_machine=cores)
    if devices is not None:
        loads = {f"{devices} devices": Load(devices, interval, years)}
    elif rate is not None:
        loads = {f"{rate:g} readings/s": load_of_rate(rate, interval_s=interval, years=years)}
    elif clients is not None:
        loads = {f"{clients} clients": clients_load(clients, interval_s=interval, years=years)}
    else:
        loads = {"70 000 readings/s": load_of_rate(SCALED_OUT, interval_s=interval, years=years)}
        for region, businesses in BUSINESSES.items():
            loads[region] = clients_load(businesses, interval_s=interval, years=years)
    answers = [
        {"load": name, **_answer(load, need(load, costs, bytes_each, plan), bytes_each)}
        for name, load in loads.items()
    ]
    if as_json:
        print_json_text(msgspec.json.encode(answers))
        return
    for answer in answers:
        _show(answer)
    print_text(
        f"Everything of a topology is planned busy for {busy:.0%} of its time, {replicas} copies, half of"
        f" each disk free,\nKafka keeps {plan.brokers_keep_days:g} days. Measured: {workload},"
        f" {figures or 'docs/benchmarks.json'}. {EQUIPMENTS} devices a client."
    )


def _measured(path: Path, workload: str) -> tuple[dict[str, Cost], dict[str, float]]:
    try:
        found = read(path).get(SECTION)
    except msgspec.DecodeError as exc:
        raise Failure(f"{path}: {exc}", fix=_MEASURE, exit_code=USAGE) from exc
    costs = costs_of(found.rows, workload) if found else {}
    if found is None or not costs:
        raise Failure(f"{path} has no clean rates of {workload}", fix=_MEASURE, exit_code=MISSING)
    return costs, bytes_of(found.rows)


def _answer(load: Load, found: Need, bytes_each: dict[str, float]) -> dict[str, Any]:
    stored = sum(each for store, each in bytes_each.items() if store != "kafka")
    return {
        "devices": load.devices,
        "interval_s": load.interval_s,
        "years": load.years,
        **asdict(found),
        "six_terabytes_after_years": (
            round(years_until(TO_STORE, load.readings_s, stored), 3) if stored else None
        ),
    }


def _show(answer: dict[str, Any]) -> None:
    print_text(
        f"{answer['load']}: {answer['devices']:,} devices, one reading in {answer['interval_s']:g} s,"
        f" {answer['readings_s']:,.0f} readings/s, {answer['years']:g} years\n".replace(",", " ")
    )
    rows = [("partitions of a topic", str(answer["partitions"]))]
    rows += [
        (f"topology {name}", f"{crew['workers']} workers, {crew['cores']} cores")
        for name, crew in answer["topologies"].items()
    ]
    rows += [
        (where, f"{count} cores") for where, count in answer["cores"].items() if where != "workers"
    ]
    rows += [
        (f"disk of {store}", f"{size / TERA:,.2f} TB".replace(",", " "))
        for store, size in answer["disk_bytes"].items()
    ]
    rows.append(("machines", str(answer["machines"])))
    if answer["six_terabytes_after_years"] is not None:
        rows.append(("6 TB, one copy, after", f"{answer['six_terabytes_after_years']:.2f} years"))
    print_text(markdown(("what", "how much"), rows, words=2) + "\n")
