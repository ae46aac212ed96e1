"""Who has fallen silent, and who is back (source 7.3.5; inventory A26, A27, A40).

A device is silent after max(1 h, 4 intervals) without a reading, counted from its activation where
it never spoke. A gateway is silent when none of its devices was heard for 3 of the longest of their
intervals. Its devices are folded in: nobody is told of one of them singly while its gateway is
silent, or in doubt (not heard for the shortest interval), and after its return they are counted from then.
Each silence is one alert, with one more when it ends; both are named after the silence's start.
"""

from dataclasses import dataclass

from qold.domain.alerts import alert_id
from qold.domain.model import Alert

LEAST_SILENCE_MS = 3_600_000
DEVICE_INTERVALS, GATEWAY_INTERVALS = 4, 3

EXACT_MS = 300_000
LATE_MS = 5_400_000


@dataclass(slots=True)
class DeviceWatch:
    """What is kept of a device: the gateway it is heard through, and since when it is silent.

    A silence counts from when its device was last heard.
    """

    gateway_id: int | None = None
    silent_since_ms: int | None = None


@dataclass(slots=True)
class GatewayWatch:
    """What is kept of a gateway: likewise, when it was last back, and a device heard through it.

    The people of that device are those of the gateway.
    """

    silent_since_ms: int | None = None
    back_at_ms: int = 0
    device_id: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """That a device was heard at a time, through a gateway."""

    at_ms: int
    gateway_id: int


def device_heard_at_ms(measured_at_ms: int, received_at_ms: int) -> int | None:
    """When a reading says that its device lived: when it was measured, by a clock that can be right.

    One that came up to 90 min later counts from when it came: it waited on its way, or the
    gateway's clock is an hour behind. Later still, it tells of the past and not of now: None.
    """
    age_ms = received_at_ms - measured_at_ms
    if age_ms > LATE_MS:
        return None
    return measured_at_ms if 0 <= age_ms <= EXACT_MS else received_at_ms


def gateway_heard_at_ms(measured_at_ms: int, received_at_ms: int) -> int:
    """A gateway lives when it delivers, however old the reading."""
    at_ms = device_heard_at_ms(measured_at_ms, received_at_ms)
    return received_at_ms if at_ms is None else at_ms


def device_limit_ms(interval_ms: int) -> int:
    """How long a device may be silent."""
    return max(LEAST_SILENCE_MS, DEVICE_INTERVALS * interval_ms)


def gateway_limit_ms(interval_ms: int) -> int:
    """How long a gateway may be silent whose devices report every `interval_ms` or more often."""
    return GATEWAY_INTERVALS * interval_ms


def counted_from_ms(
    heard_at_ms: int | None, silent_since_ms: int | None, limit_ms: int, now_ms: int
) -> int:
    """From when a device counts whose working state is gone; `heard_at_ms` is its last reading.

    Longer ago than allowed and nobody told: it was not watched then, and counts from now.
    """
    if silent_since_ms is not None:
        return max(silent_since_ms, heard_at_ms or 0)
    if heard_at_ms is not None and now_ms - heard_at_ms < limit_ms:
        return heard_at_ms
    return now_ms


def hear_device(device_id: int, watch: DeviceWatch, heard: Heard) -> Alert | None:
    """Note that a device was heard; the alert if it is back."""
    watch.gateway_id = heard.gateway_id
    since_ms = watch.silent_since_ms
    if since_ms is None or heard.at_ms <= since_ms:
        return None
    watch.silent_since_ms = None
    return _alert("device", device_id, "back", since_ms, heard.at_ms)


def hear_gateway(gateway_id: int, watch: GatewayWatch, at_ms: int) -> Alert | None:
    """Note that a gateway delivered; the alert if it is back."""
    since_ms = watch.silent_since_ms
    if since_ms is None or at_ms <= since_ms:
        return None
    watch.silent_since_ms = None
    watch.back_at_ms = at_ms
    return _alert("gateway", gateway_id, "back", since_ms, at_ms)


def judge_gateway(
    gateway_id: int,
    watch: GatewayWatch,
    heard_at_ms: int,
    *,
    interval_ms: int,
    devices: int,
    device_id: int,
    judged_at_ms: int,
) -> Alert | None:
    """The alert if a gateway is silent now and was not before.

    `devices` are folded in, `device_id` is one of them.
    """
    fired_at_ms = heard_at_ms + gateway_limit_ms(interval_ms)
    if watch.silent_since_ms is not None or judged_at_ms < fired_at_ms:
        return None
    watch.silent_since_ms, watch.device_id = heard_at_ms, device_id
    return _alert("gateway", gateway_id, "silent", heard_at_ms, fired_at_ms, str(devices))


@dataclass(frozen=True, slots=True)
class Through:
    """The gateway a device is heard through: its watch, when it was heard, its shortest interval."""

    watch: GatewayWatch
    heard_at_ms: int
    interval_ms: int


def judge_device(
    device_id: int,
    watch: DeviceWatch,
    heard_at_ms: int,
    through: Through | None,
    *,
    interval_ms: int,
    judged_at_ms: int,
) -> Alert | None:
    """The alert if a device is silent now and was not before.

    `through` is None for a device that never spoke, or whose gateway nobody watches any more.
    """
    if watch.silent_since_ms is not None:
        return None
    counted_from_ms = heard_at_ms
    if through is not None:
        in_doubt = judged_at_ms - through.heard_at_ms > through.interval_ms
        if through.watch.silent_since_ms is not None or in_doubt:
            return None
        counted_from_ms = max(heard_at_ms, through.watch.back_at_ms)
    fired_at_ms = counted_from_ms + device_limit_ms(interval_ms)
    if judged_at_ms < fired_at_ms:
        return None
    watch.silent_since_ms = heard_at_ms
    return _alert("device", device_id, "silent", heard_at_ms, fired_at_ms)


def _alert(
    what: str, identity: int, event: str, since_ms: int, fired_at_ms: int, detail: str = ""
) -> Alert:
    kind = f"{what}.{event}"
    return Alert(
        id=alert_id(identity, kind, since_ms),
        kind=kind,
        subject=f"{what}:{identity}",
        fired_at_ms=fired_at_ms,
        started_at_ms=since_ms,
        ended_at_ms=fired_at_ms if event == "back" else None,
        detail=detail,
    )
