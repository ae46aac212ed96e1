"""What goes wrong in a demo: each fault a number of times, at moments drawn from the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

TIMES = 3
SHARE = 0.01

DEVICE_FAULTS = {
    "crc": "a frame is damaged on the line and sent again",
    "retransmit": "an ack is lost: the same frame again, or grown by the next reading",
    "reset": "a device starts again at sequence 0",
    "badtoken": "a device sends a wrong token",
    "unknown": "a device that nobody registered sends",
    "inactive": "a device that was switched off sends",
    "sensor": "a sensor fails, or the battery is unknown, or both",
}
GATEWAY_FAULTS = {
    "duplicate": "a gateway publishes the same report twice",
    "badgateway": "a gateway sends a wrong token",
    "clock": "a gateway's clock is an hour ahead, or in 1970",
}
FAULTS = {**DEVICE_FAULTS, **GATEWAY_FAULTS}

Slot = tuple[int, int]


class TooShort(ValueError):
    """The demo has not enough sendings for every fault to happen."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which fault strikes where: devices by (index, sending), gateways by (index, moment in s).

    The value's number tells the occurrences of one fault apart, for faults with variants.
    """

    devices: dict[Slot, tuple[str, int]]
    gateways: dict[Slot, tuple[str, int]]


def plan_faults(
    names: Sequence[str],
    device_slots: Sequence[tuple[Slot, Slot]],
    gateway_slots: Sequence[Slot],
    rng: random.Random,
) -> FaultPlan:
    """Draw the moments; every fault at least `TIMES` times, raises `TooShort` if that cannot be.

    `device_slots` pairs a device's sending with the gateway's moment it happens in: no sending has
    two faults, and none of its own while its gateway has one.
    """
    gateways = _draw([name for name in GATEWAY_FAULTS if name in names], gateway_slots, rng)
    free = [slot for slot, moment in device_slots if moment not in gateways]
    devices = _draw([name for name in DEVICE_FAULTS if name in names], free, rng)
    return FaultPlan(devices, gateways)


def _draw(
    names: Sequence[str], slots: Sequence[Slot], rng: random.Random
) -> dict[Slot, tuple[str, int]]:
    if not names:
        return {}
    times = max(TIMES, int(len(slots) * SHARE / len(names)))
    shuffled = rng.sample(list(slots), len(slots))
    drawn: dict[Slot, tuple[str, int]] = {}
    for name in sorted(names, key=lambda name: name != "reset"):
        # A device's first sending has sequence 0 anyway: there is nothing to reset.
        free = (slot for slot in shuffled if slot not in drawn and (slot[1] or name != "reset"))
        chosen = list(islice(free, times))
        if len(chosen) < times:
            raise TooShort(
                f"{len(slots)} sendings are too few for {', '.join(names)} {TIMES} times each;"
                " use more --devices, more --hours or fewer --faults"
            )
        drawn.update({slot: (name, number) for number, slot in enumerate(chosen)})
    return drawn
