"""A simulated device: its identity, its sequence numbers, and the frames it makes."""

from dataclasses import dataclass, field

from local.simulator.refrigerator import Measurement, Sending, Source
from qold.wire.frame import MAX_SEQUENCE, Frame, Item


@dataclass(slots=True)
class Reading:
    """One measurement under the sequence number it was sent with."""

    device_id: int
    sequence: int
    measurement: Measurement


@dataclass(slots=True)
class Device:
    """`token` is what the device sends, right or wrong; `previous` its last frame's readings."""

    device_id: int
    token: int
    gateway: int
    source: Source
    sequence: int = 0
    previous: list[Reading] = field(default_factory=list)

    def take(self, sending: Sending) -> list[Reading]:
        """The sending's measurements with fresh sequence numbers."""
        readings = []
        for measurement in sending.measurements:
            readings.append(Reading(self.device_id, self.sequence, measurement))
            self.sequence = (self.sequence + 1) & MAX_SEQUENCE
        self.previous = readings
        return readings


def frame_of(readings: list[Reading], *, at_s: int, token: int) -> Frame:
    """Consecutive readings of one device as a frame sent at `at_s`."""
    items = tuple(
        Item(at_s - m.at_s, m.temperature_centi, m.battery, m.flags)
        for m in (reading.measurement for reading in readings)
    )
    return Frame(readings[0].device_id, token, readings[0].sequence, items)
