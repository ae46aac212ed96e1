"""From the serial line to the outbox."""

from gateway.input.receiver import Input, InputCounters

__all__ = ["Input", "InputCounters"]
