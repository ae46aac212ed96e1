"""What goes wrong in a demo: each fault a number of times, at moments drawn from the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from local.simulator.spans import (
    DEVICE_SPANS,
    GATEWAY_SPANS,
    NoRoom,
    Sender,
    SpanPlan,
    plan_spans,
)

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
RESTART = {"restart": "a topology is killed at work and started again, each of them"}
FAULTS = {**DEVICE_FAULTS, **GATEWAY_FAULTS, **DEVICE_SPANS, **GATEWAY_SPANS, **RESTART}

Slot = tuple[int, int]


class TooShort(ValueError):
    """The demo has not enough sendings for every fault to happen."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which fault strikes where: devices by (number, sending), gateways by (number, moment in s).

    The value's number tells the occurrences of one fault apart, for faults with variants.
    `restarts` names by moment the topologies that are killed, each after so many steps.
    """

    devices: dict[Slot, tuple[str, int]]
    gateways: dict[Slot, tuple[str, int]]
    spans: SpanPlan
    restarts: dict[int, list[tuple[str, int]]]


def plan_faults(
    names: Sequence[str],
    senders: Sequence[Sender],
    topologies: Sequence[str],
    rng: random.Random,
) -> FaultPlan:
    """Draw the moments; every fault at least `TIMES` times, raises `TooShort` if that cannot be.

    No sending has two faults of a moment, and none of its own while its gateway has one, or while
    nothing of it is heard.
    """
    try:
        spans = plan_spans(names, senders, TIMES, rng)
    except NoRoom as exc:
        raise TooShort(
            f"there is no room for {exc} {TIMES} times;"
            " use more --devices, more --gateways, more --hours or fewer --faults"
        ) from exc
    slots = [
        ((number, index), (sender.gateway, at_s))
        for number, sender in enumerate(senders)
        for index, at_s in enumerate(sender.sends_at_s)
        if _is_heard(spans, sender, number, index, at_s)
    ]
    slots.sort(key=lambda slot: slot[1][1])
    gateway_slots = list(dict.fromkeys(moment for _, moment in slots))
    gateways = _draw([name for name in GATEWAY_FAULTS if name in names], gateway_slots, rng)
    free = [slot for slot, moment in slots if moment not in gateways]
    devices = _draw([name for name in DEVICE_FAULTS if name in names], free, rng)
    restarts = _restarts(topologies, gateway_slots, rng) if "restart" in names else {}
    return FaultPlan(devices, gateways, spans, restarts)


def _is_heard(spans: SpanPlan, sender: Sender, number: int, index: int, at_s: int) -> bool:
    """Whether a sending arrives alone and at its time: the plain case that other faults spoil."""
    return (
        not spans.of_gateway(sender.gateway, at_s)
        and not spans.is_due(sender.gateway, at_s)
        and spans.of_device(number, at_s) not in ("silent", "late")
        and (number, index) not in spans.released
    )


def _restarts(
    topologies: Sequence[str], gateway_slots: Sequence[Slot], rng: random.Random
) -> dict[int, list[tuple[str, int]]]:
    moments = sorted({at_s for _, at_s in gateway_slots})[1:]
    if len(moments) < TIMES:
        raise TooShort(f"{len(moments)} moments are too few for restart; use more --hours")
    restarts: dict[int, list[tuple[str, int]]] = {}
    for name in topologies:
        for at_s in rng.sample(moments, TIMES):
            restarts.setdefault(at_s, []).append((name, rng.randrange(8)))
    return restarts


def _draw(
    names: Sequence[str], slots: Sequence[Slot], rng: random.Random
) -> dict[Slot, tuple[str, int]]:
    if not names:
        return {}
    times = max(TIMES, int(len(slots) * SHARE / len(names)))
    shuffled = rng.sample(list(slots), len(slots))
    usable = set(slots)
    drawn: dict[Slot, tuple[str, int]] = {}
    for name in sorted(names, key=lambda name: name != "reset"):
        free = (slot for slot in shuffled if slot not in drawn and _suits(name, slot, usable))
        chosen = list(islice(free, times))
        if len(chosen) < times:
            raise TooShort(
                f"{len(slots)} sendings are too few for {', '.join(names)} {TIMES} times each;"
                " use more --devices, more --hours or fewer --faults"
            )
        drawn.update({slot: (name, number) for number, slot in enumerate(chosen)})
    return drawn


def _suits(name: str, slot: Slot, slots: set[Slot]) -> bool:
    number, index = slot
    if name == "inactive":
        # Who is switched on again is watched from then: only its next reading makes that no matter.
        return (number, index + 1) in slots
    # A device's first sending has sequence 0 anyway: there is nothing to reset.
    return name != "reset" or index > 0
