"""The values that cross the ports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Resource = Literal["device", "gateway"]
Metric = Literal["Temperature", "Battery"]
Aggregator = Literal["avg", "min", "max", "sum", "count", "first", "last"]
METRICS: tuple[Metric, ...] = ("Temperature", "Battery")


class Record(NamedTuple):
    """One record of a log partition; offsets rise by at least one, in order of append."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    appended_at_ms: int


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """`first` is the oldest retained offset, `next` the one the next append gets."""

    first: int
    next: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A row of the registry; `auth` is a keyed digest or a bcrypt hash (source T5.5, T5.6)."""

    id: int
    auth: str
    active: bool
    config: Mapping[str, str] = field(default_factory=dict)


class Device(Registered):
    """A registered device."""


class Gateway(Registered):
    """A registered gateway, with its state (inventory A9)."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One authenticated reading as it was accepted (source T5.3).

    `message` is the reading record's JSON without credentials, `origin` its place in the log of
    reports. (device_id, measured_at_ms, fingerprint) is the natural key: the adapter forms the
    version-1 UUID from the last two, so that a replay rewrites the same row.
    """

    device_id: int
    measured_at_ms: int
    fingerprint: int
    message: str
    origin: str


class Point(NamedTuple):
    """One value of a metric (source T5.2): Temperature in °C (double), Battery in % (long)."""

    device_id: int
    measured_at_ms: int
    value: float | int


@dataclass(frozen=True, slots=True)
class StateChange:
    """Replace the state of `key` if it still has `version` (0: if it is absent)."""

    key: str
    version: int
    value: str
    expires_at_ms: int | None = None


class StoredState(NamedTuple):
    """A state and the version to hand back with the next change (1 or more)."""

    version: int
    value: str
