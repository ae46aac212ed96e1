"""What the thresholds topology keeps of a device, as the StateStore holds it."""

import logging
from collections import Counter
from collections.abc import Collection

import msgspec

from qold.domain.thresholds import ThresholdState
from qold.ports import StateStore

log = logging.getLogger(__name__)


def state_key(device_id: int) -> str:
    """The StateStore key of a device's thresholds."""
    return f"thresholds:{device_id}"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ThresholdState).decode


def encode_state(state: ThresholdState) -> str:
    """As the StateStore keeps it."""
    return _encode(state).decode("ascii")


def load_states(
    store: StateStore, device_ids: Collection[int], counters: Counter[str], *, now_ms: int
) -> dict[int, tuple[int, ThresholdState]]:
    """Version and state of each device; one that is new, or unreadable, begins with nothing.

    What an unreadable one forgets comes back from the alert log, as far as it was told.
    """
    keys = {device_id: state_key(device_id) for device_id in device_ids}
    stored = store.load(list(keys.values()), now_ms=now_ms)
    states = {}
    for device_id, key in keys.items():
        version, value = stored.get(key, (0, ""))
        try:
            state = _decode(value) if value else ThresholdState()
        except msgspec.DecodeError as exc:
            counters["states_unreadable"] += 1
            log.error("device_id=%d state unreadable, begun anew: %s", device_id, exc)
            state = ThresholdState()
        states[device_id] = (version, state)
    return states
