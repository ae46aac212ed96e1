"""`./qold bench`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from cli.console import stderr
from cli.errors import NOT_MET, USAGE, Failure
from cli.options import json_option, markdown_option, typed_command
from cli.signals import unwind_on_sigterm
from local.bench import BENCHES, FULL, FULL_SERVED, SERVED, load
from local.bench.measure import Figures
from local.bench.page import Measurement, describe_machine, write
from local.bench.table import shares, table
from local.bench.workload import SIZES, Workload
from local.console import print_json_text, print_text
from qold.clock import SystemClock

ALL = "all"
_OFFERED = {"embedded": BENCHES | SERVED, "full": FULL | FULL_SERVED}
_USUAL = {"embedded": BENCHES, "full": FULL}


@click.command(
    epilog="Benches: "
    + "; ".join(f"{name}: {it}" for name, it in _OFFERED["embedded"].items())
    + ". With --profile full: "
    + "; ".join(f"{name}: {it}" for name, it in _OFFERED["full"].items())
)
@click.argument("names", nargs=-1, metavar="[BENCH|all]…")
@click.option(
    "--profile",
    type=click.Choice([*_OFFERED]),
    default="embedded",
    show_default=True,
    help="full: topologies on Storm, with all servers, in a temporary folder.",
)
@click.option("--workload", type=click.Choice([*SIZES, "both"]), default="both", show_default=True)
@click.option("--runs", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(0.01, 10_000),
    default=10.0,
    show_default=True,
    help="How long all-at-once takes.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 1_000_000),
    default=5000.0,
    show_default=True,
    help="Readings a second that come in all-at-once and scale-out.",
)
@click.option(
    "--compare",
    type=click.Choice(["source"]),
    help="With --profile full: also by the method of the thesis that Qold follows (appendix E).",
)
@markdown_option(
    "Also put the table and the machine into a page, as docs/benchmarks.md, and the figures"
    " into FILE.json beside it. What the page has of other profiles stays."
)
@json_option
def command(
    names: tuple[str, ...],
    profile: str,
    workload: str,
    runs: int,
    minutes: float,
    rate: float,
    compare: str | None,
    markdown: Path | None,
    as_json: bool,
) -> int:
    """Measure rates, checked by a ledger, and print them beside the source's.

    `backlog` is 1 000 devices with 100 readings each, `steady` 70 000 devices with one. Without a
    BENCH all are measured that need no servers, or all of the profile. Exit code 0 when every target
    is reached, 4 when not.
    """
    chosen = _chosen(names, profile)
    if compare and profile != "full":
        raise Failure("--compare source needs --profile full", exit_code=USAGE)
    unwind_on_sigterm()
    now_ms = SystemClock().wall_ms()
    machine = describe_machine(now_ms, with_servers=profile == "full")
    workloads = [
        Workload(size, *SIZES[size], now_ms // 1000)
        for size in (SIZES if workload == "both" else [workload])
    ]
    found: list[Figures] = []
    for figures in _measured(
        chosen, profile, workloads, runs, as_source=bool(compare), minutes=minutes, rate=rate
    ):
        found.append(figures)
        if as_json:
            print_json_text(msgspec.json.encode(figures))
    if not as_json:
        print_text(table(found))
        if spent := shares(found):
            stderr.print(f"\n{spent}", soft_wrap=True)
    if markdown is not None:
        sections: dict[str, list[Figures]] = {}
        for row in found:
            sections.setdefault(row.section or profile, []).append(row)
        told = typed_command()
        write(
            markdown,
            {name: Measurement(told, machine, runs, rows) for name, rows in sections.items()},
        )
    return NOT_MET if any(row.met is False for row in found) else 0


def _chosen(names: Sequence[str], profile: str) -> list[str]:
    offered = _OFFERED[profile]
    unknown = [name for name in names if name not in offered and name != ALL]
    if unknown:
        there = ", ".join([*offered, ALL])
        raise Failure(
            f"no bench {', '.join(unknown)} of profile {profile}; there is: {there}",
            exit_code=USAGE,
        )
    return list(offered) if ALL in names else list(dict.fromkeys(names or _USUAL[profile]))


def _measured(
    names: Sequence[str],
    profile: str,
    workloads: Sequence[Workload],
    runs: int,
    *,
    as_source: bool,
    minutes: float,
    rate: float,
) -> Iterator[Figures]:
    if profile == "embedded":
        for name in names:
            for workload in workloads:
                for row in load(name)(workload, runs, _tell):
                    yield row.figures()
        return
    from local.bench.full.installation import installation
    from local.bench.full.run import figures_on

    with installation(_tell) as servers:
        yield from figures_on(
            servers, names, workloads, runs, _tell, as_source=as_source, minutes=minutes, rate=rate
        )


def _tell(text: str) -> None:
    stderr.print(text)
