"""What was handed to a reading store, what it acknowledged, and what can be read of it."""

from collections.abc import Sequence

from qold.ports import Metric, Point, ReadingStore, Unavailable


class ReadingLedger:
    """Windows for a store that may be away: written until they are acknowledged, then compared."""

    def __init__(self, store: ReadingStore, metric: Metric = "Temperature") -> None:
        self._store, self._metric = store, metric
        self.sent: set[Point] = set()
        self.acknowledged: set[Point] = set()
        self.unavailable = 0

    def write(self, window: Sequence[Point]) -> bool:
        """Hand a window over once; whether it was acknowledged."""
        self.sent.update(window)
        try:
            assert self._store.write(self._metric, window) == []
        except Unavailable:
            self.unavailable += 1
            return False
        self.acknowledged.update(window)
        return True

    def differences(self) -> tuple[set[Point], set[Point]]:
        """What was acknowledged and cannot be read, and what can be and was never sent.

        While the store is away everything is missing.
        """
        try:
            stored = self._stored()
        except Unavailable:
            return self.acknowledged, set()
        return self.acknowledged - stored, stored - self.sent

    def _stored(self) -> set[Point]:
        return {
            point
            for device_id in {point.device_id for point in self.sent}
            for point in self._store.query(self._metric, device_id, 0, 2**53)
        }
