"""What a simulation knows to be true: every reading sent, and what must have become of it.

Independent of the pipeline on purpose: plain bookkeeping, no code of `qold.domain`.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from local.simulator.device import Reading

FUTURE_S, EARLIEST_S = 300, 1_451_606_400  # refused beyond (docs/wire-format.md)

Content = tuple[int, int, int, float | None, int | None, int]
"""device id, measured at (s), sequence, °C, %, flags."""


class Heard(NamedTuple):
    """An accepted reading as it reached the log; times in s."""

    device_id: int
    gateway: int
    at_s: int
    received_s: int
    celsius: float | None
    battery: int | None


@dataclass(slots=True)
class Ledger:
    """Counts are readings. `raw` holds each stored content once, the metrics their last value.

    `heard` are the accepted ones in the order in which they reached the log,
    `jumped` the gateways whose clock was wrong, each with when it first was (s).
    """

    sent: int = 0
    acknowledged: int = 0
    authenticated: int = 0
    crc_errors: int = 0
    repeats: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    raw: set[Content] = field(default_factory=set)
    temperature: dict[tuple[int, int], float] = field(default_factory=dict)
    battery: dict[tuple[int, int], int] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    jumped: dict[int, int] = field(default_factory=dict)
    first_rejected_s: int | None = None

    def expect(
        self,
        reading: Reading,
        reason: str,
        *,
        gateway: int,
        received_s: int,
        skew_s: int,
        published: int,
    ) -> None:
        """Note a reading that its gateway published so many times.

        `reason` is why its device or gateway is refused, empty if it is not; its time is judged
        here. `skew_s` is the error of the gateway's clock.
        """
        measurement = reading.measurement
        time_s = measurement.at_s + skew_s
        if not reason and not EARLIEST_S <= time_s <= received_s + FUTURE_S:
            reason = "bad-time"
        if reason:
            self.rejected[reason] += published
            if self.first_rejected_s is None:
                self.first_rejected_s = received_s
            return
        self.authenticated += published
        centi, battery = measurement.temperature_centi, measurement.battery
        celsius = None if centi is None else centi / 100
        device_id = reading.device_id
        self.heard.append(Heard(device_id, gateway, time_s, received_s, celsius, battery))
        self.raw.add((device_id, time_s, reading.sequence, celsius, battery, measurement.flags))
        if celsius is not None:
            self.temperature[device_id, time_s] = celsius
        if battery is not None:
            self.battery[device_id, time_s] = battery
