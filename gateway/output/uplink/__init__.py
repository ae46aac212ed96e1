"""Where reports go: one module per technology, chosen by the URL's scheme.

A new technology passes tests/contract/test_uplink_contract.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

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


def uplink_for(
    url: str, clock: Clock, *, certificates: Path | None = None, refresh_ms: int = 900_000
) -> Uplink:
    """The uplink of a URL, not connected yet; raises SettingsError.

    `sqlite:///var/log.db?max_mb=4096`: a log file on this machine, of that size at most.
    `kafka://host:port,host:port`: a cluster, asked every `refresh_ms` who leads its partitions.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        from gateway.output.uplink.sqlite import SqliteUplink

        options = dict(parse_qsl(parts.query))
        max_mb = options.pop("max_mb", "4096")
        if not parts.path.startswith("/"):
            raise SettingsError([f"uplink.url: {url}: the path must be absolute"])
        if options or not max_mb.isdecimal():
            raise SettingsError([f"uplink.url: {url}: only ?max_mb=NUMBER may follow the path"])
        return SqliteUplink(unquote(parts.path), clock, max_bytes=int(max_mb) * 2**20)
    if parts.scheme == "kafka":
        from gateway.output.uplink.kafka import KafkaUplink

        if not parts.netloc or "@" in parts.netloc or parts.path or parts.query:
            raise SettingsError(
                [f"uplink.url: {url}: only host:port,host:port may follow kafka://"]
            )
        if certificates is None:
            raise SettingsError(["uplink.certificates: kafka:// needs the folder of certificates"])
        return KafkaUplink(parts.netloc, certificates, refresh_ms=refresh_ms)
    raise SettingsError([f"uplink.url: {url}: unknown scheme, known are: kafka, sqlite"])
