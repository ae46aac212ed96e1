"""What a topology cannot use goes to `<topic>.dlq`, with the reason and the topology's name."""

import hashlib
from collections.abc import Sequence
from typing import Any

from qold import wiring
from qold.clock import Clock
from qold.ports import MessageLog, Rejected
from qold.records import VERSION, encode
from qold.settings import Settings, dead_letter_topic

MAX_VALUE_BYTES = 64 * 1024
OVERSIZED = "oversized"
"""Reason for a value, or a batch, that is larger than a reader takes; it was not read."""


class DeadLetters:
    """Writes dead letters; they are durable when a call returns. Raises `Unavailable`."""

    def __init__(self, settings: Settings, clock: Clock, topology: str) -> None:
        self._settings = settings
        self._clock = clock
        self._topology = topology
        self._log: MessageLog | None = None

    def put(self, topic: str, letters: Sequence[tuple[str, str, bytes | int]]) -> None:
        """Store (source, reason, value) triples; a value that is not short text is only described.

        A value that was not read is given as its size.
        """
        if not letters:
            return
        if self._log is None:
            self._log = wiring.message_log(self._settings, self._clock)
        entries = [
            (source, self._letter(source, reason, value)) for source, reason, value in letters
        ]
        self._log.append(dead_letter_topic(topic), entries)

    def put_tuple(self, tup: Any, refusal: Rejected) -> None:
        """Store a whole tuple that a bolt refused."""
        source = f"{tup.component}:{tup.id}"
        value = encode([str(value) for value in tup.values])
        self.put(self._settings.readings_topic, [(source, refusal.reason, value)])

    def _letter(self, source: str, reason: str, value: bytes | int) -> bytes:
        letter: dict[str, Any] = {
            "v": VERSION,
            "topology": self._topology,
            "reason": reason,
            "source": source,
            **({"length": value} if isinstance(value, int) else describe(value)),
        }
        return encode(letter)


def describe(value: bytes) -> dict[str, str | int]:
    """SHA-256 and length of a value, and the value itself where it is short UTF-8."""
    described: dict[str, str | int] = {
        "sha256": hashlib.sha256(value).hexdigest(),
        "length": len(value),
    }
    if len(value) <= MAX_VALUE_BYTES:
        try:
            described["value"] = value.decode("utf-8")
        except UnicodeDecodeError as exc:
            described["error_position"] = exc.start
    return described
