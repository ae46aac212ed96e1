"""From the outbox to the log."""

from gateway.output.publisher import Output, OutputCounters

__all__ = ["Output", "OutputCounters"]
