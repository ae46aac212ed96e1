"""The ports that readings go through."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from qold.domain.model import (
    Aggregator,
    Device,
    Gateway,
    Metric,
    PartitionOffsets,
    Point,
    RawRow,
    Record,
    Resource,
    StateChange,
    StoredState,
)
from qold.domain.offsets import Start
from qold.ports.errors import Port, Refused


class MessageLog(Port, Protocol):
    """A partitioned, durable log; records of one key keep their order."""

    def append(self, topic: str, entries: Sequence[tuple[str, bytes]]) -> None:
        """Append (key, value) pairs in order; they are durable when it returns.

        Raises `Rejected("unknown-topic")` for a topic that was not created, `Unavailable` otherwise.
        """
        ...

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create the topics that are missing; an existing one keeps its partitions."""
        ...

    def topics(self) -> Mapping[str, int]:
        """Every topic and its number of partitions."""
        ...

    def partition_count(self, topic: str) -> int:
        """Partitions of a topic; raises `Rejected("unknown-topic")`."""
        ...

    def offsets(self, topic: str) -> Mapping[int, "PartitionOffsets"]:
        """First retained offset and next offset of every partition."""
        ...

    def committed(self, consumer: str, topic: str) -> Mapping[int, int]:
        """Offset to read next, for the partitions where the consumer has committed one."""
        ...

    def reader(
        self,
        consumer: str,
        topic: str,
        partitions: Collection[int],
        *,
        start: Start = "earliest",
    ) -> "LogReader":
        """Read partitions from the committed offset, or from `start` where there is none."""
        ...


class LogReader(Protocol):
    """Reads assigned partitions; committing is the caller's decision."""

    def poll(
        self, partitions: Collection[int], *, max_records: int, max_bytes: int, wait_ms: int
    ) -> list[Record]:
        """The next records of ONE of the partitions, in offset order, at least one if there is any.

        Takes turns between partitions. Waits up to `wait_ms` when there is nothing; may return [].
        A position that retention has passed continues at the oldest retained record, and is logged.
        """
        ...

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        """Remember the offset to read next per partition; never moves back. Durable on return."""
        ...

    def close(self) -> None: ...


class Registry(Port, Protocol):
    """Who may speak (source 5.4.1.9). Ids count from 1 and are never used twice."""

    def allocate(self, resource: Resource, count: int) -> range:
        """Take `count` fresh consecutive ids; two callers never get the same one."""
        ...

    def put_devices(self, devices: Iterable[Device]) -> None:
        """Insert or replace whole rows."""
        ...

    def put_gateways(self, gateways: Iterable[Gateway]) -> None: ...

    def devices(self, ids: Collection[int]) -> Mapping[int, Device]:
        """The known ones of `ids`; an unknown id is absent."""
        ...

    def gateways(self, ids: Collection[int]) -> Mapping[int, Gateway]: ...

    def list_devices(self, *, after_id: int = 0, limit: int = 1000) -> list[Device]:
        """One page in order of id, starting behind `after_id`."""
        ...

    def list_gateways(self, *, after_id: int = 0, limit: int = 1000) -> list[Gateway]: ...

    def delete_device(self, device_id: int) -> bool:
        """True when it was there; its id is never given again."""
        ...

    def delete_gateway(self, gateway_id: int) -> bool: ...


class RawStore(Port, Protocol):
    """Raw messages, sorted per device by time of measurement; rewriting changes nothing."""

    def write(self, rows: Sequence[RawRow]) -> list[Refused]: ...

    def read(self, device_id: int, from_ms: int, to_ms: int) -> Iterable[RawRow]:
        """Rows with from_ms <= measured_at_ms < to_ms, in order of (measured_at_ms, fingerprint)."""
        ...

    def count(self) -> int:
        """All rows; for ledgers, not for hot paths."""
        ...


class ReadingStore(Port, Protocol):
    """Time series; one value per device, metric and millisecond.

    What `write` returned for outlives the other side's process and can be read soon, embedded at
    once; it replaces a value that could be read before.
    """

    def write(self, metric: Metric, points: Sequence[Point]) -> list[Refused]:
        """Store points, the last of equal ones; NaN, infinities, strings and booleans are refused."""
        ...

    def query(self, metric: Metric, device_id: int, from_ms: int, to_ms: int) -> list[Point]:
        """Points with from_ms <= measured_at_ms < to_ms, in order of time."""
        ...

    def aggregate(
        self,
        metric: Metric,
        device_id: int,
        from_ms: int,
        to_ms: int,
        *,
        bucket_ms: int,
        aggregator: Aggregator,
    ) -> list[Point]:
        """One value per bucket that has points; a bucket starts at a multiple of `bucket_ms`."""
        ...

    def count(self, metric: Metric) -> int:
        """All points; for ledgers, not for hot paths."""
        ...

    def verify(self) -> Mapping[str, int]:
        """Look whether what was acknowledged can be read; raises nothing.

        Counts since the last call: `readable`, `late`, `lost`; nothing where a write is readable at
        once. While one is late, `write` raises `Unavailable`.
        """
        ...


class StateStore(Port, Protocol):
    """Working state per device that survives a restart."""

    def load(self, keys: Collection[str], *, now_ms: int) -> Mapping[str, StoredState]:
        """The states that exist; an expired or unknown key is absent."""
        ...

    def save(self, changes: Sequence[StateChange], *, now_ms: int) -> list[str]:
        """Compare and set each change; returns the keys whose version did not match."""
        ...

    def delete(self, keys: Collection[str]) -> None: ...


class LastSeen(Port, Protocol):
    """When each watched device was last heard (milliseconds UTC of the measurement)."""

    def enrol(self, seen_at_ms: Mapping[int, int]) -> None:
        """Watch devices from these times; one that is watched already keeps its own time."""
        ...

    def touch(self, seen_at_ms: Mapping[int, int]) -> Mapping[int, int | None]:
        """Raise the times (the later one stays); returns what each was before, None if unwatched."""
        ...

    def retire(self, device_ids: Collection[int]) -> None: ...

    def get(self, device_ids: Collection[int]) -> Mapping[int, int]: ...

    def overdue(self, before_ms: int, *, after_id: int = 0, limit: int = 1000) -> list[int]:
        """Watched devices not heard since `before_ms` (exclusive), one page in order of id."""
        ...
