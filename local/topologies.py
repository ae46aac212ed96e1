"""Finding topology classes as streamparse does: the first Topology in `topologies/<name>.py`."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamparse import Topology

from qold.ports import MessageLog
from qold.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "topologies"


def topology_names() -> list[str]:
    """Every topology of this checkout, in order of name."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def load_topology(name: str) -> Any:
    """The Topology class of a name; raises KeyError for one that is not there."""
    if name not in topology_names():
        raise KeyError(name)
    # Loaded by path: a topology's name may be that of an installed package.
    spec = importlib.util.spec_from_file_location(f"topologies.{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise KeyError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Topology) and value is not Topology
    )


def consumed_topics(settings: Settings, name: str) -> dict[str, str]:
    """Per consumer of a topology that reads everything: the topic it reads."""
    consumed = {}
    for spec in load_topology(name).specs:
        config = json.loads(spec.config)
        if config.get("qold.spout.start") == "earliest":
            topic = getattr(settings, config["qold.spout.topic"])
            consumed[f"{settings.topology_prefix}{name}.{spec.name}"] = topic
    return consumed


def lag(log: MessageLog, settings: Settings, name: str) -> int:
    """How many records a topology has not committed yet; raises `PortError`."""
    return lag_of(log, consumed_topics(settings, name))


def lag_of(log: MessageLog, consumed: Mapping[str, str]) -> int:
    """How many records these consumers have not committed on their topics; raises `PortError`."""
    total = 0
    for consumer, topic in consumed.items():
        committed = log.committed(consumer, topic)  # first, so that it is never beyond the end
        ends = log.offsets(topic)
        total += sum(end.next - committed.get(p, end.first) for p, end in ends.items())
    return total
