"""A producer of confluent-kafka at its end, in the rare form that loses what it raised."""

from collections.abc import Mapping, Sequence
from typing import Any

REFUSED = "Broker: Cluster authorization failed: Failed to acquire idempotence PID"


class EndedProducer:
    """Logs why, as librdkafka does; then `flush` raises a `SystemError` without a cause."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._log = configuration["logger"].log

    def produce(self, topic: str, value: bytes, key: str, *, on_delivery: object) -> None:
        pass

    def produce_batch(self, topic: str, messages: Sequence[Any], *, on_delivery: object) -> int:
        return len(messages)

    def flush(self, timeout_s: float) -> int:
        words = ("FATAL", "qold#producer-1", f"[thrd:main]: Fatal error: {REFUSED}")
        self._log(50, "%s [%s] %s", *words)
        raise SystemError("<method 'flush'> returned NULL without setting an exception")

    def purge(self, **how: bool) -> None:
        pass
