"""One simulated time for everything in a demo, and a gateway's wrong idea of it."""

from qold.clock import Clock


class SimulatedClock:
    """Moves only when told; wall and monotonic time move together."""

    def __init__(self, wall_ms: int) -> None:
        self._wall_ms = wall_ms

    def wall_ms(self) -> int:
        return self._wall_ms

    def monotonic_ms(self) -> int:
        return self._wall_ms

    def advance_to(self, wall_ms: int) -> None:
        """Never goes back."""
        self._wall_ms = max(self._wall_ms, wall_ms)


class SkewedClock:
    """Another clock whose wall time is wrong by `skew_ms`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skew_ms = 0

    def wall_ms(self) -> int:
        return self._clock.wall_ms() + self.skew_ms

    def monotonic_ms(self) -> int:
        return self._clock.monotonic_ms()
