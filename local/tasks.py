"""The tasks of a streamparse topology: components built as Storm's handshake would set them up."""

import json
import logging
import re
from collections import defaultdict, deque, namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from streamparse import Bolt, Spout, TicklessBatchingBolt

from local.ack_tracker import Root
from local.groupings import Chooser, chooser
from qold.clock import Clock

TICKS_REMEMBERED = 100


@dataclass(slots=True)
class Stream:
    """A declared output stream: how many values it takes, and who gets them."""

    width: int
    choosers: list[Chooser] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Task:
    """One instance of a component, and what the runner keeps about it."""

    number: int
    name: str
    component: Any
    conf: dict[str, Any]
    context: dict[str, Any]
    streams: dict[str, Stream]
    command: Mapping[str, Any] = field(default_factory=dict)
    emitted: int = 0
    acked: int = 0
    failed: int = 0
    executed: int = 0
    timed_out: int = 0


@dataclass(slots=True, eq=False)
class SpoutTask(Task):
    """`pending` are its tuples in flight; `max_pending` 0 is no limit; quiet had nothing to emit."""

    pending: int = 0
    max_pending: int = 0
    is_quiet: bool = False


@dataclass(slots=True, eq=False)
class BoltTask(Task):
    """`inputs` are the tuples it has neither acked nor failed; `tick_ms` 0 is no ticks."""

    inputs: dict[str, Sequence[Root]] = field(default_factory=dict)
    tick_ms: int = 0
    next_tick_at_ms: int = 0
    ticks: deque[str] = field(default_factory=lambda: deque(maxlen=TICKS_REMEMBERED))


def topology_conf(topology_class: Any, name: str, conf: Mapping[str, Any]) -> dict[str, Any]:
    """The topology's own configuration under what the caller adds, as streamparse merges them."""
    return {**topology_class.config, **conf, "topology.name": name}


def build_tasks(
    topology_class: Any, *, conf: Mapping[str, Any], clock: Clock, environment: str
) -> list[Task]:
    """Every task of every component, connected, not yet initialised; numbered from 1 by name.

    Raises ValueError for what the runner cannot run: Java and other foreign components, components
    with threads of their own, direct streams, direct and custom groupings.
    """
    specs = {spec.name: spec for spec in sorted(topology_class.specs, key=lambda s: str(s.name))}
    for spec in specs.values():
        _check_component(spec)
    numbers: dict[str, list[int]] = {}
    names: dict[int, str] = {}
    for name, spec in specs.items():
        first = len(names) + 1
        numbers[name] = list(range(first, first + parallelism(spec.par, environment)))
        names.update(dict.fromkeys(numbers[name], name))
    return [
        _task(specs, numbers, names, number, conf=conf, clock=clock) for number in sorted(names)
    ]


def parallelism(par: Any, environment: str) -> int:
    """Tasks of a component; an environment that is not listed gets one, Storm's own default."""
    return int(par.get(environment, 1) if isinstance(par, dict) else par)


def _check_component(spec: Any) -> None:
    component = spec.component_cls
    if not issubclass(component, (Bolt, Spout)):
        raise ValueError(f"{spec.name}: {component.__name__} is not a Python component")
    if issubclass(component, TicklessBatchingBolt):
        raise ValueError(f"{spec.name}: {component.__name__} emits from a thread of its own")
    for stream, info in spec.outputs.items():
        if info.direct:
            raise ValueError(
                f"{spec.name}: direct stream {stream} is broken in Storm 2.6 and later"
            )


def _task(
    specs: Mapping[str, Any],
    numbers: Mapping[str, list[int]],
    names: Mapping[int, str],
    number: int,
    *,
    conf: Mapping[str, Any],
    clock: Clock,
) -> Task:
    name = names[number]
    spec = specs[name]
    component = spec.component_cls(input_stream=BytesIO(), output_stream=BytesIO(), rdb_signal=None)
    own_conf = {**conf, **json.loads(spec.config)}
    context = {
        "taskid": number,
        "componentid": name,
        "task->component": {str(task): owner for task, owner in names.items()},
        "source->stream->fields": _source_fields(specs, spec),
    }
    _shake_hands(component, own_conf, context)
    if hasattr(component, "clock"):
        component.clock = clock
    common = (number, name, component, own_conf, context, _streams(specs, numbers, name))
    if isinstance(component, Spout):
        return SpoutTask(*common, max_pending=own_conf.get("topology.max.spout.pending") or 0)
    tick_s = own_conf.get("topology.tick.tuple.freq.secs") or 0
    return BoltTask(*common, tick_ms=1000 * int(tick_s))


def _streams(
    specs: Mapping[str, Any], numbers: Mapping[str, list[int]], source: str
) -> dict[str, Stream]:
    outputs = specs[source].outputs
    streams = {name: Stream(len(info.output_fields)) for name, info in outputs.items()}
    for target, spec in specs.items():
        for origin, grouping in spec.inputs.items():
            if origin.componentId == source:
                stream = origin.streamId
                try:
                    choose = chooser(grouping, outputs[stream].output_fields, numbers[target])
                except ValueError as exc:
                    raise ValueError(f"{source}[{stream}] to {target}: {exc}") from exc
                streams[stream].choosers.append(choose)
    return streams


def _source_fields(specs: Mapping[str, Any], spec: Any) -> dict[str, dict[str, list[str]]]:
    sources: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for origin in spec.inputs:
        fields = specs[origin.componentId].outputs[origin.streamId].output_fields
        sources[origin.componentId][origin.streamId] = list(fields)
    return dict(sources)


def _shake_hands(component: Any, conf: dict[str, Any], context: dict[str, Any]) -> None:
    """What pystorm sets after the handshake, without its log handler on the root logger."""
    component.topology_name = conf["topology.name"]
    component.task_id = context["taskid"]
    component.component_name = context["componentid"]
    component.debug = conf.get("topology.debug", False)
    component.storm_conf = conf
    component.context = context
    component.logger = logging.getLogger(f"pystorm.component.{component.component_name}")
    if isinstance(component, Bolt):
        for source, streams in context["source->stream->fields"].items():
            for stream, fields in streams.items():
                type_name = re.sub(r"\W", "_", f"{source.title()}{stream.title()}Tuple")
                component._source_tuple_types[source][stream] = namedtuple(type_name, fields)
