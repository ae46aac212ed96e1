"""gateway.toml: every setting of a gateway, read once, all errors reported together."""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from qold.private_files import NotPrivate, check_file, check_folder
from qold.settings_file import read_settings_text

MAX_GATEWAY_ID = 2**31 - 1
_TOKEN = re.compile(r"[0-9a-f]{40}")
# A letter first: the outbox column is STRING as in the source (T7.2), which SQLite would turn
# into a number where the text looks like one.
_TOPIC = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,248}")


class Policy(StrEnum):
    """What happens to a new reading when the outbox is full."""

    DROP_OLDEST = "drop-oldest"
    REFUSE = "refuse"


class SettingsError(ValueError):
    """Every problem of a settings file, one per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What `input` and `output` are told; times in milliseconds, sizes in bytes."""

    gateway_id: int
    token: str = field(repr=False)
    outbox_path: Path
    uplink_url: str
    uplink_certificates: Path | None = None
    uplink_refresh_ms: int = 900_000
    port: str | None = None
    baud: int = 115_200
    outbox_max_bytes: int = 512 * 2**20
    policy: Policy = Policy.DROP_OLDEST
    linger_ms: int = 200
    poll_ms: int = 1_000
    max_report_readings: int = 500
    status_folder: Path | None = None
    reports_topic: str = "reports"
    events_topic: str = "gateway.events"

    @classmethod
    def load(cls, path: str | Path) -> "GatewaySettings":
        """The settings of a TOML file; raises SettingsError. Relative paths start at its folder.

        Raises NotPrivate where another user may change the file or its folder.
        """
        file = Path(path).absolute()
        check_folder(file.parent)
        try:
            tables = tomllib.loads(read_settings_text(file))
        except NotPrivate:
            raise
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise SettingsError([f"{file}: {exc}"]) from exc
        source = _Source(tables)
        settings = _build(cls, source, file.parent)
        problems = source.problems + source.left_over()
        if problems:
            raise SettingsError([f"{file}: {problem}" for problem in problems])
        return settings

    def check_folders(self) -> None:
        """Raise NotPrivate where another user may change what a gateway keeps beside its file."""
        check_folder(self.outbox_path.parent)
        if self.status_folder is not None:
            check_folder(self.status_folder)
        if self.uplink_certificates is not None:
            check_folder(self.uplink_certificates)
            for file in self.uplink_certificates.glob("*"):
                check_file(file)


def is_readable_by_others(path: str | Path) -> bool:
    """True when users other than the gateway's can read its token in the file.

    A group may read a file of root's: that is how a service gets it.
    """
    status = os.stat(path)
    mask = stat.S_IRWXO if status.st_uid != os.geteuid() else stat.S_IRWXG | stat.S_IRWXO
    return bool(status.st_mode & mask)


def _build(kind: type[GatewaySettings], source: "_Source", folder: Path) -> GatewaySettings:
    status = source.text("status", "folder", "")
    certificates = source.text("uplink", "certificates", "")
    return kind(
        gateway_id=source.integer("gateway", "id", None, low=1, high=MAX_GATEWAY_ID),
        token=source.text("gateway", "token", None, pattern=_TOKEN, meaning="40 hex digits"),
        port=source.text("input", "port", "") or None,
        baud=source.integer("input", "baud", 115_200, low=300, high=4_000_000),
        outbox_path=folder / source.text("outbox", "path", "outbox.db"),
        outbox_max_bytes=source.integer("outbox", "max_mb", 512, low=1, high=2**20) * 2**20,
        policy=source.choice("outbox", "policy", Policy.DROP_OLDEST),
        linger_ms=source.seconds("output", "linger_s", 0.2, high=86_400),
        poll_ms=source.seconds("output", "poll_s", 1.0, high=3_600),
        max_report_readings=source.integer("output", "max_report_readings", 500, low=1, high=5_000),
        uplink_url=source.text("uplink", "url", None, pattern=re.compile(r"[a-z+]+:.+")),
        uplink_certificates=folder / certificates if certificates else None,
        uplink_refresh_ms=source.seconds("uplink", "refresh_s", 900, high=86_400),
        status_folder=folder / status if status else None,
        reports_topic=source.text("topics", "reports", "reports", pattern=_TOPIC),
        events_topic=source.text("topics", "events", "gateway.events", pattern=_TOPIC),
    )


class _Source:
    """Takes values out of the tables; a wrong one is noted and its default goes on."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._left: dict[str, Any] = {}
        for name, table in tables.items():
            if isinstance(table, dict):
                self._left |= {f"{name}.{key}": value for key, value in table.items()}
            else:
                self._left[name] = table

    def left_over(self) -> list[str]:
        return [f"{name}: no such setting" for name in sorted(self._left)]

    def integer(self, table: str, key: str, default: int | None, *, low: int, high: int) -> int:
        value: object = self._take(table, key, default)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._note(table, key, value, f"a whole number from {low} to {high}")
        return default or low

    def seconds(self, table: str, key: str, default: float, *, high: int) -> int:
        value: object = self._take(table, key, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high:
            return round(value * 1000)
        self._note(table, key, value, f"seconds from 0 to {high}")
        return round(default * 1000)

    def text(
        self,
        table: str,
        key: str,
        default: str | None,
        *,
        pattern: re.Pattern[str] = re.compile(".*"),
        meaning: str = "text",
    ) -> str:
        value = self._take(table, key, default)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        if pattern is not _TOKEN and meaning == "text" and pattern.pattern != ".*":
            meaning = f"text like {pattern.pattern}"
        self._note(table, key, None if pattern is _TOKEN else value, meaning)
        return default or ""

    def choice(self, table: str, key: str, default: Policy) -> Policy:
        value = self._take(table, key, default)
        if value in list(Policy):
            return Policy(value)
        self._note(table, key, value, " or ".join(Policy))
        return default

    def _take(self, table: str, key: str, default: Any) -> Any:
        return self._left.pop(f"{table}.{key}", default)

    def _note(self, table: str, key: str, value: Any, meaning: str) -> None:
        given = "" if value is None else f", not {value!r}"
        self.problems.append(f"{table}.{key}: must be {meaning}{given}")
