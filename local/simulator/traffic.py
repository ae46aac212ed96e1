"""What devices put on the line at one moment, faults included, and what must become of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cobs import cobs

from local.simulator.device import Device, Reading, frame_of
from local.simulator.faults import FaultPlan
from local.simulator.fleet import STRANGER_ID, Fleet
from local.simulator.refrigerator import Sending
from local.simulator.spans import suffer
from qold.wire.frame import DELIMITER, MAX_DEVICE_TOKEN, MAX_ITEMS, Frame, encode

HOUR_MS = 3_600_000
AFTER_BOOT_MS = 300_000


@dataclass(slots=True)
class Transmission:
    """Bytes for a gateway's line; `reason` is why the device is refused, empty if it is not.

    `is_lost`: nobody is there to hear them.
    """

    gateway: int
    data: bytes
    acks: int = 1
    readings: list[Reading] = field(default_factory=list)
    reason: str = ""
    repeats: int = 0
    crc_errors: int = 0
    is_lost: bool = False


class Traffic:
    """Turns sendings into transmissions, following the plan of faults."""

    def __init__(self, fleet: Fleet, plan: FaultPlan, rng: random.Random) -> None:
        self._fleet = fleet
        self._plan = plan
        self._rng = rng
        self._strangers = 0
        self._now_s = 0
        self._kept: dict[tuple[int, int], list[Reading]] = {}
        self._skewed: set[tuple[int, int]] = {
            slot for slot, (name, _) in plan.gateways.items() if name == "clock"
        }

    def begin(self, at_s: int, now_s: int) -> None:
        """Put every gateway into the condition the plan has for this moment.

        `now_s` is when frames are sent, which may be a little later.
        """
        self._now_s = now_s
        for number, site in enumerate(self._fleet.sites):
            name, variant = self._plan.gateways.get((number, at_s), ("", 0))
            site.uplink.times = 2 if name == "duplicate" else 1
            site.uplink.is_cut = self._plan.spans.of_gateway(number, at_s) == "backlog"
            site.has_wrong_token = name == "badgateway"
            site.clock.skew_ms = 0
            if name == "clock":
                site.clock.skew_ms = HOUR_MS if variant % 2 == 0 else AFTER_BOOT_MS - at_s * 1000

    def transmissions(
        self, number: int, index: int, sending: Sending, settle: Callable[[], None]
    ) -> list[Transmission]:
        """The frames of the `index`-th sending of device `number`; `settle` lets caches follow."""
        device = self._fleet.devices[number]
        spans = self._plan.spans
        if spans.of_device(number, sending.at_s) == "silent":
            device.previous = []
            return []
        span = spans.devices.get(number)
        if span is not None:
            sending = suffer(sending, span)
        if (number, index) in spans.kept:
            self._kept[number, index] = device.take(sending)
            device.previous = []
            return []
        if spans.of_gateway(device.gateway, sending.at_s) == "gateway-silent":
            readings = device.take(sending)
            device.previous = []
            return [Transmission(device.gateway, b"", acks=0, readings=readings, is_lost=True)]
        frames = [
            self._late(device, self._kept.pop((number, kept)))
            for kept in spans.released.get((number, index), ())
        ]
        frames += self._punctual(number, index, sending, settle)
        if len(frames) > 1 and spans.released.get((number, index)):
            self._rng.shuffle(frames)
        return frames

    def _late(self, device: Device, readings: list[Reading]) -> Transmission:
        frame = frame_of(readings, at_s=self._now_s, token=device.token)
        return Transmission(device.gateway, encode(frame), readings=readings)

    def _punctual(
        self, number: int, index: int, sending: Sending, settle: Callable[[], None]
    ) -> list[Transmission]:
        device = self._fleet.devices[number]
        name, variant = self._plan.devices.get((number, index), ("", 0))
        if name == "sensor":
            sending = _with_sensor_fault(sending, variant)
        if name == "reset":
            device.sequence = 0
        previous = device.previous
        readings = device.take(sending)
        frame = frame_of(readings, at_s=self._now_s, token=device.token)
        normal = Transmission(device.gateway, encode(frame), readings=readings)
        if name == "crc":
            damaged = Transmission(device.gateway, self._damaged(frame), acks=0, crc_errors=1)
            return [damaged, normal]
        if name == "retransmit":
            return self._repeated(device, normal, frame, previous, variant)
        if name == "badtoken":
            wrong = frame_of(readings, at_s=self._now_s, token=device.token % MAX_DEVICE_TOKEN + 1)
            return [replace(normal, data=encode(wrong), reason="bad-device-token")]
        if name == "unknown":
            return [normal, self._stranger(device, sending)]
        if name == "inactive":
            settle()
            self._fleet.provisioning.change_device(device.device_id, active=False)
            settle()
            return [replace(normal, reason="inactive")]
        return [normal]

    def after(self, number: int, index: int, settle: Callable[[], None]) -> None:
        """Undo what a fault changed for longer than its moment."""
        if self._plan.devices.get((number, index), ("", 0))[0] == "inactive":
            device_id = self._fleet.devices[number].device_id
            settle()
            self._fleet.provisioning.change_device(device_id, active=True)
            settle()

    def _repeated(
        self,
        device: Device,
        normal: Transmission,
        frame: Frame,
        previous: list[Reading],
        variant: int,
    ) -> list[Transmission]:
        together = [*previous, *normal.readings]
        moment = normal.readings[-1].measurement.at_s
        can_grow = (
            previous
            and len(together) <= MAX_ITEMS
            and moment - previous[0].measurement.at_s <= 0xFFFF
            and (device.gateway, previous[-1].measurement.at_s) not in self._skewed
        )
        if variant % 2 and can_grow:
            grown = frame_of(together, at_s=self._now_s, token=device.token)
            return [replace(normal, data=encode(grown), repeats=len(previous))]
        again = Transmission(device.gateway, encode(frame), repeats=len(normal.readings))
        return [normal, again]

    def _stranger(self, device: Device, sending: Sending) -> Transmission:
        self._strangers += 1
        stranger = replace(device, device_id=STRANGER_ID + self._strangers, sequence=0)
        readings = stranger.take(sending)
        frame = frame_of(readings, at_s=self._now_s, token=device.token)
        return Transmission(
            device.gateway, encode(frame), readings=readings, reason="unknown-device"
        )

    def _damaged(self, frame: Frame) -> bytes:
        # Damaged before the encoding: on the line, a flip may also break the COBS framing.
        content = bytearray(frame.to_bytes())
        content[self._rng.randrange(2, 16)] ^= 1 << self._rng.randrange(8)
        return bytes(cobs.encode(bytes(content))) + DELIMITER


def _with_sensor_fault(sending: Sending, variant: int) -> Sending:
    *earlier, last = sending.measurements
    failed = replace(
        last,
        temperature_centi=last.temperature_centi if variant % 3 == 1 else None,
        battery=last.battery if variant % 3 == 0 else None,
    )
    return replace(sending, measurements=(*earlier, failed))
