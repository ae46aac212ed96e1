"""HTTP connections that end in time, whatever the other side does."""

import contextlib
import http.client
import io
import select
import socket
import threading
import time
from typing import Any


class TimelyConnection(http.client.HTTPConnection):
    """The library's timeout bounds each wait for a byte; here two bound the whole of both phases."""

    def limit(self, connect_s: float, answer_s: float) -> None:
        """Set both for the next call; a kept connection that the other side has closed is let go."""
        self.timeout = connect_s
        self._answer_s = answer_s
        if self.sock is not None:
            if select.select([self.sock], [], [], 0)[0]:
                self.close()
            else:
                self.sock.settimeout(answer_s)

    def connect(self) -> None:
        """Look the name up, try every address and shake hands, within the connect timeout.

        In a thread, because a look-up cannot be told to end; one that is late closes what it opened.
        """
        lock = threading.Lock()
        late = False
        failures: list[BaseException] = []

        def run() -> None:
            try:
                super(TimelyConnection, self).connect()
            except BaseException as exc:  # noqa: BLE001  # raised below, in the thread that waits
                failures.append(exc)
            with lock:
                if late:
                    self.close()

        thread = threading.Thread(target=run, name="connect", daemon=True)
        thread.start()
        thread.join(self.timeout)
        with lock:
            late = thread.is_alive()
        if late:
            raise TimeoutError("no connection in time")
        if failures:
            raise failures[0]
        self.sock.settimeout(self._answer_s)

    def response_class(self, sock: socket.socket, **kwargs: Any) -> http.client.HTTPResponse:  # type: ignore[override]  # a class upstream
        return http.client.HTTPResponse(_TimelySocket(sock), **kwargs)  # type: ignore[arg-type]  # all it uses


class TimelyPlain(TimelyConnection):
    """Over TCP."""


class TimelyTls(TimelyConnection, http.client.HTTPSConnection):
    """Over TLS."""


class _TimelySocket:
    """A socket as far as a response reads it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        """Reads end, all together, after the socket's timeout."""
        return io.BufferedReader(_TimelyBytes(self._sock))


class _TimelyBytes(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._bytes = sock.makefile("rb", buffering=0)
        self._end_s = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no whole answer in time")
        with contextlib.suppress(OSError):  # it is closed; reading says so
            self._sock.settimeout(left_s)
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()
