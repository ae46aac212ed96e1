"""Components as Storm starts them: streamparse_run, a real handshake, JSON over pipes.

What the in-process runner hides would show here: whatever else writes to stdout, a value that only
Python understands, a module that cannot be imported alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamparse import Spout

from local.simulator.clock import SimulatedClock
from local.tasks import Task, build_tasks, topology_conf
from local.topologies import lag, load_topology, topology_names
from tests.support.pipeline import NOW_S, Site, make_batch, make_reading, make_report
from tests.support.processes import wait_until
from tests.support.storm_pipes import HEARTBEAT, SRC, StormChild, piped


def every_component() -> dict[str, tuple[str, Task]]:
    """By class: each once, with the first topology that has it."""
    found: dict[str, tuple[str, Task]] = {}
    for name in topology_names():
        topology_class = load_topology(name)
        tasks = build_tasks(
            topology_class,
            conf=topology_conf(topology_class, name, {}),
            clock=SimulatedClock(0),
            environment="pipes",
        )
        for task in tasks:
            kind = type(task.component)
            found.setdefault(f"{kind.__module__}.{kind.__name__}", (name, task))
    return found


COMPONENTS = every_component()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., StormChild]]:
    children: list[StormChild] = []

    def _start(class_name: str, *path: Path) -> StormChild:
        children.append(StormChild(class_name, tmp_path, *path, SRC))
        return children[-1]

    yield _start
    for child in children:
        child.kill()


@pytest.mark.parametrize("class_name", COMPONENTS)
def test_every_component_starts_answers_and_ends_with_its_worker(start, tmp_path, class_name):
    site = Site(tmp_path / "state")
    name, task = COMPONENTS[class_name]
    child = start(class_name)
    conf = {**task.conf, **site.settings.to_storm_conf()}
    pid = child.shake_hands(conf, task.context)
    assert [path.name for path in child.pids.iterdir()] == [str(pid)]
    if isinstance(task.component, Spout):
        child.send({"command": "activate"})
        child.until(command="sync")
        child.send({"command": "next"})
    else:
        child.send(HEARTBEAT)
    assert child.until(command="sync") == []
    child.close()
    assert "Traceback" not in child.errors.read_text("utf-8"), name


def test_a_reading_goes_from_report_to_stores_through_processes_of_their_own(tmp_path):
    site = Site(tmp_path / "state", window_ms=1)
    conf = site.settings.to_storm_conf()
    gateway = site.provisioning.create_gateway()
    first, second = site.provisioning.create_devices(2, active=True)
    site.log.append(
        "reports",
        [
            (
                "1",
                make_report(
                    gateway,
                    make_batch(first, make_reading(temp=4.21), make_reading(NOW_S + 60, None)),
                    make_batch(second, make_reading(temp=-18.5)),
                    make_batch(second, make_reading(NOW_S + 1), token=second.auth + 1),
                ),
            ),
            ("1", b"not JSON"),
        ],
    )
    for name in ("authentication", "raw", "datapoints"):
        with piped(load_topology(name), name, conf, tmp_path / name) as topology:

            def has_read_all(topology=topology, name=name):
                topology.pull()
                topology.tick()
                return not lag(site.log, site.settings, name)

            # A window of raw rows closes after half a second, however fast this machine is.
            wait_until(has_read_all, f"{name} has read everything", look_s=0.0)
            topology.stop()
        assert topology.failed == []
    assert {r["reason"] for r in site.records("reports.rejected")} == {
        "malformed",
        "bad-device-token",
    }
    assert site.raw.count() == 3
    day = (NOW_S * 1000, (NOW_S + 86_400) * 1000)
    values = {
        device.id: [point.value for point in site.readings.query("Temperature", device.id, *day)]
        for device in (first, second)
    }
    assert values == {first.id: [4.21], second.id: [-18.5]}
    assert site.readings.count("Battery") == 3
    assert lag(site.log, site.settings, "datapoints") == 0
