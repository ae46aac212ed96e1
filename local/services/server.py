"""The stand-in server: four services on one loopback port, which misbehave when told to.

It asks nobody who they are, and therefore listens on loopback only and serves no web page.
"""

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from local.services.behaviour import TAKES, Behaviour, Service, Way, parse_behaviour
from local.services.handed_over import HandedOver, Reply

CONTROL = "/_stand_in"
READINGS = f"{CONTROL}/readings"
TRICKLE_S = 0.02
MAX_BODY_BYTES = 2**20
# Each takes a thread; tests and benches open a dozen.
MAX_CONNECTIONS = 256
# Seconds in which a client sends the next bytes; a kept connection is closed after them.
PATIENCE_S = 60.0
# Host headers are compared without their port: a test may put a relay in between.
HOSTS = ("127.0.0.1", "localhost")


class StandIn:
    """Started with `with`, or `start` and `stop`; after `stop` its port refuses, until `start`."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.handed = HandedOver()
        self.requests = 0
        self.connections = 0
        self.authorization: str | None = None
        self.body = b""
        self._address = (host, port)
        self._behaviours: dict[str, Behaviour] = {}
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def netloc(self) -> str:
        """`host:port`, the same after each `start`."""
        host, port = self._address
        return f"{host}:{port}"

    def start(self, *, tls: ssl.SSLContext | None = None) -> "StandIn":
        self._server = _Server(self._address, self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._address = self._server.server_address[:2]  # type: ignore[assignment]  # IPv4
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="stand-in", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; requests that hang end."""
        if self._server is not None and self._thread is not None:
            self._server.stopping.set()
            self._server.shutdown()
            self._thread.join()
            self._server.close_connections()
            self._server.server_close()
            self._server = self._thread = None

    def behave(self, service: Service, way: Way = "well", **how: Any) -> None:
        """Tell a service how to answer from now on; `how` are fields of `Behaviour`."""
        self.set_behaviour(*parse_behaviour({"service": service, "way": way, **how}))

    def set_behaviour(self, service: Service, behaviour: Behaviour) -> None:
        """Answer so from now on."""
        with self._lock:
            self._behaviours[service] = behaviour

    def next_behaviour(self, service: Service) -> Behaviour:
        """How this request is answered; counts it."""
        with self._lock:
            self.requests += 1
            behaviour = self._behaviours.get(service, Behaviour())
            if behaviour.times is None:
                return behaviour
            if behaviour.times < 1:
                behaviour = Behaviour()
            self._behaviours[service] = replace(
                behaviour, times=behaviour.times and behaviour.times - 1
            )
        return behaviour

    def __enter__(self) -> "StandIn":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        super().__init__(address, _Handler)
        self.stand_in = stand_in
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._room = threading.Semaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Close a connection too many at once."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    @contextmanager
    def remembered(self, connection: socket.socket) -> Iterator[None]:
        self._open.add(connection)
        self.stand_in.connections += 1
        try:
            yield
        finally:
            self._open.discard(connection)

    def close_connections(self) -> None:
        for connection in list(self._open):
            _break(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what the tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = PATIENCE_S
    server: _Server

    def handle(self) -> None:
        with self.server.remembered(self.connection):
            super().handle()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        lengths = self.headers.get_all("Content-Length", [])
        is_sound = len(lengths) == 1 and lengths[0].isdecimal() and len(lengths[0]) < 10
        if not is_sound or int(lengths[0]) > MAX_BODY_BYTES:
            self._send(411, b"{}")
            self.close_connection = True
            return
        body = self.rfile.read(int(lengths[0]))
        if len(body) == int(lengths[0]):  # else the client has gone
            self._answer(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line per request."""

    def _answer(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        stand_in = self.server.stand_in
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:
            self._send(421, b'{"error": "this Host is not served here"}')
            return
        if "Origin" in self.headers:
            self._send(403, b'{"error": "not from a web page"}')
            return
        if path == CONTROL:
            self._control(body)
            return
        if path == READINGS:
            self._send(200, json.dumps(list(stand_in.handed.readings)).encode())
            return
        service = _service(self.command, path)
        if service is None:
            self._send(404, b'{"error": "no such path"}')
            return
        stand_in.authorization, stand_in.body = self.headers["Authorization"], body
        behaviour = stand_in.next_behaviour(service)
        reply = (
            _take(stand_in.handed, service, unquote(path), body)
            if behaviour.way in TAKES
            else (0, {})
        )
        self._misbehave(behaviour, reply[0], json.dumps(reply[1]).encode())

    def _misbehave(self, behaviour: Behaviour, status: int, content: bytes) -> None:
        stopping = self.server.stopping
        match behaviour.way:
            case "well":
                self._send(status, content)
            case "slow":
                stopping.wait(behaviour.seconds)
                self._send(status, content)
            case "status":
                self._send(behaviour.status, b'{"error": "told to"}', location=behaviour.location)
            case "html":
                self._send(200, b"<html><body>Welcome</body></html>", "text/html")
            case "garbage":
                self.wfile.write(behaviour.content.encode("latin-1"))
            case "hang" | "silent":
                stopping.wait()
            case "cut":
                self.wfile.write(_head(status, len(content) + 1) + content)
            case "trickle":
                self._drip(_head(status, len(content)) + content)
            case "trickle-body":
                self.wfile.write(_head(status, 2**16))
                self._drip(content + b" " * 2**16)
        self.close_connection = behaviour.way not in ("well", "slow", "status", "html")
        if self.close_connection:
            _break(self.connection)

    def _drip(self, content: bytes) -> None:
        for start in range(len(content)):
            if self.server.stopping.wait(TRICKLE_S):
                return
            self.wfile.write(content[start : start + 1])

    def _control(self, body: bytes) -> None:
        """For other processes: GET what was handed over, POST {service, way, …}."""
        try:
            if body:
                self.server.stand_in.set_behaviour(*parse_behaviour(json.loads(body)))
            found = self.server.stand_in.handed.summary()
            self._send(200, json.dumps(found).encode())
        except (ValueError, RecursionError) as exc:
            self._send(400, json.dumps({"error": str(exc)}).encode())

    def _send(
        self, status: int, content: bytes, kind: str = "application/json", location: str = ""
    ) -> None:
        self.wfile.write(_head(status, len(content), kind, location) + content)


def _service(method: str, path: str) -> Service | None:
    match method, path.split("/")[1:]:
        case "GET", ["staff"] | ["devices", _]:
            return "qold-app"
        case "POST", ["sms"]:
            return "qold-sms"
        case "POST", ["events", _]:
            return "keen"
        case "POST", ["readings"]:
            return "qold-hw-api"
    return None


def _take(handed: HandedOver, service: Service, path: str, body: bytes) -> Reply:
    match service:
        case "qold-app":
            return handed.look_up(path)
        case "qold-sms":
            return handed.take_sms(body)
        case "keen":
            return handed.take_event(path, body)
        case "qold-hw-api":
            return handed.take_reading(body)


def _head(status: int, length: int, kind: str = "application/json", location: str = "") -> bytes:
    where = f"Location: {location}\r\n" if location else ""
    return (
        f"HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{where}\r\n"
    ).encode("latin-1")


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first
