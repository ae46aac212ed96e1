"""Looking at how far topologies are, until something holds or nothing moves any more."""

import time
from collections.abc import Callable, Mapping

from local.bench.full.consumption import Look

LOOK_S = 0.25
PATIENCE_S = 600.0
"""So long nothing may move."""
TELL_EVERY_S = 5.0


class Watch:
    """`done` counts records that are committed, `cpu_s` is what every process has spent."""

    def __init__(self, done: Callable[[], int], cpu_s: Callable[[], Mapping[str, float]]) -> None:
        self.looks: list[Look] = []
        self._done, self._cpu_s = done, cpu_s

    @property
    def done(self) -> int:
        return self.looks[-1].done if self.looks else 0

    def look(self) -> Look:
        self.looks.append(Look(time.monotonic(), self._done(), self._cpu_s()))
        return self.looks[-1]

    def until(
        self, condition: Callable[[], bool], told: Callable[[int], None] = lambda done: None
    ) -> None:
        """Until it holds, or nothing has moved for too long; `told` hears now and then how far it is."""
        moved_at, before = time.monotonic(), -1
        told_at = moved_at
        while time.monotonic() < moved_at + PATIENCE_S:
            look = self.look()
            if look.done != before:
                moved_at, before = look.at_s, look.done
            if condition():
                return
            if look.at_s > told_at + TELL_EVERY_S:
                told_at = look.at_s
                told(look.done)
            time.sleep(LOOK_S)
