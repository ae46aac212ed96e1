"""Stands between a client and a server, and is silent once for a while, as a busy server is."""

import socket
import threading
import time
from contextlib import suppress

LOOPBACK = "127.0.0.1"


class PausingRelay:
    """Relays what comes to `port`; each connection pauses after so many bytes of answers."""

    def __init__(self, port: int, *, after_bytes: int, pause_s: float) -> None:
        self._server = (LOOPBACK, port)
        self._after_bytes, self._pause_s = after_bytes, pause_s
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port = self._listening.getsockname()[1]
        self.pauses = 0

    def __enter__(self) -> "PausingRelay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # `close` does not wake who waits in `accept`
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                for arguments in ((client, server, None), (server, client, self._after_bytes)):
                    threading.Thread(target=self._relay, args=arguments, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, pause_at: int | None) -> None:
        relayed = 0
        with suppress(OSError):
            while some := source.recv(65536):
                relayed += len(some)
                if pause_at is not None and relayed >= pause_at:
                    pause_at = None
                    self.pauses += 1
                    time.sleep(self._pause_s)
                target.sendall(some)
        for connection in (source, target):
            with suppress(OSError):
                connection.close()
