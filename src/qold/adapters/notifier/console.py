"""The notifier for looking on: a line in the log, which goes to stderr."""

import logging

from qold.domain.contacts import is_phone
from qold.ports import Rejected

MAX_IDS = 10_000

log = logging.getLogger(__name__)


class ConsoleNotifier:
    """Each id once, as far as this process remembers its last 10 000."""

    def __init__(self) -> None:
        self._told: dict[str, None] = {}

    def send(self, *, message_id: str, to: str, text: str) -> None:
        if not is_phone(to):
            raise Rejected("bad-phone", to)
        if message_id in self._told:
            return
        log.warning("message=%s to=%s text=%s", message_id, to, text.replace("\n", " "))
        self._told[message_id] = None
        if len(self._told) > MAX_IDS:
            del self._told[next(iter(self._told))]

    def ping(self) -> None:
        """There is nobody to answer."""

    def close(self) -> None:
        """There is nothing to let go of."""
