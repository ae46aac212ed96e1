"""What makes a reading acceptable, and what makes two of them the same."""

import hashlib

EARLIEST_MS = 1_451_606_400_000  # 2016-01-01, before the first Qold device
FUTURE_TOLERANCE_MS = 300_000
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
