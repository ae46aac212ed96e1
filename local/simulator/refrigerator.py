"""What a device measures: a refrigerator that cools, is opened, defrosts and drains its battery."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from local.simulator.bounds import Bounds
from qold.wire.frame import FLAG_DEFROST, FLAG_DOOR, Item

INTERVAL_S = 900
PHASE_S = 300


@dataclass(frozen=True, slots=True)
class Measurement:
    """The truth about one moment; hundredths of °C or None, % or None."""

    at_s: int
    temperature_centi: int | None
    battery: int | None
    flags: int


@dataclass(frozen=True, slots=True)
class Sending:
    """What a device sends at one moment: measurements in order, the last ones now."""

    at_s: int
    measurements: tuple[Measurement, ...]

    def items(self) -> tuple[Item, ...]:
        """The same as items of a frame."""
        return tuple(
            Item(self.at_s - m.at_s, m.temperature_centi, m.battery, m.flags)
            for m in self.measurements
        )


class Source(Protocol):
    """Where a device's sendings come from: a simulated appliance or a recording."""

    unit: str
    bounds: Bounds

    def sendings(self) -> Iterator[Sending]:
        """Every sending, in order of time."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of appliance: where it settles (°C), how far it swings, when it defrosts (s).

    Doors and defrosting are left alone by `bounds`, a door that stays open is not.
    """

    name: str
    settles_at: float
    swing: float
    defrost_every_s: int
    bounds: Bounds


KINDS = (
    Kind("Walk-in", 3.2, 0.9, 0, Bounds(0, 8, delay_s=1800, hysteresis=0.5)),
    Kind("Fridge", 4.1, 1.2, 0, Bounds(0, 10)),
    Kind("Display", 5.0, 1.6, 21_600, Bounds(1, 10, delay_s=2700, hysteresis=0.5)),
    Kind("Freezer", -19.0, 1.1, 28_800, Bounds(None, -14, delay_s=3600, hysteresis=1)),
    Kind("Fish counter", 1.4, 0.7, 43_200, Bounds(-2, 6, delay_s=1800)),
)


class Refrigerator:
    """A seeded appliance; measures every 15 min, some send four measurements an hour at once."""

    def __init__(self, number: int, *, seed: int, start_s: int, hours: float) -> None:
        self._random = random.Random(f"{seed}:{number}")
        self._kind = KINDS[number % len(KINDS)]
        self.unit = f"{self._kind.name} {number // len(KINDS) + 1}"
        self._start_s = start_s
        self._end_s = start_s + int(hours * 3600)
        self._phase_s = self._random.randrange(0, INTERVAL_S, PHASE_S)
        self._per_sending = 4 if self._random.random() < 0.15 and hours >= 2 else 1
        interval_s = INTERVAL_S * self._per_sending
        self.bounds = replace(self._kind.bounds, interval_s=interval_s)
        self._period_s = self._random.uniform(1500, 3300)
        self._battery = self._random.uniform(35, 100)
        self._drain_per_hour = self._random.uniform(0.005, 0.03)
        self._warmth = 0.0

    def sendings(self) -> Iterator[Sending]:
        waiting: list[Measurement] = []
        for at_s in range(self._start_s + self._phase_s, self._end_s, INTERVAL_S):
            waiting.append(self._measure(at_s))
            if len(waiting) == self._per_sending or at_s + INTERVAL_S >= self._end_s:
                yield Sending(at_s, tuple(waiting))
                waiting = []

    def _measure(self, at_s: int) -> Measurement:
        elapsed_s = at_s - self._start_s
        is_day = 8 <= at_s // 3600 % 24 < 22
        is_open = is_day and self._random.random() < 0.12
        defrost_s = self._kind.defrost_every_s
        is_defrosting = bool(defrost_s) and elapsed_s % defrost_s < 1800 and elapsed_s >= 1800
        self._warmth = self._warmth * 0.35 + (self._random.uniform(1.5, 4) if is_open else 0)
        celsius = (
            self._kind.settles_at
            + self._kind.swing * math.sin(2 * math.pi * elapsed_s / self._period_s)
            + self._warmth
            + (4.5 if is_defrosting else 0)
            + self._random.gauss(0, 0.08)
        )
        battery = max(0, round(self._battery - self._drain_per_hour * elapsed_s / 3600))
        flags = (FLAG_DOOR if is_open else 0) | (FLAG_DEFROST if is_defrosting else 0)
        return Measurement(at_s, round(celsius * 100), battery, flags)
