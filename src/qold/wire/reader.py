"""Frames out of a byte stream that is never trusted."""

from dataclasses import dataclass

from qold.wire.frame import (
    DELIMITER,
    MAX_ENCODED_BYTES,
    Ack,
    Frame,
    FrameError,
    MalformedFrame,
    WrongCount,
    WrongCrc,
    WrongLength,
    WrongRange,
    WrongType,
    WrongVersion,
    decode,
)


@dataclass(slots=True)
class ReaderCounters:
    """What was read since the start: whole frames and acks, and refusals by kind."""

    frames: int = 0
    acks: int = 0
    overlong: int = 0
    malformed: int = 0
    version: int = 0
    type: int = 0
    count: int = 0
    length: int = 0
    crc_errors: int = 0
    range: int = 0


class FrameReader:
    """Incremental reader: bounded buffer, starts anew at every delimiter."""

    def __init__(self) -> None:
        self.counters = ReaderCounters()
        self._buffer = bytearray()
        self._is_skipping = False

    def feed(self, data: bytes) -> list[Frame | Ack]:
        """The frames that `data` completes, in order; what cannot be used is counted."""
        found: list[Frame | Ack] = []
        *ended, rest = data.split(DELIMITER)
        for part in ended:
            self._append(part)
            frame = self._take()
            if frame is not None:
                found.append(frame)
        self._append(rest)
        return found

    def reset(self) -> None:
        """Forget a frame begun: the line was interrupted."""
        self._buffer.clear()
        self._is_skipping = False

    def _append(self, part: bytes) -> None:
        if self._is_skipping:
            return
        if len(self._buffer) + len(part) > MAX_ENCODED_BYTES:
            self._buffer.clear()
            self._is_skipping = True
            self.counters.overlong += 1
        else:
            self._buffer += part

    def _take(self) -> Frame | Ack | None:
        if self._is_skipping or not self._buffer:
            self.reset()
            return None
        encoded = bytes(self._buffer)
        self.reset()
        try:
            frame = decode(encoded)
        except FrameError as exc:
            self._count(exc)
            return None
        if isinstance(frame, Ack):
            self.counters.acks += 1
        else:
            self.counters.frames += 1
        return frame

    def _count(self, error: FrameError) -> None:
        counters = self.counters
        match error:
            case WrongCrc():
                counters.crc_errors += 1
            case MalformedFrame():
                counters.malformed += 1
            case WrongVersion():
                counters.version += 1
            case WrongType():
                counters.type += 1
            case WrongCount():
                counters.count += 1
            case WrongLength():
                counters.length += 1
            case WrongRange():
                counters.range += 1
