"""A client of ZooKeeper's wire protocol with the five calls that tests of its doors need."""

import socket
import struct
from dataclasses import dataclass

CALL_S = 60.0
NO_AUTH, CONNECTION_LOST = -102, -4
_CREATE, _DELETE, _GET_DATA, _GET_ACL, _GET_CHILDREN, _AUTH = 1, 2, 4, 6, 8, 100
_AUTH_XID = -4
_OPEN = [(31, "world", "anyone")]

# A client of protocol 0 that has seen nothing, wants a session of 10 s and has none yet.
_SESSION = struct.pack(">iqiq", 0, 0, 10_000, 0) + struct.pack(">i", 16) + bytes(16)


class ZooKeeperError(Exception):
    """The server refused a call (`code` as in ZooKeeper's KeeperException) or closed the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Acl:
    """One entry of a node's access list."""

    permissions: int
    scheme: str
    id: str


class ZooKeeperClient:
    """One session; use it with `with`. Every call raises `ZooKeeperError`."""

    def __init__(self, port: int, *, digest: str = "") -> None:
        """Connect to loopback; `digest` is `user:password`, sent before any other call."""
        self._xid = 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=CALL_S)
        try:
            self._send(_SESSION)
            self._receive()
            if digest:
                body = struct.pack(">i", 0) + _text("digest") + _text(digest)
                self._call(_AUTH, body, xid=_AUTH_XID)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "ZooKeeperClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def children(self, path: str) -> list[str]:
        answer = self._call(_GET_CHILDREN, _text(path) + b"\0")
        (count,) = struct.unpack_from(">i", answer)
        names, at = [], 4
        for _ in range(count):
            name, at = _read_text(answer, at)
            names.append(name)
        return names

    def data(self, path: str) -> bytes:
        answer = self._call(_GET_DATA, _text(path) + b"\0")
        (length,) = struct.unpack_from(">i", answer)
        return answer[4 : 4 + max(0, length)]

    def acl(self, path: str) -> list[Acl]:
        answer = self._call(_GET_ACL, _text(path))
        (count,) = struct.unpack_from(">i", answer)
        found, at = [], 4
        for _ in range(count):
            (permissions,) = struct.unpack_from(">i", answer, at)
            scheme, at = _read_text(answer, at + 4)
            identity, at = _read_text(answer, at)
            found.append(Acl(permissions, scheme, identity))
        return found

    def create(self, path: str, content: bytes = b"") -> None:
        """A node that lasts, open to everybody."""
        self._call(_CREATE, _node(path, content))

    def delete(self, path: str) -> None:
        """Whatever its version."""
        self._call(_DELETE, _text(path) + struct.pack(">i", -1))

    def _call(self, kind: int, body: bytes, *, xid: int | None = None) -> bytes:
        if xid is None:
            self._xid += 1
            xid = self._xid
        self._send(struct.pack(">ii", xid, kind) + body)
        while True:
            answer = self._receive()
            answered, _, code = struct.unpack_from(">iqi", answer)
            if answered == xid:
                break
        if code:
            raise ZooKeeperError(code)
        return answer[16:]

    def _send(self, content: bytes) -> None:
        try:
            self._socket.sendall(struct.pack(">i", len(content)) + content)
        except ConnectionError as exc:
            raise ZooKeeperError(CONNECTION_LOST) from exc

    def _receive(self) -> bytes:
        (length,) = struct.unpack(">i", self._read(4))
        return self._read(length)

    def _read(self, length: int) -> bytes:
        content = b""
        while len(content) < length:
            try:
                part = self._socket.recv(length - len(content))
            except ConnectionError as exc:
                raise ZooKeeperError(CONNECTION_LOST) from exc
            if not part:
                raise ZooKeeperError(CONNECTION_LOST)
            content += part
        return content


def creation(path: str) -> bytes:
    """All that a client sends who creates a node and waits for no answer."""
    calls = (_SESSION, struct.pack(">ii", 1, _CREATE) + _node(path, b""))
    return b"".join(struct.pack(">i", len(call)) + call for call in calls)


def _node(path: str, content: bytes) -> bytes:
    body = _text(path) + struct.pack(">i", len(content)) + content
    body += struct.pack(">i", len(_OPEN))
    for permissions, scheme, identity in _OPEN:
        body += struct.pack(">i", permissions) + _text(scheme) + _text(identity)
    return body + struct.pack(">i", 0)


def _text(value: str) -> bytes:
    content = value.encode()
    return struct.pack(">i", len(content)) + content


def _read_text(content: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">i", content, at)
    end = at + 4 + max(0, length)
    return content[at + 4 : end].decode(), end
