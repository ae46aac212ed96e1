"""What Qold needs from the outside, one Protocol per port, and the two ways a port may fail.

Every port has an embedded adapter and a distributed one under one contract suite
(`tests/contract/`). An adapter raises nothing but the two errors below:

    PortError
    ├── Rejected      this input will never work        -> dead letter, acknowledge
    └── Unavailable   the other side is away or full    -> fail, replay with back-off

Batch methods return what was refused, each with its reason, and raise only `Unavailable`,
so that one bad row never holds up its neighbours.
"""

from qold.domain.model import (
    METRICS,
    Aggregator,
    Alert,
    AlertStory,
    Contact,
    Delivery,
    DeliveryStatus,
    Device,
    DeviceExcursions,
    Gateway,
    Message,
    Metric,
    PartitionOffsets,
    Point,
    RawRow,
    Record,
    Resource,
    StateChange,
    StoredExcursion,
    StoredState,
)
from qold.domain.offsets import Start
from qold.ports.errors import Port, PortError, Refused, Rejected, Unavailable
from qold.ports.people import AlertLog, Analytics, ContactBook, Directory, LegacyApi, Notifier
from qold.ports.pipeline import (
    LastSeen,
    LogReader,
    MessageLog,
    RawStore,
    ReadingStore,
    Registry,
    StateStore,
)

__all__ = [
    "METRICS",
    "Aggregator",
    "Alert",
    "AlertLog",
    "AlertStory",
    "Analytics",
    "Contact",
    "ContactBook",
    "Delivery",
    "DeliveryStatus",
    "Device",
    "DeviceExcursions",
    "Directory",
    "Gateway",
    "LastSeen",
    "LegacyApi",
    "LogReader",
    "Message",
    "MessageLog",
    "Metric",
    "Notifier",
    "PartitionOffsets",
    "Point",
    "Port",
    "PortError",
    "RawRow",
    "RawStore",
    "ReadingStore",
    "Record",
    "Refused",
    "Registry",
    "Rejected",
    "Resource",
    "Start",
    "StateChange",
    "StateStore",
    "StoredExcursion",
    "StoredState",
    "Unavailable",
]
