"""A store that is busy is asked again, as Storm replays a tuple."""

import time
from collections.abc import Callable
from typing import TypeVar

from qold.ports import Unavailable

PATIENCE_S = 300.0
LOOK_S = 0.02
LEDGER_S = 30.0

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """Call until it works; raises `Unavailable` when it never does."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(LOOK_S)


def until_clean(look: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """What a ledger finds where things can be read in another order than they were acknowledged in."""
    give_up_at = time.monotonic() + LEDGER_S
    while (found := look()) and time.monotonic() < give_up_at:
        time.sleep(LOOK_S)
    return found
