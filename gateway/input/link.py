"""The serial line, through pyserial: a device, `socket://host:port`, `loop://`."""

import logging
import select
import time

import serial

from gateway.clock import Clock
from gateway.settings import SettingsError

# Bytes of one read, stored with one commit: what a terminal gives at most. It bounds what a
# transaction adds to the outbox (19 full frames) and how long an ack waits behind noise.
READ_BYTES = 4096
REOPEN_FIRST_MS = 500
# Also how long a port must stay open before its loss counts as the first again: a port that opens
# and fails at once is logged twice a minute.
REOPEN_LAST_MS = 30_000
_WRITE_TIMEOUT_S = 1.0
_LOOK_S = 0.02

log = logging.getLogger(__name__)


class SerialLink:
    """Reads what is there, without waiting; an unplugged port is opened again with back-off."""

    def __init__(self, url: str, baud: int, clock: Clock) -> None:
        self.url = url
        self.lost_count = 0
        self.away_since_ms: int | None = clock.monotonic_ms()
        self._baud = baud
        self._clock = clock
        self._port: serial.SerialBase | None = None
        self._opened_at_ms = 0
        self._reopen_at_ms = clock.monotonic_ms()
        self._reopen_delay_ms = REOPEN_FIRST_MS

    @property
    def is_open(self) -> bool:
        """The port is there."""
        return self._port is not None

    def read(self) -> bytes:
        """What has arrived; empty when nothing has or the port is away."""
        if self._port is None and not self._open():
            return b""
        try:
            return bytes(self._port.read(READ_BYTES)) if self._port is not None else b""
        except OSError as exc:
            self._lose(exc)
            return b""

    def write(self, data: bytes) -> bool:
        """False when the port went away."""
        if self._port is None:
            return False
        try:
            self._port.write(data)
        except OSError as exc:
            self._lose(exc)
            return False
        return True

    def wait(self, timeout_s: float) -> None:
        """Return when there may be something to read, or after the timeout."""
        try:
            descriptor = None if self._port is None else self._port.fileno()
        except (OSError, AttributeError):
            descriptor = None
        if descriptor is None:
            time.sleep(min(timeout_s, _LOOK_S))
        else:
            select.select([descriptor], [], [], timeout_s)

    def close(self) -> None:
        """Release the port."""
        if self._port is not None:
            port, self._port = self._port, None
            port.close()

    def _open(self) -> bool:
        now_ms = self._clock.monotonic_ms()
        if now_ms < self._reopen_at_ms:
            return False
        try:
            self._port = serial.serial_for_url(
                self.url,
                baudrate=self._baud,
                timeout=0,
                write_timeout=_WRITE_TIMEOUT_S,
                exclusive=True,
            )
        except ValueError as exc:
            raise SettingsError([f"input.port: {exc}"]) from exc
        except OSError as exc:
            self._lose(exc)
            return False
        log.info("port=%s open", self.url)
        self.away_since_ms = None
        self._opened_at_ms = now_ms
        return True

    def _lose(self, reason: OSError) -> None:
        now_ms = self._clock.monotonic_ms()
        if self._port is not None:
            self.lost_count += 1
            self.away_since_ms = now_ms
            if now_ms - self._opened_at_ms >= REOPEN_LAST_MS:
                self._reopen_delay_ms = REOPEN_FIRST_MS
        log.warning("port=%s away: %s", self.url, reason)
        self.close()
        self._reopen_at_ms = now_ms + self._reopen_delay_ms
        self._reopen_delay_ms = min(REOPEN_LAST_MS, 2 * self._reopen_delay_ms)
