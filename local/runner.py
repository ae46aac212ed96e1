"""One unmodified streamparse Topology class in this process, as Storm would run it."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from local.collector import TICK, Collector
from local.tasks import BoltTask, SpoutTask, Task, build_tasks, topology_conf
from qold.clock import Clock

DEFAULT_TIMEOUT_S = 30
IDLE_WAIT_S = 0.005
SLICE = 256
STOP_SLICES = 100
QUIET_STEPS = 16
COUNTERS = ("emitted", "acked", "failed", "executed", "timed_out")


class TopologyDied(Exception):
    """A component crashed, or sent what makes Storm end the worker; `cause` says which."""

    def __init__(self, component: str, cause: Exception) -> None:
        super().__init__(f"{component}: {type(cause).__name__}: {cause}")
        self.component = component
        self.cause = cause


def pause() -> None:
    """The default wait of an idle runner."""
    time.sleep(IDLE_WAIT_S)


class LocalTopology:
    """Builds, initialises and activates every task; `step`, `run` or `run_until_idle` drive it.

    `conf` is laid over the topology's own configuration, a component's own over both. `on_start`
    is called with every component after its `initialize`. Raises ValueError for a topology that
    the runner cannot run and `TopologyDied` for a component that crashes, here and in `step`.
    Single threaded; a topology that died stays dead, as a Storm worker does.
    """

    def __init__(
        self,
        topology_class: Any,
        *,
        name: str,
        conf: Mapping[str, Any],
        clock: Clock,
        environment: str = "local",
        on_start: Callable[[Any], None] | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._death: TopologyDied | None = None
        self._steps = 0
        merged = topology_conf(topology_class, name, conf)
        self._tasks = build_tasks(topology_class, conf=merged, clock=clock, environment=environment)
        self._spouts = [task for task in self._tasks if isinstance(task, SpoutTask)]
        self._ticking = [
            task for task in self._tasks if isinstance(task, BoltTask) and task.tick_ms
        ]
        timeout_s = int(merged.get("topology.message.timeout.secs") or DEFAULT_TIMEOUT_S)
        is_timed = merged.get("topology.enable.message.timeouts", True)
        self._collector = Collector(
            self._tasks, timeout_ms=1000 * timeout_s if is_timed else None, clock=clock
        )
        self._start(on_start)

    def step(self, most: int = SLICE) -> bool:
        """Timers, `most` of what is queued, then `next_tuple`; False if nothing happened."""
        if self._death is not None:
            raise self._death
        has_worked = self._fire_timers(self._clock.monotonic_ms())
        has_worked |= self._drain(most)
        if self._collector.queue:  # as Storm's back-pressure: nothing new while there is a backlog
            return True
        self._steps += 1
        for spout in self._spouts:
            if spout.max_pending and spout.pending >= spout.max_pending:
                continue
            if spout.is_quiet and has_worked and self._steps % QUIET_STEPS:
                continue  # its poll may block, which holds up the others only in one process
            emitted = spout.emitted
            self._execute(spout, {"command": "next"})
            spout.is_quiet = spout.emitted == emitted
            has_worked |= not spout.is_quiet
        return has_worked

    def run(self, stop: Callable[[], bool], wait: Callable[[], None] = pause) -> None:
        """Step until `stop()`; `wait` is called after a step in which nothing happened."""
        while not stop():
            if not self.step():
                wait()

    def run_until_idle(self) -> None:
        """Step until nothing happens at the clock's present time."""
        while self.step():
            pass

    def stop(self) -> None:
        """Finish what is queued, take nothing new, deactivate the spouts.

        A topology that died is left as it is.
        """
        if self._death is None:
            self._drain(STOP_SLICES * SLICE)
            for spout in self._spouts:
                self._execute(spout, {"command": "deactivate"})
            self._drain(STOP_SLICES * SLICE)

    def next_timer_ms(self) -> int | None:
        """Monotonic time of the next tick or message timeout, None if there will be none."""
        due = [task.next_tick_at_ms for task in self._ticking]
        expiry_ms = self._collector.tracker.next_expiry_ms()
        return min(due if expiry_ms is None else [*due, expiry_ms], default=None)

    def in_flight(self) -> int:
        """Spout tuples with an id whose ack or fail their spout has not had yet."""
        return sum(spout.pending for spout in self._spouts)

    def counters(self) -> dict[str, dict[str, int]]:
        """Per component the sums of its tasks: emitted, acked, failed, executed, timed_out.

        A spout's acked and failed (timed_out among them) are whole trees; ticks are not counted.
        """
        totals = {task.name: dict.fromkeys(COUNTERS, 0) for task in self._tasks}
        for task in self._tasks:
            for counter in COUNTERS:
                totals[task.name][counter] += getattr(task, counter)
        return totals

    def components(self, name: str) -> list[Any]:
        """The instances of a component, in order of their task numbers."""
        return [task.component for task in self._tasks if task.name == name]

    def _start(self, on_start: Callable[[Any], None] | None) -> None:
        for task in self._tasks:
            task.component.read_command = partial(getattr, task, "command")
            try:
                task.component.initialize(task.conf, task.context)
            except Exception as exc:
                raise self._died(task, exc) from exc
            if on_start is not None:
                on_start(task.component)
        now_ms = self._clock.monotonic_ms()
        for bolt in self._ticking:
            bolt.next_tick_at_ms = now_ms + bolt.tick_ms
        for spout in self._spouts:
            self._execute(spout, {"command": "activate"})

    def _fire_timers(self, now_ms: int) -> bool:
        has_fired = self._collector.expire(now_ms)
        for bolt in self._ticking:
            if bolt.next_tick_at_ms <= now_ms:
                periods = (now_ms - bolt.next_tick_at_ms) // bolt.tick_ms + 1
                bolt.next_tick_at_ms += periods * bolt.tick_ms
                self._collector.tick(bolt)
                has_fired = True
        return has_fired

    def _drain(self, most: int) -> bool:
        queue = self._collector.queue
        had_work = bool(queue)
        while queue and most:
            most -= 1
            task, command, roots = queue.popleft()
            if isinstance(task, BoltTask):
                task.inputs[command["id"]] = roots
                task.executed += roots is not TICK
            elif isinstance(task, SpoutTask):
                task.pending -= 1
            self._execute(task, command)
        return had_work

    def _execute(self, task: Task, command: Mapping[str, Any]) -> None:
        task.command = command
        try:
            task.component._run()
        except Exception as exc:
            if not self._survives(task, exc):
                raise self._died(task, exc) from exc
        violation = self._collector.violation
        if violation is not None:  # the component has swallowed it
            raise self._died(task, violation) from violation

    def _survives(self, task: Task, exc: Exception) -> bool:
        """Report and fail the current tuples as pystorm's own loop does."""
        component = task.component
        component.logger.error("topology=%s task=%d crashed: %r", self.name, task.number, exc)
        try:
            component._handle_run_exception(exc)
        except Exception:
            component.logger.exception("task=%d crashed again while failing", task.number)
        return bool(not component.exit_on_exception)

    def _died(self, task: Task, cause: Exception) -> TopologyDied:
        self._death = TopologyDied(task.name, self._collector.violation or cause)
        return self._death
