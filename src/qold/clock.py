"""The only source of time for components: wall time for facts, monotonic time for waiting."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from qold.private_files import write_private


class Clock(Protocol):
    """Both readings are integer milliseconds."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC; may jump."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since an arbitrary point; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


class ScaledClock:
    """Wall time that stands until it is started and then runs so many times as fast as the machine's.

    Its file tells every process of an installation alike. Monotonic time is the machine's own:
    windows, back-off and patience are about machines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scale, self._wall_ms, self._started_ms = 1, 0, 0

    @classmethod
    def create(cls, path: Path, *, scale: int, wall_ms: int) -> "ScaledClock":
        """One that stands at a time."""
        clock = cls(path)
        clock._write(scale, wall_ms, 0)
        return clock

    def start(self) -> None:
        """Let it run from now on."""
        self._read()
        self._write(self._scale, self._wall_ms, _now_ms())

    def wall_ms(self) -> int:
        return self.wall_at_ms(_now_ms())

    def monotonic_ms(self) -> int:
        return SystemClock().monotonic_ms()

    def wall_at_ms(self, machine_ms: int) -> int:
        """What it shows at a moment of the machine's own wall time."""
        if not self._started_ms:
            self._read()
        if not self._started_ms:
            return self._wall_ms
        return self._wall_ms + self._scale * max(0, machine_ms - self._started_ms)

    def left_s(self, wall_ms: int) -> float:
        """How many seconds of the machine's it takes, while it runs, until it shows a time."""
        return (wall_ms - self.wall_ms()) / self._scale / 1000

    def _read(self) -> None:
        self._scale, self._wall_ms, self._started_ms = json.loads(self._path.read_text("ascii"))

    def _write(self, scale: int, wall_ms: int, started_ms: int) -> None:
        write_private(self._path, json.dumps([scale, wall_ms, started_ms]))


def scaled_clock(url: str, state_dir: str) -> ScaledClock | None:
    """The clock of the setting `clock_url`, its file in the state folder; None for the machine's."""
    scheme, _, path = url.partition(":")
    return ScaledClock(Path(state_dir) / path) if scheme == "scaled" else None


def shown_by(clock: Clock) -> Callable[[int], int]:
    """From a moment of this machine's wall time to what a clock shows then, both in ms."""
    return clock.wall_at_ms if isinstance(clock, ScaledClock) else int


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
