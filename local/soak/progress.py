"""How far the topologies are behind what was appended."""

from collections import deque
from collections.abc import Mapping

from local.topologies import consumed_topics, lag_of, topology_names
from qold.clock import Clock
from qold.ports import MessageLog, Unavailable
from qold.settings import Settings

Ends = Mapping[str, Mapping[int, int]]
"""Per topic and partition, the offset after the last record."""


class Progress:
    """Looks at every consumer of every topology."""

    def __init__(self, settings: Settings, log: MessageLog, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._consumed = {name: consumed_topics(settings, name) for name in topology_names()}
        self._consumers = [each for found in self._consumed.values() for each in found.items()]
        self._topics = {topic for _, topic in self._consumers}
        self._moments: deque[tuple[int, Ends]] = deque()
        self.passed_ms = 0
        """Everything that was appended until then is committed everywhere."""

    def behind_ms(self) -> int | None:
        """For how long something waits that is not committed; None while the log is away."""
        now_ms = self._clock.wall_ms()
        try:
            self._moments.append((now_ms, self._ends()))
            committed = _Committed(self._log)
            while self._moments and self._has_passed(self._moments[0][1], committed):
                self.passed_ms = self._moments.popleft()[0]
        except Unavailable:
            return None
        return now_ms - self._moments[0][0] if self._moments else 0

    def lags(self) -> dict[str, int]:
        """Records that each topology has not committed; raises `Unavailable`."""
        return {name: lag_of(self._log, found) for name, found in self._consumed.items()}

    def _ends(self) -> dict[str, dict[int, int]]:
        return {
            topic: {p: found.next for p, found in self._log.offsets(topic).items()}
            for topic in self._topics
        }

    def _has_passed(self, ends: Ends, committed: "_Committed") -> bool:
        """Asks whoever was behind the last time first: each answer costs a connection."""
        for number, (consumer, topic) in enumerate(self._consumers):
            positions = committed.of(consumer, topic)
            if any(positions.get(partition, 0) < end for partition, end in ends[topic].items()):
                self._consumers.insert(0, self._consumers.pop(number))
                return False
        return True


class _Committed:
    """What consumers have committed, each asked once."""

    def __init__(self, log: MessageLog) -> None:
        self._log = log
        self._known: dict[str, Mapping[int, int]] = {}

    def of(self, consumer: str, topic: str) -> Mapping[int, int]:
        if consumer not in self._known:
            self._known[consumer] = self._log.committed(consumer, topic)
        return self._known[consumer]
