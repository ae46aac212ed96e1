"""One HTTP service: every call ends in time, whatever the other side does, and raises `Unavailable`."""

import http.client
import json
import os
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from qold.adapters.timely_http import TimelyConnection, TimelyPlain, TimelyTls
from qold.ports import Rejected, Unavailable
from qold.private_files import read_private

CONNECT_S = 3.0
ANSWER_S = 6.0
MAX_ANSWER_BYTES = 2**20
QUOTED_CHARACTERS = 200
NO_CONTENT = 204
TRY_LATER = frozenset({408, 425, 429})
# Refusals that are about the service's address, its credential or its bill, never about one message.
NOT_THE_MESSAGE = frozenset({401, 402, 403, 404, 405, 407})
_SAFE = "!#$%&'()*+,/:;=?@[]~"


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


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Files: a certificate chain, its key, and the authority that signed the service's own."""

    chain: Path
    key: Path
    ca: Path


class HttpService:
    """Keeps a connection to `url`, whose host is named in errors; not for two threads at once.

    `credential` is a file that holds the value of the Authorization header; none is sent without
    it. With a `certificate` only its authority is trusted. Redirects are not followed; neither proxies nor .netrc are taken from the environment.
    """

    def __init__(
        self,
        url: str,
        *,
        credential: Path | None = None,
        certificate: ClientCertificate | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._is_tls = (
            parts.hostname or "",
            parts.port,
            parts.scheme == "https",
        )
        self._path = parts.path.rstrip("/")
        self._who = f"{parts.scheme}://{parts.netloc}"
        self._credential = credential
        self._certificate = certificate
        self._max_answer_bytes = max_answer_bytes
        self._connect_s = connect_s
        self._answer_s = answer_s
        self._connection: TimelyConnection | None = None
        self._headers: dict[str, str] = {}
        self._secret = b""

    def get(self, path: str = "", *, until_s: float | None = None) -> Answer:
        """What is at `path`, within the time a call has, or also until `until_s` (monotonic)."""
        return self._call("GET", path, None, until_s)

    def post(
        self, path: str, body: bytes, *, encoding: str = "", until_s: float | None = None
    ) -> Answer:
        """Hand over a JSON body, encoded so if an encoding is named; as `get`."""
        return self._call("POST", path, body, until_s, encoding)

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
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        self.close()

    def _call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: bytes | None,
        until_s: float | None,
        encoding: str = "",
    ) -> Answer:
        answer = self._exchange(method, path, body, until_s, encoding)
        if answer.status in (401, 403):
            self.close()  # a new credential is tried with the next call
        if not (200 <= answer.status < 300 or 400 <= answer.status < 500):
            raise Unavailable(f"{self._who}: {answer.status}")
        if answer.status in TRY_LATER:
            raise Unavailable(f"{self._who}: {answer.status}, to be tried later")
        return answer

    def _exchange(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: bytes | None,
        until_s: float | None,
        encoding: str = "",
    ) -> Answer:
        share = 1.0
        if until_s is not None:
            left_s = until_s - time.monotonic()
            share = min(1.0, left_s / (self._connect_s + self._answer_s))
            if share <= 0:
                raise Unavailable(f"{self._who}: too slow for so many requests")
        connection = self._connected()
        where = quote(self._path + path, safe=_SAFE) or "/"
        try:
            connection.limit(share * self._connect_s, share * self._answer_s)
            encoded = {"Content-Encoding": encoding} if encoding else {}
            connection.request(method, where, body, self._headers | encoded)
            response = connection.getresponse()
            content = response.read(self._max_answer_bytes + 1)
            if len(content) > self._max_answer_bytes:
                raise ValueError(f"answered more than {self._max_answer_bytes} bytes")
            if response.length:
                raise http.client.IncompleteRead(content, response.length)
            if response.getheader("Content-Encoding", "identity") != "identity":
                raise ValueError("answered in an encoding it was not asked for")
            response.close()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            self.close()
            what = "SSLError" if isinstance(exc, ssl.SSLError) else type(exc).__name__
            said = str(exc) if type(exc) is ValueError else what
            raise Unavailable(f"{self._who}: {said}") from exc
        if self._secret and response.status >= 400:  # it may be quoted
            content = content.replace(self._secret, b"***")
        length = response.getheader("Content-Length", "")
        is_framed = response.status == NO_CONTENT or response.chunked or length.isdecimal()
        kind = response.getheader("Content-Type", "")
        return Answer(self._who, response.status, kind, is_framed, content)

    def _connected(self) -> TimelyConnection:
        if self._connection is None:
            self._headers = {
                "User-Agent": "qold",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            }
            authorization = self._authorization()
            if authorization:
                self._headers["Authorization"] = authorization
                self._secret = authorization.split()[-1].encode()
            if self._is_tls:
                self._connection = TimelyTls(self._host, self._port, context=self._tls())
            else:
                self._connection = TimelyPlain(self._host, self._port)
        return self._connection

    def _tls(self) -> ssl.SSLContext:
        if self._certificate is None:
            trusted = os.environ.get("REQUESTS_CA_BUNDLE") or None
            return ssl.create_default_context(cafile=trusted)
        try:
            context = ssl.create_default_context(cafile=str(self._certificate.ca))
            context.load_cert_chain(self._certificate.chain, self._certificate.key)
        except OSError as exc:  # ssl.SSLError is one
            name = self._certificate.chain
            raise Unavailable(f"{name}, its key or its ca: {exc.strerror or exc}") from exc
        return context

    def _authorization(self) -> str:
        if self._credential is None:
            return ""
        try:
            value = read_private(self._credential).decode("ascii").strip()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as exc:
            raise Unavailable(f"{self._credential}: unreadable or not ASCII") from exc
        if not value.isprintable():
            raise Unavailable(f"{self._credential}: must hold one line, an Authorization header")
        return value
