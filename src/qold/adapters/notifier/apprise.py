"""Any of the providers of Apprise, an optional package (https://github.com/caronc/apprise)."""

import threading
from pathlib import Path
from urllib.parse import quote

import apprise

from qold.domain.contacts import is_phone
from qold.ports import Rejected, Unavailable
from qold.private_files import read_private

CALL_S = 9.0
MAX_IDS = 10_000
WHO = "{to}"


class AppriseNotifier:
    """Sends to every Apprise URL of a secret file, one a line, with `{to}` for the phone number.

    Apprise has no idempotency key: each id once as far as this process remembers its last 10 000.
    """

    def __init__(self, urls: Path, *, call_s: float = CALL_S) -> None:
        self._urls = urls
        self._call_s = call_s
        self._told: dict[str, None] = {}

    def send(self, *, message_id: str, to: str, text: str) -> None:
        """Whatever a provider refuses is `Unavailable`: Apprise does not say why it failed."""
        if not is_phone(to):
            raise Rejected("bad-phone", to)
        if message_id in self._told:
            return
        providers = self._providers(to)

        def notify() -> None:
            if providers.notify(body=text):
                self._told[message_id] = None  # also when nobody waits for it any more

        thread = threading.Thread(target=notify, name="apprise", daemon=True)
        thread.start()
        thread.join(self._call_s)
        if message_id not in self._told:
            raise Unavailable("apprise: not sent" if not thread.is_alive() else "apprise: too slow")
        while len(self._told) > MAX_IDS:
            del self._told[next(iter(self._told))]

    def ping(self) -> None:
        """Return when the file can be used; asking a provider would be a message."""
        self._providers("+10000000")

    def close(self) -> None:
        """Every message has connections of its own."""

    def _providers(self, to: str) -> apprise.Apprise:
        try:
            lines = read_private(self._urls).decode("utf-8").split("\n")
        except (OSError, ValueError) as exc:
            raise Unavailable(f"{self._urls}: unreadable") from exc
        providers = apprise.Apprise()
        for number, line in enumerate(lines, 1):
            url = line.strip()
            if not url or url.startswith("#"):
                continue
            if WHO not in url or not providers.add(url.replace(WHO, quote(to, safe=""))):
                raise Unavailable(f"{self._urls}: line {number} is not an Apprise URL with {WHO}")
        if not len(providers):
            raise Unavailable(f"{self._urls}: holds no Apprise URL")
        return providers
