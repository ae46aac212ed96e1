"""Components in processes of their own, spoken to over pipes as Storm's ShellBolt and ShellSpout do."""

import json
import os
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.simulator.clock import SimulatedClock
from local.tasks import BoltTask, SpoutTask, build_tasks, topology_conf

SRC = Path(__file__).parents[2] / "src"
STREAMPARSE_RUN = Path(sys.executable).with_name("streamparse_run")
TICK = {"comp": "__system", "stream": "__tick", "task": -1, "tuple": [1]}
HEARTBEAT = {"id": "beat", "comp": "__system", "stream": "__heartbeat", "task": -1, "tuple": []}

Message = Mapping[str, Any]


class Ended(Exception):
    """The process closed its pipe; `left` is what came behind its last message."""

    def __init__(self, exit_code: int, left: bytes) -> None:
        super().__init__(f"ended with {exit_code} {left!r}")
        self.exit_code = exit_code
        self.left = left


class StormChild:
    """One component; `class_name` is what Storm passes to streamparse_run, e.g. `bolts.parser.ParserBolt`."""

    def __init__(self, class_name: str, folder: Path, *path: Path) -> None:
        self.pids = folder / f"pids-{class_name}"
        self.pids.mkdir()
        self.errors = folder / f"{class_name}.err"
        environ = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PATH": os.environ["PATH"]}
        with self.errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [STREAMPARSE_RUN, f"-s json {class_name}"],
                cwd=SRC,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def shake_hands(self, conf: Message, context: Message) -> int:
        """Storm's first message; returns the pid that the component answers with."""
        self.send({"conf": conf, "context": context, "pidDir": str(self.pids)})
        answer = self.receive()
        assert list(answer) == ["pid"], answer
        return int(answer["pid"])

    def send(self, message: Any) -> None:
        """Write one message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\nend\n")
        self._process.stdin.flush()

    def receive(self) -> Message:
        """The next message; raises `Ended`, and JSONDecodeError for what Storm could not read."""
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            if line == b"end\n":
                message: Message = json.loads(b"".join(lines))
                return message
            lines.append(line)
        raise Ended(self._process.wait(), b"".join(lines))

    def until(self, **expected: Any) -> list[Message]:
        """Messages up to and without the one that has these values; what is logged is left out."""
        messages: list[Message] = []
        while True:
            message = self.receive()
            if expected.items() <= message.items():
                return messages
            if message["command"] not in ("log", "sync"):
                messages.append(message)

    def rest(self) -> tuple[list[Message], int]:
        """Everything it still says before it ends by itself, and its exit code."""
        messages = []
        while True:
            try:
                messages.append(self.receive())
            except Ended as ended:
                return messages, ended.exit_code

    def close(self) -> None:
        """Close the pipe, as a worker that ends, and wait."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.read()
        self._process.stdout.close()
        self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class PipedTopology:
    """A topology with a process per component, one tuple after another; keeps ack trees as Storm does."""

    def __init__(self, topology_class: Any, name: str, conf: Message, folder: Path) -> None:
        merged = topology_conf(topology_class, name, conf)
        self._tasks = {
            task.number: task
            for task in build_tasks(
                topology_class, conf=merged, clock=SimulatedClock(0), environment="pipes"
            )
        }
        self._children: dict[int, StormChild] = {}
        self._roots: dict[str, set[str]] = {}
        self._open: dict[str, set[str]] = defaultdict(set)
        self._ids = iter(range(1, 1 << 31))
        self._queue: deque[tuple[int, Message]] = deque()
        self.acked: list[str] = []
        self.failed: list[str] = []
        for number, task in self._tasks.items():
            kind = type(task.component)
            one = folder / task.name
            one.mkdir()
            child = StormChild(f"{kind.__module__}.{kind.__name__}", one, SRC)
            self._children[number] = child
            child.shake_hands(task.conf, task.context)
            if isinstance(task, SpoutTask):
                self._ask_spout(number, {"command": "activate"})

    def pull(self) -> None:
        """Ask every spout for a tuple, and work until none is on its way."""
        for number, task in self._tasks.items():
            if isinstance(task, SpoutTask):
                self._ask_spout(number, {"command": "next"})
        self._work()

    def tick(self) -> None:
        """A tick for every bolt that has ticks, and what comes of it."""
        for number, task in self._tasks.items():
            if isinstance(task, BoltTask) and task.tick_ms:
                self._ask_bolt(number, None)
        self._work()

    def stop(self) -> None:
        """Deactivate the spouts, then close every pipe."""
        for number, task in self._tasks.items():
            if isinstance(task, SpoutTask):
                self._ask_spout(number, {"command": "deactivate"})
        for child in self._children.values():
            child.close()

    def kill(self) -> None:
        for child in self._children.values():
            child.kill()

    def _work(self) -> None:
        while self._queue:
            number, delivery = self._queue.popleft()
            self._ask_bolt(number, delivery)

    def _ask_spout(self, number: int, command: Message) -> None:
        child = self._children[number]
        child.send(command)
        for message in child.until(command="sync"):
            assert message["command"] == "emit", message
            root = f"{self._tasks[number].name} {message['id']}"
            self._deliver(number, message, {root})
            if not self._open[root]:
                self._finish(root, "ack")

    def _ask_bolt(self, number: int, delivery: Message | None) -> None:
        # A tick is acknowledged after everything before it, also where a bolt holds its input.
        child, mark = self._children[number], str(next(self._ids))
        if delivery is not None:
            child.send(delivery)
        child.send({"id": mark, **TICK})
        for message in child.until(command="ack", id=mark):
            if message["command"] == "emit":
                roots = set[str]().union(*(self._roots[a] for a in message["anchors"]))
                self._deliver(number, message, roots)
            else:
                assert message["command"] in ("ack", "fail"), message
                for root in self._roots.pop(message["id"]):
                    self._open[root].discard(message["id"])
                    if message["command"] == "fail" or not self._open[root]:
                        self._finish(root, message["command"])

    def _deliver(self, number: int, message: Message, roots: set[str]) -> None:
        assert not message.get("need_task_ids", True)
        task = self._tasks[number]
        stream = message.get("stream", "default")
        values: Sequence[Any] = message["tuple"]
        for target in (t for choose in task.streams[stream].choosers for t in choose(values)):
            tuple_id = str(next(self._ids))
            self._roots[tuple_id] = roots
            for root in roots:
                self._open[root].add(tuple_id)
            delivery = {"id": tuple_id, "comp": task.name, "stream": stream, "task": number}
            self._queue.append((target, {**delivery, "tuple": values}))

    def _finish(self, root: str, command: str) -> None:
        del self._open[root]
        (self.acked if command == "ack" else self.failed).append(root)
        name, _, message_id = root.partition(" ")
        (number,) = (n for n, task in self._tasks.items() if task.name == name)
        self._ask_spout(number, {"command": command, "id": message_id})


@contextmanager
def piped(topology_class: Any, name: str, conf: Message, folder: Path) -> Iterator[PipedTopology]:
    """A `PipedTopology` that is gone afterwards, however the test ends."""
    folder.mkdir()
    topology = PipedTopology(topology_class, name, conf, folder)
    try:
        yield topology
    finally:
        topology.kill()
