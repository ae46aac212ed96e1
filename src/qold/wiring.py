"""URL scheme -> adapter: the one place that knows which technologies exist."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from qold import wiring_log, wiring_stores
from qold.clock import Clock
from qold.ports import (
    AlertLog,
    Analytics,
    ContactBook,
    Directory,
    LastSeen,
    LegacyApi,
    MessageLog,
    Notifier,
    RawStore,
    ReadingStore,
    Registry,
    StateStore,
)
from qold.settings import Settings, SettingsError

if TYPE_CHECKING:
    from qold.adapters.http_service import HttpService

Port = TypeVar("Port")
Factory = Callable[[str, Settings, Clock], Port]


def message_log(settings: Settings, clock: Clock) -> MessageLog:
    adapters: dict[str, Factory[MessageLog]] = {
        "sqlite": _sqlite_log,
        **dict.fromkeys(wiring_log.SCHEMES, wiring_log.kafka_log),
    }
    return _connect("log_url", adapters, settings, clock)


def registry(settings: Settings, clock: Clock) -> Registry:
    adapters = {"sqlite": _sqlite_registry, "cassandra": wiring_stores.cassandra_registry}
    return _connect("registry_url", adapters, settings, clock)


def raw_store(settings: Settings, clock: Clock) -> RawStore:
    adapters = {"sqlite": _sqlite_raw, "cassandra": wiring_stores.cassandra_raw}
    return _connect("raw_url", adapters, settings, clock)


def reading_store(settings: Settings, clock: Clock) -> ReadingStore:
    adapters: dict[str, Factory[ReadingStore]] = {
        "sqlite": _sqlite_readings,
        "kairosdb+https": _kairosdb_readings,
    }
    return _connect("readings_url", adapters, settings, clock)


def state_store(settings: Settings, clock: Clock) -> StateStore:
    adapters = {"sqlite": _sqlite_state, "rediss": wiring_stores.redis_state}
    return _connect("state_url", adapters, settings, clock)


def last_seen(settings: Settings, clock: Clock) -> LastSeen:
    adapters = {"sqlite": _sqlite_last_seen, "rediss": wiring_stores.redis_last_seen}
    return _connect("last_seen_url", adapters, settings, clock)


def alert_log(settings: Settings, clock: Clock) -> AlertLog:
    adapters = {"sqlite": _sqlite_alert_log, "cassandra": wiring_stores.cassandra_alert_log}
    return _connect("alert_log_url", adapters, settings, clock)


def directory(settings: Settings, clock: Clock) -> Directory:
    adapters: dict[str, Factory[Directory]] = {
        "sqlite": _sqlite_directory,
        **dict.fromkeys(("qold-app+http", "qold-app+https"), _http_directory),
    }
    return _connect("directory_url", adapters, settings, clock)


def contact_book(settings: Settings, clock: Clock) -> ContactBook:
    """The directory for writing; raises `SettingsError` where it is somebody else's."""
    return _connect("directory_url", {"sqlite": _sqlite_directory}, settings, clock)


def notifier(settings: Settings, clock: Clock) -> Notifier:
    adapters: dict[str, Factory[Notifier]] = {
        "console": _console_notifier,
        "file": _file_notifier,
        "apprise": _apprise_notifier,
        **dict.fromkeys(("qold-sms+http", "qold-sms+https"), _http_notifier),
    }
    return _connect("notifier_url", adapters, settings, clock)


def analytics(settings: Settings, clock: Clock) -> Analytics:
    adapters: dict[str, Factory[Analytics]] = {
        "file": _file_analytics,
        **dict.fromkeys(("keen+http", "keen+https"), _http_analytics),
    }
    return _connect("analytics_url", adapters, settings, clock)


def legacy_api(settings: Settings, clock: Clock) -> LegacyApi:
    adapters: dict[str, Factory[LegacyApi]] = {
        "none": _no_legacy_api,
        **dict.fromkeys(("qold-hw-api+http", "qold-hw-api+https"), _http_legacy_api),
    }
    return _connect("legacy_url", adapters, settings, clock)


def bcrypt_verifier() -> Callable[[str, str], bool]:
    """`verify(stored, token)` for bcrypt hashes; the library is loaded at the first call."""

    def verify(stored: str, token: str) -> bool:
        from qold.adapters.passwords.bcrypt import verify as check

        return check(stored, token)

    return verify


def sqlite_path(url: str, state_dir: str) -> str:
    """The file of a `sqlite:` or `file:` URL; a relative one lies in the state folder."""
    path = urlsplit(url).path
    return path if path == ":memory:" else str(Path(state_dir) / path)


def _connect(
    name: str, factories: Mapping[str, Factory[Port]], settings: Settings, clock: Clock
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


def _kairosdb_readings(url: str, settings: Settings, clock: Clock) -> ReadingStore:
    """`kairosdb+https://[NAME@]host:port[?prefix=P]`: `secrets/certificates/NAME.pem` and `.key`."""
    from qold.adapters.http_service import ClientCertificate
    from qold.adapters.readings.kairosdb import MAX_ANSWER_BYTES, KairosReadingStore

    parts = urlsplit(url)
    name, _, address = parts.netloc.rpartition("@")
    prefixed = re.fullmatch(r"prefix=([A-Za-z0-9._-]+)", parts.query)
    folder = settings.secrets_dir / "certificates"
    stem = name or "datapoints"
    service = _http_service(
        "readings_url",
        parts._replace(netloc=address, query="" if prefixed else parts.query).geturl(),
        settings,
        certificate=ClientCertificate(
            folder / f"{stem}.pem", folder / f"{stem}.key", folder / "ca.pem"
        ),
        max_answer_bytes=MAX_ANSWER_BYTES,
    )
    return KairosReadingStore(service, clock, prefixed[1] if prefixed else "")


def _sqlite_state(url: str, settings: Settings, clock: Clock) -> StateStore:
    from qold.adapters.state.sqlite import SqliteStateStore

    return SqliteStateStore(sqlite_path(url, settings.state_dir))


def _sqlite_last_seen(url: str, settings: Settings, clock: Clock) -> LastSeen:
    from qold.adapters.last_seen.sqlite import SqliteLastSeen

    return SqliteLastSeen(sqlite_path(url, settings.state_dir))


def _sqlite_alert_log(url: str, settings: Settings, clock: Clock) -> AlertLog:
    from qold.adapters.alert_log.sqlite import SqliteAlertLog

    return SqliteAlertLog(sqlite_path(url, settings.state_dir))


def _sqlite_directory(url: str, settings: Settings, clock: Clock) -> ContactBook:
    from qold.adapters.directory.sqlite import SqliteDirectory

    return SqliteDirectory(sqlite_path(url, settings.state_dir))


def _http_directory(url: str, settings: Settings, clock: Clock) -> Directory:
    from qold.adapters.directory.http import HttpDirectory

    return HttpDirectory(_http_service("directory_url", url, settings))


def _console_notifier(url: str, settings: Settings, clock: Clock) -> Notifier:
    from qold.adapters.notifier.console import ConsoleNotifier

    return ConsoleNotifier()


def _file_notifier(url: str, settings: Settings, clock: Clock) -> Notifier:
    from qold.adapters.notifier.file import FileNotifier

    return FileNotifier(sqlite_path(url, settings.state_dir), clock)


def _http_notifier(url: str, settings: Settings, clock: Clock) -> Notifier:
    from qold.adapters.notifier.http import HttpNotifier

    return HttpNotifier(_http_service("notifier_url", url, settings))


def _apprise_notifier(url: str, settings: Settings, clock: Clock) -> Notifier:
    try:
        from qold.adapters.notifier.apprise import AppriseNotifier
    except ImportError as exc:
        problem = "notifier_url: apprise is not installed; install it with: pip install apprise"
        raise SettingsError([problem]) from exc
    name = urlsplit(url).path
    if not name or "/" in name:
        raise SettingsError(["notifier_url: apprise:NAME names a file in the secrets folder"])
    return AppriseNotifier(settings.secrets_dir / name)


def _file_analytics(url: str, settings: Settings, clock: Clock) -> Analytics:
    from qold.adapters.analytics.file import FileAnalytics

    return FileAnalytics(sqlite_path(url, settings.state_dir))


def _http_analytics(url: str, settings: Settings, clock: Clock) -> Analytics:
    from qold.adapters.analytics.http import HttpAnalytics

    return HttpAnalytics(_http_service("analytics_url", url, settings))


def _no_legacy_api(url: str, settings: Settings, clock: Clock) -> LegacyApi:
    from qold.adapters.legacy.none import NoLegacyApi

    return NoLegacyApi()


def _http_legacy_api(url: str, settings: Settings, clock: Clock) -> LegacyApi:
    from qold.adapters.legacy.http import HttpLegacyApi

    service = _http_service("legacy_url", url, settings)
    try:
        return HttpLegacyApi(service, settings.legacy_body)
    except ValueError as exc:
        raise SettingsError([f"legacy_body: {exc}"]) from exc


def _http_service(name: str, url: str, settings: Settings, **how: Any) -> "HttpService":
    """The service of `SERVICE+http://host:port/path`; its credential is `secrets/SERVICE.credential`."""
    from qold.adapters.http_service import HttpService

    parts = urlsplit(url)
    service, _, transport = parts.scheme.partition("+")
    try:
        is_plain = parts.port != 0 and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        is_plain = False
    if not is_plain or not parts.hostname:
        credential = f"secrets/{service}.credential"
        problem = f"{name}: {parts.scheme}:// is followed by host:port and a path only"
        raise SettingsError([f"{problem}; a credential belongs in {credential}"])
    return HttpService(
        f"{transport}://{parts.netloc}{parts.path}",
        credential=settings.secrets_dir / f"{service}.credential",
        **how,
    )
