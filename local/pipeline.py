"""Topologies side by side in this process, under one simulated clock."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from local.runner import LocalTopology
from local.simulator.clock import SimulatedClock
from local.topologies import load_topology
from qold.settings import Settings

BY_THE_CLOCK = ("thresholds", "alert", "system")
"""Those with a spout that looks for work as time passes."""


class Pipeline:
    """The named topologies on the stores of `settings`; steps them in the order of the names."""

    def __init__(self, names: Sequence[str], settings: Settings, clock: SimulatedClock) -> None:
        self._conf = settings.to_storm_conf()
        self._clock = clock
        self._classes = {name: load_topology(name) for name in names}
        self._dead: Counter[str] = Counter()
        self._running: dict[str, LocalTopology] = {}
        for name in names:
            self._running[name] = self._start(name)

    def step(self) -> bool:
        """A step of each; True when something happened."""
        return any([topology.step() for topology in self._running.values()])

    def look(self) -> None:
        """Let those work that have something to do when nothing arrives."""
        for name in BY_THE_CLOCK:
            if name in self._running:
                self._running[name].run_until_idle()

    def kill(self, name: str, steps: int) -> None:
        """Let go of a topology in the middle of its work, after so many messages, and build it anew."""
        for _ in range(steps):
            for topology in self._running.values():
                topology.step(most=1)
        self._dead += self._counted(name)
        self._running[name] = self._start(name)

    def next_timer_ms(self) -> int | None:
        """Until when what is in flight waits; None when nothing is."""
        timers = [
            timer_ms
            for topology in self._running.values()
            if topology.in_flight() and (timer_ms := topology.next_timer_ms()) is not None
        ]
        return min(timers, default=None)

    def count(self, name: str) -> int:
        """`topology.counter`, summed over its components, also over those that were killed."""
        return self._counters()[name]

    def count_named(self, name: str) -> int:
        """The same, summed over all topologies."""
        return sum(n for key, n in self._counters().items() if key.partition(".")[2] == name)

    def count_all(self, prefix: str) -> int:
        """The sum of all counters whose names begin so."""
        return sum(n for name, n in self._counters().items() if name.startswith(prefix))

    def stop(self) -> None:
        for topology in self._running.values():
            topology.stop()

    def _start(self, name: str) -> LocalTopology:
        return LocalTopology(self._classes[name], name=name, conf=self._conf, clock=self._clock)

    def _counters(self) -> Counter[str]:
        total = Counter(self._dead)
        for name in self._running:
            total += self._counted(name)
        return total

    def _counted(self, name: str) -> Counter[str]:
        # Prefixed, because several topologies count `stored` or `delivered`.
        found: Counter[str] = Counter()
        topology = self._running[name]
        for component in topology.counters():
            for instance in topology.components(component):
                instances: Any = instance.counters
                found.update({f"{name}.{key}": n for key, n in instances.items()})
        return found
