"""The API of the system before this one, qold-hw-api (source 7.3.6)."""

import json
from collections.abc import Mapping
from string import Template

from qold.adapters.http_service import HttpService

FIELDS = ("id", "temperature", "battery", "t")


class HttpLegacyApi:
    """POST of a body to the service's URL: one request a reading, and no other attempt."""

    def __init__(self, service: HttpService, body: str) -> None:
        """`body` is JSON with `$id`, `$temperature`, `$battery` and `$t` within its texts.

        Raises `ValueError` when it is not.
        """
        self._service = service
        self._body = Template(body)
        try:
            json.loads(self._filled(dict.fromkeys(FIELDS, "0")))
        except (KeyError, ValueError) as exc:
            raise ValueError(f"not JSON with {', '.join(FIELDS)}: {exc}") from exc

    def post(self, reading: Mapping[str, str]) -> None:
        self._service.post("", self._filled(reading)).check_taken()

    def ping(self) -> None:
        self._service.ping()

    def close(self) -> None:
        self._service.close()

    def _filled(self, reading: Mapping[str, str]) -> bytes:
        escaped = {name: json.dumps(value)[1:-1] for name, value in reading.items()}
        return self._body.substitute(escaped).encode()
