"""A Redis that dies while somebody connects to it: it is unavailable, and nothing else goes wrong."""

import gc
import socket
import struct
import threading
from contextlib import suppress

import pytest

from local.services.place import LOOPBACK, Place
from qold.adapters.redis_server import RedisServer
from qold.ports import Unavailable

AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing it resets the connection


def test_who_is_reset_before_the_handshake_is_told_so(tmp_path):
    place = Place(tmp_path)
    place.authority.certificate("qold", unit="services")
    place.password("redis")
    with socket.create_server((LOOPBACK, 0)) as listening:
        threading.Thread(target=_reset_all, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        redis = RedisServer(LOOPBACK, port, 0, place.secrets)
        for _ in range(20):
            with pytest.raises(Unavailable, match=f"rediss://{LOOPBACK}:{port}/0: ConnectionError"):
                redis.ping()
        listening.shutdown(socket.SHUT_RDWR)
    gc.collect()  # a socket left open would be found now


def _reset_all(listening: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            connection.close()
