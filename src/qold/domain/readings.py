"""What makes a reading acceptable, and what makes two of them the same."""

import hashlib
import math

from qold.domain.model import Metric, Point

EARLIEST_MS = 1_451_606_400_000  # 2016-01-01, before the first Qold device
FUTURE_TOLERANCE_MS = 300_000
# Readings of one report. A gateway's own `max_report_readings` goes as far; more would be refused.
MAX_REPORT_READINGS = 5000
DOOR_OPEN, DEFROST = 1, 2


def is_time_credible(measured_at_ms: int, received_at_ms: int) -> bool:
    """False before 2016 or more than 5 min ahead of the append time (inventory A25); late is fine."""
    return EARLIEST_MS <= measured_at_ms <= received_at_ms + FUTURE_TOLERANCE_MS


def flags_of(*, door: bool, defrost: bool) -> int:
    """The flag byte of the wire."""
    return (DOOR_OPEN if door else 0) | (DEFROST if defrost else 0)


def fingerprint(
    device_id: int, seq: int | None, temp: float | None, batt: int | None, flags: int
) -> int:
    """62 bits that tell two readings of one moment apart; equal content gives equal bits."""
    content = f"{device_id}|{seq}|{temp}|{batt}|{flags}".encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") >> 2


def point_fault(metric: Metric, point: Point) -> str | None:
    """Why a time series cannot hold the point: `not-a-number`, `out-of-range`; None if it can."""
    device_id, measured_at_ms, value = point
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not-a-number"
    if not math.isfinite(value) or (metric == "Battery" and not isinstance(value, int)):
        return "not-a-number"
    if abs(value) >= 2**53 or not 1 <= device_id < 2**31 or not 0 <= measured_at_ms < 2**53:
        return "out-of-range"
    return None
