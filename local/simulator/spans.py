"""Faults that last: a fridge left open, a silent shop. Each at a place drawn from the seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from local.simulator.refrigerator import Measurement, Sending
from qold.wire.frame import FLAG_DOOR

MINUTE_S, HOUR_S = 60, 3600
TRIES = 2000
MARGIN_S = HOUR_S
MAX_AGE_S = 65_000  # a frame cannot say more than 65 535

DEVICE_SPANS = {
    "door": "a fridge is left open for two to four hours",
    "silent": "a device is not heard for longer than its gateway's patience",
    "battery": "a battery is nearly empty until somebody changes it",
    "late": "a device's readings are heard up to 18 h later, shuffled",
}
GATEWAY_SPANS = {
    "gateway-silent": "a shop has no power: its gateway hears and sends nothing",
    "backlog": "a gateway is cut off for 6 h and then sends everything at once",
}
GATEWAY_SPAN_S = {"gateway-silent": (4 * HOUR_S, 5 * HOUR_S), "backlog": (6 * HOUR_S, 6 * HOUR_S)}


class Span(NamedTuple):
    """From `from_s` until before `to_s`."""

    name: str
    from_s: int
    to_s: int

    def holds(self, at_s: int) -> bool:
        return self.from_s <= at_s < self.to_s

    def meets(self, from_s: int, to_s: int) -> bool:
        return self.from_s < to_s and from_s < self.to_s


@dataclass(frozen=True, slots=True)
class Sender:
    """A device as the drawing sees it: its gateway, how often it reports, when it sends."""

    gateway: int
    interval_s: int
    sends_at_s: Sequence[int]


def suffer(sending: Sending, span: Span) -> Sending:
    """What is measured at a fridge that stands open, or by a device whose battery is nearly empty."""
    return replace(sending, measurements=tuple(_suffer(m, span) for m in sending.measurements))


def _suffer(measurement: Measurement, span: Span) -> Measurement:
    if not span.holds(measurement.at_s):
        return measurement
    if span.name == "battery" and measurement.battery is not None:
        return replace(measurement, battery=min(measurement.battery, 11))
    if span.name == "door" and measurement.temperature_centi is not None:
        minutes = (measurement.at_s - span.from_s) / MINUTE_S
        warmer = round(100 * min(14.0, 6.0 + minutes / 5))
        return replace(
            measurement,
            temperature_centi=measurement.temperature_centi + warmer,
            flags=measurement.flags | FLAG_DOOR,
        )
    return measurement


class NoRoom(ValueError):
    """A fault has not found enough places."""


@dataclass(slots=True)
class SpanPlan:
    """By number of device or gateway; the last two by (device, sending).

    `kept` are sendings that a device does not make in their time, `released` says with which later
    sending which of them go.
    """

    devices: dict[int, Span] = field(default_factory=dict)
    gateways: dict[int, list[Span]] = field(default_factory=dict)
    kept: set[tuple[int, int]] = field(default_factory=set)
    released: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def of_gateway(self, number: int, at_s: int) -> str:
        """The name of what a gateway suffers at a moment, or nothing."""
        return next((s.name for s in self.gateways.get(number, ()) if s.holds(at_s)), "")

    def is_due(self, number: int, at_s: int) -> bool:
        """Whether what a gateway kept back may be sent only now, or its back-off still lasts."""
        spans = self.gateways.get(number, ())
        return any(span.to_s <= at_s < span.to_s + MARGIN_S for span in spans)

    def of_device(self, number: int, at_s: int) -> str:
        """The same of a device."""
        span = self.devices.get(number)
        return span.name if span is not None and span.holds(at_s) else ""


def plan_spans(
    names: Sequence[str], senders: Sequence[Sender], times: int, rng: random.Random
) -> SpanPlan:
    """Place every fault `times` times; raises `NoRoom`.

    A device has one at most, none while its gateway has one, and all end early enough to be seen
    to be over.
    """
    plan = SpanPlan()
    moments: dict[int, set[int]] = {}
    for sender in senders:
        moments.setdefault(sender.gateway, set()).update(sender.sends_at_s)
    for name in (name for name in GATEWAY_SPANS if name in names):
        for _ in range(times):
            _place_gateway(name, plan, {n: sorted(at) for n, at in moments.items()}, rng)
    devices = [name for name in DEVICE_SPANS if name in names]
    share = max(times, len(senders) // 100)
    for name in devices:
        for _ in range(share):
            _place_device(name, plan, senders, rng)
    return plan


def _place_gateway(
    name: str, plan: SpanPlan, moments: Mapping[int, Sequence[int]], rng: random.Random
) -> None:
    for _ in range(TRIES):
        number = rng.choice(sorted(moments))
        begin_s = rng.choice(moments[number])
        end_s = begin_s + rng.randrange(GATEWAY_SPAN_S[name][0], GATEWAY_SPAN_S[name][1] + 1, 60)
        others = plan.gateways.setdefault(number, [])
        is_inside = moments[number][0] + MARGIN_S <= begin_s and end_s <= moments[number][-1]
        if is_inside and not any(
            span.meets(begin_s - MARGIN_S, end_s + MARGIN_S) for span in others
        ):
            others.append(Span(name, begin_s, end_s))
            return
    raise NoRoom(name)


def _place_device(name: str, plan: SpanPlan, senders: Sequence[Sender], rng: random.Random) -> None:
    for _ in range(TRIES):
        number = rng.randrange(len(senders))
        sender = senders[number]
        if number in plan.devices or len(sender.sends_at_s) < 3:
            continue
        begin_s = rng.choice(sender.sends_at_s[1:-1])
        span = Span(name, begin_s, begin_s + _length_s(name, sender, rng))
        if span.to_s > sender.sends_at_s[-1]:
            continue
        if name == "late":
            late = _delays(plan, number, sender, span, rng)
            if len(late) < 3:
                continue
            for index, later in late.items():
                plan.kept.add((number, index))
                plan.released.setdefault((number, later), []).append(index)
        elif any(
            other.meets(span.from_s - MARGIN_S, span.to_s + MARGIN_S)
            for other in plan.gateways.get(sender.gateway, ())
        ):
            continue
        plan.devices[number] = span
        return
    raise NoRoom(name)


def _length_s(name: str, sender: Sender, rng: random.Random) -> int:
    if name == "late":
        return rng.randrange(4 * HOUR_S, 12 * HOUR_S, 60)
    if name == "silent":
        return max(HOUR_S, 4 * sender.interval_s) + rng.randrange(HOUR_S, 2 * HOUR_S, 60)
    return rng.randrange(2 * HOUR_S, 4 * HOUR_S, 60)


def _delays(
    plan: SpanPlan, number: int, sender: Sender, span: Span, rng: random.Random
) -> dict[int, int]:
    """Which sendings of the span are kept back, and with which later one each goes."""

    def is_heard(at_s: int) -> bool:
        return plan.of_gateway(sender.gateway, at_s) != "gateway-silent"

    times = sender.sends_at_s
    kept = {
        index
        for index, at_s in enumerate(times)
        if span.holds(at_s) and is_heard(at_s) and rng.random() < 0.6
    }
    free = [n for n, at_s in enumerate(times) if n not in kept and is_heard(at_s)]
    late = {}
    for index in sorted(kept):
        oldest_s = times[index] - sender.interval_s
        later = [n for n in free if n > index and times[n] - oldest_s <= MAX_AGE_S]
        if later:
            late[index] = rng.choice(later)
    return late
