"""The values that cross the ports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Resource = Literal["device", "gateway"]
Metric = Literal["Temperature", "Battery"]
Channel = Literal["sms", "analytics"]
Aggregator = Literal["avg", "min", "max", "sum", "count", "first", "last"]
METRICS: tuple[Metric, ...] = ("Temperature", "Battery")


class Record(NamedTuple):
    """One record of a log partition; offsets rise by at least one, in order of append.

    `unread_bytes` is the size of a value, or of a batch of records, that is larger than a reader
    takes (`qold.domain.log_limits`); `value` is then empty and `offset` the last one skipped.
    """

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    appended_at_ms: int
    unread_bytes: int = 0


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


@dataclass(frozen=True, slots=True)
class Alert:
    """Something people are told of; the id is derived from what fired it, never random.

    `subject` is `device:7`, `gateway:2` or `system:raw`. `fired_at_ms` is the time of the reading,
    or the moment, that fired it; `value` is the extreme of an excursion, `limit` what it is beyond.
    """

    id: str
    kind: str
    subject: str
    fired_at_ms: int
    started_at_ms: int
    ended_at_ms: int | None = None
    value: float | None = None
    limit: float | None = None
    is_live: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One way in which somebody hears an alert: a phone number, or a collection of events."""

    channel: Channel
    address: str
    locale: str
    name: str
    due_at_ms: int


@dataclass(frozen=True, slots=True)
class Message:
    """Alerts that go to one address at once; `names` say what each is about to its reader."""

    id: str
    channel: Channel
    address: str
    locale: str
    alerts: tuple[Alert, ...]
    names: tuple[str, ...]
    attempts: int


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What became of a delivery: waiting, sending, delivered, refused or expired."""

    channel: str
    address: str
    status: str
    message_id: str | None
    attempts: int
    changed_at_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class AlertStory:
    """An alert and everything that became of it; `over_at_ms` is None while its cause still holds.

    An alert is over with the excursion it fired in, or with the return of what was silent; one
    whose excursion a late reading has undone was over as it fired.
    """

    alert: Alert
    topology: str
    opened_at_ms: int
    over_at_ms: int | None
    acknowledged_by: str | None
    acknowledged_at_ms: int | None
    deliveries: tuple[DeliveryStatus, ...]


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a device belongs to; blank where it is not known. `phone` is E.164."""

    name: str = ""
    owner: str = ""
    phone: str = ""
    locale: str = "en"


@dataclass(frozen=True, slots=True)
class StoredExcursion:
    """A device's readings outside its limits, as the alert log keeps them."""

    device_id: int
    kind: str
    started_at_ms: int
    confirmed_at_ms: int
    ended_at_ms: int | None
    extreme: float
    observed_ms: int


@dataclass(frozen=True, slots=True)
class DeviceExcursions:
    """Changed excursions of one device and some kinds.

    With `replace_from_ms`, first those of `kinds` go that were open then or began later.
    """

    device_id: int
    kinds: tuple[str, ...]
    excursions: tuple[StoredExcursion, ...]
    replace_from_ms: int | None = None
