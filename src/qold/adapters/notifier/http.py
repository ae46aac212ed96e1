"""The Qold SMS service (source 7.3.4; inventory A49)."""

import json

from qold.adapters.http_service import NOT_THE_MESSAGE, HttpService
from qold.domain.contacts import is_phone
from qold.ports import Rejected


class HttpNotifier:
    """`POST /sms {to, message, id}`; the service tells each id once."""

    def __init__(self, service: HttpService) -> None:
        self._service = service

    def send(self, *, message_id: str, to: str, text: str) -> None:
        """A wrong address or credential, or an unpaid bill, is `Unavailable`: no alert is lost to it."""
        if not is_phone(to):
            raise Rejected("bad-phone", to)
        body = json.dumps({"to": to, "message": text, "id": message_id}).encode()
        self._service.post("/sms", body).check_taken(also_away=NOT_THE_MESSAGE)

    def ping(self) -> None:
        self._service.ping()

    def close(self) -> None:
        self._service.close()
