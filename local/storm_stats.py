"""`storm stats [NAME] [--json]`: what Storm's web page would show, from Nimbus itself."""

import os
import sys
from collections.abc import Iterable
from typing import NoReturn

import click
from rich.table import Table
from rich.text import Text

from local.console import PlainConsole, print_json
from local.storm_cluster import ClusterAway, NoSuchTopology, RunningTopology, StormCluster

NIMBUS_PORT = 6627
FAILED = 1

console = PlainConsole(stderr=True)


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print data for scripts.")
def main(name: str | None, as_json: bool) -> None:
    """Tell per component executors, emitted, acked, failed, latency and the last error.

    Nimbus is the one of STREAMPARSE_NIMBUS (host:port).
    """
    host, _, port = os.environ.get("STREAMPARSE_NIMBUS", "127.0.0.1").partition(":")
    cluster = StormCluster(host, int(port or NIMBUS_PORT))
    try:
        names = [name] if name else [topology.name for topology in cluster.topologies()]
        found = [cluster.topology(one) for one in names]
    except NoSuchTopology as exc:
        there = ", ".join(topology.name for topology in cluster.topologies()) or "none"
        _fail(f"no topology {exc} runs on this cluster; there is: {there}", "sparse list")
    except ClusterAway as exc:
        _fail(str(exc), "./qold up --profile full, or STREAMPARSE_NIMBUS=host:port")
    if as_json:
        print_json([topology.as_dict() for topology in found])
        return
    console.print(f"{len(found)} topologies")
    for topology in found:
        console.print(table(topology))


def table(topology: RunningTopology) -> Table:
    """A row per component, its errors below."""
    rows = Table(
        box=None,
        title=f"{topology.name}  {topology.status}  {topology.workers} worker(s)"
        f"  {topology.uptime_s} s",
        title_justify="left",
    )
    for heading in ("component", "executors", "emitted", "acked", "failed", "latency ms", "busy"):
        rows.add_column(heading, justify="left" if heading == "component" else "right")
    for component in topology.components:
        busy = f"{component.capacity:.0%}" if component.kind == "bolt" else ""
        counts = (component.executors, component.emitted, component.acked, component.failed)
        rows.add_row(component.name, *_words(counts), f"{component.latency_ms:.3f}", busy)
        if component.last_error:
            rows.add_row(Text(f"  {component.last_error[:100]}", style="red"))
    return rows


def _words(counts: Iterable[int]) -> Iterable[str]:
    return (str(count) for count in counts)


def _fail(text: str, fix: str) -> NoReturn:
    console.print(f"storm: {text}\n       fix: {fix}")
    sys.exit(FAILED)


if __name__ == "__main__":
    main(prog_name="storm stats")
