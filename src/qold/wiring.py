"""URL scheme -> adapter: the one place that knows which technologies exist."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from qold.clock import Clock
from qold.ports import LastSeen, MessageLog, RawStore, ReadingStore, Registry, StateStore
from qold.settings import Settings, SettingsError

Port = TypeVar("Port")
Factory = Callable[[str, Settings, Clock], Port]


def message_log(settings: Settings, clock: Clock) -> MessageLog:
    return _connect("log_url", {"sqlite": _sqlite_log}, settings, clock)


def registry(settings: Settings, clock: Clock) -> Registry:
    return _connect("registry_url", {"sqlite": _sqlite_registry}, settings, clock)


def raw_store(settings: Settings, clock: Clock) -> RawStore:
    return _connect("raw_url", {"sqlite": _sqlite_raw}, settings, clock)


def reading_store(settings: Settings, clock: Clock) -> ReadingStore:
    return _connect("readings_url", {"sqlite": _sqlite_readings}, settings, clock)


def state_store(settings: Settings, clock: Clock) -> StateStore:
    return _connect("state_url", {"sqlite": _sqlite_state}, settings, clock)


def last_seen(settings: Settings, clock: Clock) -> LastSeen:
    return _connect("last_seen_url", {"sqlite": _sqlite_last_seen}, settings, clock)


def bcrypt_verifier() -> Callable[[str, str], bool]:
    """`verify(stored, token)` for bcrypt hashes; the library is loaded at the first call."""

    def verify(stored: str, token: str) -> bool:
        from qold.adapters.passwords.bcrypt import verify as check

        return check(stored, token)

    return verify


def sqlite_path(url: str, state_dir: str) -> str:
    """The file of a `sqlite:` URL; a relative one lies in the state folder."""
    path = urlsplit(url).path
    return path if path == ":memory:" else str(Path(state_dir) / path)


def _connect(
    name: str, factories: dict[str, Factory[Port]], settings: Settings, clock: Clock
) -> Port:
    url = getattr(settings, name)
    scheme = urlsplit(url).scheme
    if scheme not in factories:
        known = ", ".join(sorted(factories))
        raise SettingsError([f"{name}: no adapter for {scheme!r}; there is: {known}"])
    return factories[scheme](url, settings, clock)


def _sqlite_log(url: str, settings: Settings, clock: Clock) -> MessageLog:
    from qold.adapters.log.sqlite import SqliteLog

    return SqliteLog(
        sqlite_path(url, settings.state_dir), clock=clock, max_bytes=settings.log_max_mb * 2**20
    )


def _sqlite_registry(url: str, settings: Settings, clock: Clock) -> Registry:
    from qold.adapters.registry.sqlite import SqliteRegistry

    return SqliteRegistry(sqlite_path(url, settings.state_dir))


def _sqlite_raw(url: str, settings: Settings, clock: Clock) -> RawStore:
    from qold.adapters.raw.sqlite import SqliteRawStore

    return SqliteRawStore(sqlite_path(url, settings.state_dir))


def _sqlite_readings(url: str, settings: Settings, clock: Clock) -> ReadingStore:
    from qold.adapters.readings.sqlite import SqliteReadingStore

    return SqliteReadingStore(sqlite_path(url, settings.state_dir))


def _sqlite_state(url: str, settings: Settings, clock: Clock) -> StateStore:
    from qold.adapters.state.sqlite import SqliteStateStore

    return SqliteStateStore(sqlite_path(url, settings.state_dir))


def _sqlite_last_seen(url: str, settings: Settings, clock: Clock) -> LastSeen:
    from qold.adapters.last_seen.sqlite import SqliteLastSeen

    return SqliteLastSeen(sqlite_path(url, settings.state_dir))
