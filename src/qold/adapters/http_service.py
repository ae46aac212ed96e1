"""One HTTP service: every call ends in time, whatever the other side does, and raises `Unavailable`."""

import contextlib
import http.client
import io
import json
import os
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from qold.ports import Rejected, Unavailable

CONNECT_S = 3.0
ANSWER_S = 6.0
MAX_ANSWER_BYTES = 2**20
QUOTED_CHARACTERS = 200
NO_CONTENT = 204
TRY_LATER = frozenset({408, 425, 429})
# Refusals that are about the service's address, its credential or its bill, never about one message.
NOT_THE_MESSAGE = frozenset({401, 402, 403, 404, 405, 407})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said, 2xx or 4xx; `is_framed` when its headers say where the body ends."""

    who: str
    status: int
    content_type: str
    is_framed: bool
    body: bytes

    def document(self) -> dict[str, Any]:
        """The JSON object it is; raises `Unavailable` for anything else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise Unavailable(f"{self.who}: answered {self.status}, but not JSON") from exc
        if not isinstance(found, dict):
            raise Unavailable(f"{self.who}: answered {self.status}, but not a JSON object")
        return found

    def check_taken(self, *, also_away: Collection[int] = ()) -> None:
        """Return when the service took what it was given.

        Raises `Rejected` for 4xx, `Unavailable` for those of `also_away`, for an answer that broke
        off and for a page in HTML, which is a proxy's or a portal's and not the service's.
        """
        if self.status in also_away:
            raise Unavailable(f"{self.who}: {self.status} {self._quoted()}")
        if self.status >= 400:
            raise Rejected(f"http-{self.status}", f"{self.who}: {self._quoted()}")
        if "html" in self.content_type.lower() or self.body.lstrip()[:1] == b"<":
            raise Unavailable(f"{self.who}: answered {self.status} with a page in HTML")
        if not self.body and not self.is_framed:
            raise Unavailable(f"{self.who}: answered {self.status} and broke off")

    def _quoted(self) -> str:
        text = self.body[:QUOTED_CHARACTERS].decode("utf-8", "replace")
        return "".join(c if c.isprintable() else " " for c in text)


class HttpService:
    """Keeps a connection to `url`, whose host is named in errors; not for two threads at once.

    `credential` is a file that holds the value of the Authorization header; none is sent without
    it. Redirects are not followed; neither proxies nor .netrc are taken from the environment.
    """

    def __init__(
        self,
        url: str,
        *,
        credential: Path | None = None,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        parts = urlsplit(url)
        self._url = url.rstrip("/")
        self._who = f"{parts.scheme}://{parts.netloc}"
        self._credential = credential
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._session: requests.Session | None = None
        self._prepared: requests.PreparedRequest | None = None
        self._prepared_for = ("", "")
        self._secret = b""

    def get(self, path: str = "", *, until_s: float | None = None) -> Answer:
        """What is at `path`, within the time a call has, or also until `until_s` (monotonic)."""
        return self._call("GET", path, None, until_s)

    def post(self, path: str, body: bytes, *, until_s: float | None = None) -> Answer:
        """Hand over a JSON body; as `get`."""
        return self._call("POST", path, body, until_s)

    def call_ends_s(self) -> float:
        """Until when (monotonic) calls that belong together may last, as long as one."""
        return time.monotonic() + self._connect_s + self._answer_s

    def ping(self) -> None:
        """Return when the service says anything but 5xx."""
        answer = self._exchange("GET", "", None, None)
        if answer.status >= 500:
            raise Unavailable(f"{self._who}: {answer.status}")

    def close(self) -> None:
        """Close the connection; the next call opens one and reads the credential again."""
        if self._session is not None:
            self._session.close()
            self._session = self._prepared = None

    def _call(
        self, method: Literal["GET", "POST"], path: str, body: bytes | None, until_s: float | None
    ) -> Answer:
        answer = self._exchange(method, path, body, until_s)
        if answer.status in (401, 403):
            self.close()  # a new credential is tried with the next call
        if not (200 <= answer.status < 300 or 400 <= answer.status < 500):
            raise Unavailable(f"{self._who}: {answer.status}")
        if answer.status in TRY_LATER:
            raise Unavailable(f"{self._who}: {answer.status}, to be tried later")
        return answer

    def _exchange(
        self, method: Literal["GET", "POST"], path: str, body: bytes | None, until_s: float | None
    ) -> Answer:
        share = 1.0
        if until_s is not None:
            left_s = until_s - time.monotonic()
            share = min(1.0, left_s / (self._connect_s + self._answer_s))
            if share <= 0:
                raise Unavailable(f"{self._who}: too slow for so many requests")
        session = self._connected()
        try:
            with session.send(
                self._request(session, method, path, body),
                timeout=(share * self._connect_s, share * self._answer_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = b""
                for chunk in response.iter_content(MAX_ANSWER_BYTES + 1):
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise Unavailable(
                            f"{self._who}: answered more than {MAX_ANSWER_BYTES} bytes"
                        )
        except (OSError, http.client.HTTPException, ValueError) as exc:  # requests' are OSErrors
            self.close()
            raise Unavailable(f"{self._who}: {type(exc).__name__}") from exc
        if self._secret and response.status_code >= 400:  # it may be quoted
            content = content.replace(self._secret, b"***")
        headers = response.headers
        is_framed = (
            response.status_code == NO_CONTENT
            or "Transfer-Encoding" in headers
            or headers.get("Content-Length", "").isdecimal()
        )
        kind = headers.get("Content-Type", "")
        return Answer(self._who, response.status_code, kind, is_framed, content)

    def _request(
        self, session: requests.Session, method: str, path: str, body: bytes | None
    ) -> requests.PreparedRequest:
        """Prepared once for many bodies in a row, because that is a third of a call's work."""
        if self._prepared is None or self._prepared_for != (method, path):
            request = requests.Request(method, self._url + path)
            self._prepared, self._prepared_for = session.prepare_request(request), (method, path)
        prepared = self._prepared.copy()
        prepared.prepare_body(body, None)
        return prepared

    def _connected(self) -> requests.Session:
        if self._session is None:
            authorization = self._authorization()
            session = requests.Session()
            session.trust_env = False
            session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
            session.headers.update({"User-Agent": "qold", "Accept-Encoding": "identity"})
            session.headers["Content-Type"] = "application/json"
            if authorization:
                session.headers["Authorization"] = authorization
                self._secret = authorization.split()[-1].encode()
            session.mount("http://", _TimelyTransport())
            session.mount("https://", _TimelyTransport())
            self._session = session
        return self._session

    def _authorization(self) -> str:
        if self._credential is None:
            return ""
        try:
            value = self._credential.read_text("ascii").strip()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as exc:
            raise Unavailable(f"{self._credential}: unreadable or not ASCII") from exc
        if not value.isprintable():
            raise Unavailable(f"{self._credential}: must hold one line, an Authorization header")
        return value


class _TimelyTransport(HTTPAdapter):
    """requests' two timeouts bound each wait for a byte; here they bound the whole of both phases."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _TimelyConnection):
            pool.ConnectionCls = type("Timely", (_TimelyConnection, pool.ConnectionCls), {})
        return pool


class _TimelyConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        """Look the name up, try every address and shake hands, within the connect timeout.

        In a thread, because a look-up cannot be told to end; one that is late closes what it opened.
        """
        lock = threading.Lock()
        late = False
        failures: list[BaseException] = []

        def run() -> None:
            try:
                super(_TimelyConnection, self).connect()
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

    def response_class(self, sock: socket.socket, **kwargs: Any) -> http.client.HTTPResponse:  # type: ignore[override]  # a class upstream
        return http.client.HTTPResponse(_TimelySocket(sock), **kwargs)  # type: ignore[arg-type]  # all it uses


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
