"""Where reports go: one module per technology, chosen by the URL's scheme.

A new technology passes tests/contract/test_uplink_contract.py.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.clock import Clock
from gateway.settings import SettingsError


class UplinkUnavailable(Exception):
    """Nothing was accepted, or not known to be; the same will be tried again."""


class Uplink(Protocol):
    """The gateway's end of the message log."""

    def publish(self, topic: str, values: Sequence[bytes], *, key: str) -> int:
        """Append in order; returns how many, from the first, are durable. UplinkUnavailable."""
        ...

    def close(self) -> None:
        """Release connections; publishing again reconnects."""
        ...


def uplink_for(url: str, clock: Clock) -> Uplink:
    """The uplink of a URL, not connected yet; raises SettingsError."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        from gateway.output.uplink.sqlite import SqliteUplink

        path = rest.removeprefix("//")
        if not path.startswith("/"):
            raise SettingsError([f"uplink.url: {url}: the path must be absolute"])
        return SqliteUplink(path, clock)
    raise SettingsError([f"uplink.url: {url}: unknown scheme, known are: sqlite"])
