"""What is put in: two workloads, and the readings, records and reports they consist of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qold.provisioning import NewDevice, NewGateway
from qold.records import (
    VERSION,
    Batch,
    Credentials,
    DeviceId,
    GatewayId,
    Reading,
    ReadingRecord,
    Report,
    encode,
)

SIZES = {"backlog": (1_000, 100), "steady": (70_000, 1)}
"""Devices, and readings of each."""

INTERVAL_S = 600  # a hundred of them are not too old for a frame
DEVICES_PER_GATEWAY = 15  # equipments of a client (source C.1)
REPORT_READINGS = 500  # as gateways group them by default

Content = tuple[int, int, int | None, float | None, int | None]
"""device id, measured at (s), sequence, °C, %: a reading as the ledger knows it."""


@dataclass(frozen=True, slots=True)
class Workload:
    """So many devices, each with so many consecutive readings, the last one at `end_s`.

    They come in `parts`, one after the other: of each device the first so many readings, then the
    next. Every part is received a second after its last reading was measured.
    """

    name: str
    devices: int
    readings: int
    end_s: int
    first_id: int = 1
    parts: int = 1

    @property
    def total(self) -> int:
        return self.devices * self.readings

    @property
    def device_ids(self) -> range:
        return range(self.first_id, self.first_id + self.devices)

    @property
    def part_readings(self) -> int:
        """Readings of one device in one part."""
        return self.readings // self.parts

    def indices(self, part: int) -> range:
        """Which of a device's readings a part has."""
        return range(part * self.part_readings, (part + 1) * self.part_readings)

    def received_s(self, index: int) -> int:
        """When the part of a device's reading is received."""
        last = self.indices(index // self.part_readings)[-1]
        return self.end_s - (self.readings - 1 - last) * INTERVAL_S + 1

    def readings_of(self, device_id: int) -> list[Reading]:
        """In order of time; the same ones at every call."""
        first_s = self.end_s - (self.readings - 1) * INTERVAL_S
        return [
            Reading(
                centi(device_id, index) / 100,
                first_s + index * INTERVAL_S,
                percent(device_id, index),
                index,
            )
            for index in range(self.readings)
        ]

    def contents(self) -> Iterator[Content]:
        """Every reading, as `content` makes it."""
        for device_id in self.device_ids:
            for reading in self.readings_of(device_id):
                yield content(device_id, reading)


def content(device_id: int, reading: Reading) -> Content:
    """What of a reading must arrive unchanged."""
    return (device_id, reading.time, reading.seq, reading.temp, reading.batt)


def centi(device_id: int, index: int) -> int:
    """A temperature in hundredths of °C, 2.00 to 7.99."""
    return 200 + (device_id * 37 + index * 11) % 600


def percent(device_id: int, index: int) -> int:
    """A battery level that falls slowly."""
    return 100 - (device_id + index // 16) % 60


def reading_records(workload: Workload, part: int = 0) -> list[tuple[str, bytes]]:
    """Key and value of every record that authentication would write of a part."""
    indices = workload.indices(part)
    received = workload.received_s(indices[0])
    records = []
    for device_id in workload.device_ids:
        gateway = GatewayId(gateway_of(device_id))
        readings = workload.readings_of(device_id)
        for index in indices:
            reading = readings[index]
            origin = f"reports:0:{device_id}:{index}"
            record = ReadingRecord(VERSION, DeviceId(device_id), gateway, reading, received, origin)
            records.append((str(device_id), encode(record)))
    return records


def gateway_of(device_id: int) -> int:
    """The gateway through which a device speaks."""
    return 1 + (device_id - 1) // DEVICES_PER_GATEWAY


def reports(
    workload: Workload,
    devices: Sequence[NewDevice],
    gateways: Sequence[NewGateway],
    part: int = 0,
) -> list[tuple[str, bytes]]:
    """Key and value of every report of a part, as each gateway would group what its devices say."""
    indices = workload.indices(part)
    mine_of = slice(indices.start, indices.stop)
    sent_s = workload.received_s(indices[0]) - 1
    per_report = max(1, min(DEVICES_PER_GATEWAY, REPORT_READINGS // len(indices)))
    entries = []
    for number, gateway in enumerate(gateways):
        first = number * DEVICES_PER_GATEWAY
        mine = devices[first : first + DEVICES_PER_GATEWAY]
        for start in range(0, len(mine), per_report):
            batches = [
                Batch(Credentials(device.id, device.auth), workload.readings_of(device.id)[mine_of])
                for device in mine[start : start + per_report]
            ]
            sealed = Report(VERSION, Credentials(gateway.id, gateway.auth), batches, sent_s)
            entries.append((str(gateway.id), encode(sealed)))
    return entries
