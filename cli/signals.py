"""What a command does when it is told to end."""

import signal
from types import FrameType
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM


def unwind_on_sigterm() -> None:
    """SIGTERM ends the command as an exception does, so that its temporary folders go."""
    signal.signal(signal.SIGTERM, _unwind)


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)
