"""Frames in, rows into the outbox, acks out: never an ack before the commit."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.clock import Clock
from gateway.events import Events, Kind
from gateway.input.link import SerialLink
from gateway.memory import Measurement
from gateway.outbox import Outbox
from gateway.outbox_file import OutboxUnavailable
from gateway.room import MESSAGE_BYTES
from gateway.settings import GatewaySettings, SettingsError
from gateway.status import StatusFile
from qold.wire import Frame, FrameReader, ReaderCounters, encode

CLOCK_JUMP_MS = 60_000
PORT_LOST_MS = 60_000
FORGET_EVERY_MS = 600_000
HOUSEKEEPING_MS = 1_000
WAIT_S = 0.2

log = logging.getLogger(__name__)


@dataclass(slots=True)
class InputCounters:
    """Since the start; `readings` and `repeats` are items, the rest whole frames."""

    readings: int = 0
    repeats: int = 0
    acknowledged: int = 0
    refused: int = 0
    link: ReaderCounters = field(default_factory=ReaderCounters)

    @property
    def frames(self) -> int:
        """Frames read whole, repeated ones too."""
        return self.link.frames

    @property
    def crc_errors(self) -> int:
        """Frames damaged on the way."""
        return self.link.crc_errors


class Input:
    """One serial line; single threaded. `port` replaces the one of the settings."""

    def __init__(self, settings: GatewaySettings, clock: Clock, *, port: str | None = None) -> None:
        url = port or settings.port
        if not url:
            raise SettingsError(["input.port: none given"])
        self._settings = settings
        self._clock = clock
        self._link = SerialLink(url, settings.baud, clock)
        self._reader = FrameReader()
        self._lost_count = 0
        self._outbox = Outbox(settings, clock)
        self._events = Events(self._outbox, clock, settings.events_topic)
        self._status = StatusFile(settings.status_folder, "input", clock)
        self._housekeeping_ms = clock.monotonic_ms()
        self._forget_ms = clock.monotonic_ms()
        self._wall_offset_ms = clock.wall_ms() - clock.monotonic_ms()
        self.counters = InputCounters(link=self._reader.counters)

    def step(self) -> bool:
        """Read what is there, store it, acknowledge it; True when bytes came. Never waits."""
        self._watch_clock()
        self._keep_house()
        data = self._link.read()
        if self._link.lost_count != self._lost_count:
            self._lost_count = self._link.lost_count
            self._reader.reset()
        frames = [frame for frame in self._reader.feed(data) if isinstance(frame, Frame)]
        if frames:
            self._acknowledge(self._store(frames))
        return bool(data)

    def run(self, stop: Callable[[], bool]) -> None:
        """Step until `stop()`, waiting for bytes up to 0.2 s at a time."""
        while not stop():
            if not self.step():
                self._link.wait(WAIT_S)

    def wait(self, timeout_s: float) -> None:
        """Return when bytes may have arrived, or after the timeout (real seconds)."""
        self._link.wait(timeout_s)

    def close(self) -> None:
        """Release the port and the file."""
        self._events.flush()
        self._link.close()
        self._outbox.close()

    def _store(self, frames: list[Frame]) -> list[Frame]:
        """Commit the frames' readings together; returns the frames that may be acknowledged."""
        now = self._clock.wall_ms() // 1000
        dropped_before = self._outbox.dropped
        stored: list[Frame] = []
        rows: list[tuple[int, str, str]] = []
        repeats = 0
        memory = self._outbox.memory
        topic = self._settings.reports_topic
        row_bytes = MESSAGE_BYTES + len(topic)
        try:
            with self._outbox.writing() as database:
                room = self._outbox.room(database)
                for frame in frames:
                    heard = _measurements(frame, now)
                    new = memory.unknown(database, heard)
                    messages = [_message(frame.token, item) for item in new]
                    if new and not room.take(sum(map(len, messages)) + len(new) * row_bytes):
                        continue
                    memory.remember(database, new)
                    rows += [(now, message, topic) for message in messages]
                    repeats += len(heard) - len(new)
                    stored.append(frame)
                self._outbox.append(rows)
                memory.trim(database)
        except OutboxUnavailable as exc:
            self._outbox.dropped = dropped_before
            self.counters.refused += len(frames)
            kind = Kind.OUTBOX_FULL if "is full" in str(exc) else Kind.OUTBOX_UNAVAILABLE
            self._events.tell(kind, len(frames), error=str(exc.__cause__ or exc))
            return []
        self.counters.readings += len(rows)
        self.counters.repeats += repeats
        if self._outbox.dropped > dropped_before:
            self._events.tell(Kind.OUTBOX_DROP, self._outbox.dropped - dropped_before)
        if len(stored) < len(frames):
            self.counters.refused += len(frames) - len(stored)
            self._events.tell(Kind.OUTBOX_FULL, len(frames) - len(stored))
        return stored

    def _acknowledge(self, frames: list[Frame]) -> None:
        if frames and self._link.write(b"".join(encode(frame.ack()) for frame in frames)):
            self.counters.acknowledged += len(frames)

    def _watch_clock(self) -> None:
        offset_ms = self._clock.wall_ms() - self._clock.monotonic_ms()
        jump_ms = offset_ms - self._wall_offset_ms
        self._wall_offset_ms = offset_ms
        if abs(jump_ms) >= CLOCK_JUMP_MS:
            self._events.tell(Kind.CLOCK_JUMP, seconds=jump_ms // 1000)

    def _keep_house(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._housekeeping_ms:
            return
        self._housekeeping_ms = now_ms + HOUSEKEEPING_MS
        away_since_ms = self._link.away_since_ms
        if away_since_ms is not None and now_ms - away_since_ms >= PORT_LOST_MS:
            self._link.away_since_ms = now_ms
            self._events.tell(Kind.PORT_LOST, port=self._link.url)
        self._events.flush()
        if now_ms >= self._forget_ms:
            self._forget_ms = now_ms + FORGET_EVERY_MS
            try:
                self._outbox.forget()
            except OutboxUnavailable as exc:
                log.warning("memory not shortened: %s", exc)
        self._status.write_when_due(self._facts)

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "gateway": self._settings.gateway_id,
            "port": {"url": self._link.url, "open": self._link.is_open},
            "counters": asdict(self.counters),
            "dropped": self._outbox.dropped,
            "forgotten": self._outbox.memory.forgotten,
        }
        try:
            facts["outbox_bytes"] = self._outbox.used_bytes()
        except OutboxUnavailable as exc:
            facts["error"] = str(exc)
        return facts


def _measurements(frame: Frame, now: int) -> list[Measurement]:
    return [
        Measurement(frame.device_id, frame.item_sequence(index), item, now - item.age_s, now)
        for index, item in enumerate(frame.items)
    ]


def _message(token: int, measurement: Measurement) -> str:
    item = measurement.item
    reading: dict[str, Any] = {
        "temp": item.celsius,
        "time": measurement.measured,
        "batt": item.battery,
        "seq": measurement.sequence,
    }
    if item.is_door_open:
        reading["door"] = True
    if item.is_defrosting:
        reading["defrost"] = True
    message = {"device": {"id": measurement.device_id, "auth": token}, "reading": reading}
    return json.dumps(message, separators=(",", ":"))
