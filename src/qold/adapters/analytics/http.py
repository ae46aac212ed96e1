"""Keen (source 7.3.5; inventory A49)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from qold.adapters.http_service import NOT_THE_MESSAGE, HttpService
from qold.ports import Rejected


class HttpAnalytics:
    """`POST /events/{collection}`, one event each."""

    def __init__(self, service: HttpService) -> None:
        self._service = service

    def record(self, collection: str, events: Sequence[Mapping[str, Any]]) -> None:
        """All of them within the time of one call; a wrong address or credential is `Unavailable`."""
        bodies = [_body(collection, event) for event in events]
        until_s = self._service.call_ends_s()
        for body in bodies:
            answer = self._service.post(
                f"/events/{quote(collection, safe='')}", body, until_s=until_s
            )
            answer.check_taken(also_away=NOT_THE_MESSAGE)

    def ping(self) -> None:
        self._service.ping()

    def close(self) -> None:
        self._service.close()


def _body(collection: str, event: Mapping[str, Any]) -> bytes:
    if not event.get("id"):
        raise Rejected("no-id", collection)
    try:
        return json.dumps(event, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise Rejected("not-json", str(exc)) from exc
