"""`./qold run`."""

import logging
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import replace

import click

from cli.errors import USAGE, Failure
from cli.options import state_option
from local.embedded import prepare, write_status
from local.runner import LocalTopology, TopologyDied
from local.topologies import load_topology, topology_names
from qold.clock import SystemClock
from qold.settings import Settings

IDLE_S = 0.02
STATUS_EVERY_MS = 1000

log = logging.getLogger("qold.run")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="TOPOLOGY…")
@state_option
def command(names: tuple[str, ...], settings: Settings) -> int:
    """Run topologies in this process until interrupted; `up` runs each in a process of its own."""
    unknown = [name for name in names if name not in topology_names()]
    if unknown:
        there = ", ".join(topology_names())
        raise Failure(f"no topology {', '.join(unknown)}; there is: {there}", exit_code=USAGE)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stopping.append(received))
    prepare(settings)
    clock = SystemClock()
    # The process itself rests when nothing happens; a spout that waited would hold up the others.
    conf = replace(settings, poll_wait_ms=0).to_storm_conf()
    try:
        running = {
            name: LocalTopology(load_topology(name), name=name, conf=conf, clock=clock)
            for name in names
        }
        log.info("topologies=%s started", ",".join(names))
        next_status_ms = 0
        while not stopping:
            if clock.monotonic_ms() >= next_status_ms:
                next_status_ms = clock.monotonic_ms() + STATUS_EVERY_MS
                _write_all(settings, running, clock.wall_ms())
            if not any([topology.step() for topology in running.values()]):
                time.sleep(IDLE_S)
        for topology in running.values():
            topology.stop()
    except TopologyDied as exc:
        log.error("died: %s", exc, exc_info=exc.cause)
        raise Failure(str(exc)) from exc
    _write_all(settings, running, clock.wall_ms())
    log.info("topologies=%s stopped", ",".join(names))
    return 130 if signal.SIGINT in stopping else 0


def _write_all(settings: Settings, running: dict[str, LocalTopology], wall_ms: int) -> None:
    for name, topology in running.items():
        own: Counter[str] = Counter()
        for component in topology.counters():
            for instance in topology.components(component):
                own.update(instance.counters)
        status = {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "written_at_ms": wall_ms,
            "counters": dict(sorted(own.items())),
            "tuples": topology.counters(),
        }
        write_status(settings, name, status)
