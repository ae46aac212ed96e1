"""What Storm does with the messages of its components: routes emits, follows acks, refuses the rest."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from local.ack_tracker import AckTracker, Root
from local.tasks import BoltTask, SpoutTask, Task
from qold.clock import Clock
from qold.storm_values import check_values

TICK: Sequence[Root] = []
"""Stands for the roots of a tick tuple, which has none and is not counted."""

_LEVELS = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class ProtocolViolation(Exception):
    """A message on which Storm's ShellBolt or ShellSpout would die."""


class Collector:
    """The single exit of every component; fills `queue` with (task, command, roots) to execute.

    `violation` is the first message that would have ended a Storm worker; the component sees it
    as an exception, and may swallow it.
    """

    def __init__(self, tasks: Sequence[Task], *, timeout_ms: int | None, clock: Clock) -> None:
        self.queue: deque[tuple[Task, Mapping[str, Any], Sequence[Root]]] = deque()
        self.violation: Exception | None = None
        self.tracker = AckTracker(timeout_ms)
        self._clock = clock
        self._tasks = {task.number: task for task in tasks}
        self._spouts = {task.number: task for task in tasks if isinstance(task, SpoutTask)}
        self._last_id = 0
        for task in tasks:
            task.component.send_message = partial(self._receive, task)

    def tick(self, bolt: BoltTask) -> None:
        """Queue a tick tuple; of a bolt that acks none, only the latest are remembered."""
        if len(bolt.ticks) == bolt.ticks.maxlen:
            bolt.inputs.pop(bolt.ticks[0], None)
        self._last_id += 1
        tick_id = str(self._last_id)
        bolt.ticks.append(tick_id)
        message = {"id": tick_id, "comp": "__system", "stream": "__tick", "task": -1}
        self.queue.append((bolt, {**message, "tuple": (bolt.tick_ms // 1000,)}, TICK))

    def expire(self, now_ms: int) -> bool:
        """Fail what the message timeout has overtaken; True if there was anything."""
        expired = self.tracker.expire(now_ms)
        for root in expired:
            self._spouts[root.spout_task].timed_out += 1
            self._fail(root)
        return bool(expired)

    def _receive(self, task: Task, message: Mapping[str, Any]) -> None:
        command = message["command"]
        if command == "sync":
            return
        if command == "log":
            task.component.logger.log(_LEVELS[message["level"]], "%s", message["msg"])
        elif command == "error":
            task.component.logger.error("task=%d %s", task.number, message["msg"])
        elif isinstance(task, SpoutTask) and command == "emit":
            self._emit_from_spout(task, message)
        elif isinstance(task, BoltTask) and command == "emit":
            self._emit_from_bolt(task, message)
        elif isinstance(task, BoltTask) and command in ("ack", "fail"):
            self._finish(task, command, message["id"])
        else:  # also metrics: nobody has registered one
            self._refuse(ProtocolViolation(f"command {command} is not for this component"))

    def _emit_from_spout(self, task: SpoutTask, message: Mapping[str, Any]) -> None:
        targets, delivery = self._address(task, message)
        message_id = message.get("id")
        if message_id is None:
            self._send(targets, delivery, ())
            return
        if type(message_id) not in (str, int):
            self._refuse(TypeError(f"a tuple id is str or int, not {type(message_id).__name__}"))
        self._check((message_id,))
        task.pending += 1
        root = self.tracker.open(task.number, message_id, len(targets), self._clock.monotonic_ms())
        if root.is_open:
            self._send(targets, delivery, (root,))
        else:
            self._ack(root)

    def _emit_from_bolt(self, task: BoltTask, message: Mapping[str, Any]) -> None:
        roots = self._roots_of(task, message["anchors"])
        targets, delivery = self._address(task, message)
        if roots:
            roots = self.tracker.anchor(roots, len(targets))
        self._send(targets, delivery, roots)

    def _address(self, task: Task, message: Mapping[str, Any]) -> tuple[list[int], dict[str, Any]]:
        name = message.get("stream", "default")
        stream = task.streams.get(name)
        if stream is None:
            self._refuse(ProtocolViolation(f"stream {name} is not declared"))
        if "task" in message:
            self._refuse(ProtocolViolation("direct emits are broken in Storm 2.6 and later"))
        values = tuple(message["tuple"])
        if len(values) != stream.width:
            self._refuse(
                ProtocolViolation(f"stream {name} has {stream.width} fields, not {len(values)}")
            )
        self._check(values)
        task.emitted += 1
        targets = [number for choose in stream.choosers for number in choose(values)]
        if message.get("need_task_ids", True):
            task.component._pending_task_ids.append(targets)
        self._last_id += 1
        return targets, {
            "id": str(self._last_id),
            "comp": task.name,
            "stream": name,
            "task": task.number,
            "tuple": values,
        }

    def _send(
        self, targets: Sequence[int], delivery: Mapping[str, Any], roots: Sequence[Root]
    ) -> None:
        for number in targets:
            self.queue.append((self._tasks[number], delivery, roots))

    def _roots_of(self, task: BoltTask, anchors: Sequence[str]) -> Sequence[Root]:
        try:
            if len(anchors) == 1:
                return task.inputs[anchors[0]]
            return list(dict.fromkeys(root for a in anchors for root in task.inputs[a]))
        except KeyError as exc:
            self._refuse(ProtocolViolation(f"anchored to {exc} after its ack or fail"))

    def _finish(self, task: BoltTask, command: str, tuple_id: str) -> None:
        roots = task.inputs.pop(tuple_id, None)
        if roots is None:
            self._refuse(ProtocolViolation(f"{command} of the unknown or done tuple {tuple_id}"))
        if roots is TICK:
            return
        if command == "ack":
            task.acked += 1
            for root in self.tracker.ack(roots):
                self._ack(root)
        else:
            task.failed += 1
            for root in self.tracker.fail(roots):
                self._fail(root)

    def _ack(self, root: Root) -> None:
        spout = self._spouts[root.spout_task]
        spout.acked += 1
        self.queue.append((spout, {"command": "ack", "id": root.message_id}, ()))

    def _fail(self, root: Root) -> None:
        spout = self._spouts[root.spout_task]
        spout.failed += 1
        self.queue.append((spout, {"command": "fail", "id": root.message_id}, ()))

    def _check(self, values: Sequence[Any]) -> None:
        try:
            check_values(values)
        except (TypeError, ValueError) as exc:
            self._refuse(exc)

    def _refuse(self, violation: Exception) -> NoReturn:
        if self.violation is None:
            self.violation = violation
        raise violation
