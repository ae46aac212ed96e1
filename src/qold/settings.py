"""Every setting of Qold's own, with its meaning; one frozen object, checked all at once.

Sources, later ones win: the defaults here, `<state>/profile.toml` (what `up` wrote for the servers it
runs), `<state>/qold.toml`, the environment (`QOLD_SHARDS=8`).
Components receive them as Storm configuration (`qold.shards`), so nothing here may be a secret.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qold.domain.contacts import is_phone
from qold.domain.readings import MAX_REPORT_READINGS
from qold.private_files import NotPrivate, check_state
from qold.settings_file import read_settings_text

STORM_PREFIX = "qold."
ENVIRON_PREFIX = "QOLD_"
FILE_NAME = "qold.toml"
PROFILES = ("embedded", "kafka", "thesis", "storage", "full")
PROFILE_FILE_NAME = "profile.toml"


class SettingsError(ValueError):
    """Every problem found, one per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _setting(default: str | int, meaning: str, *, least: int = 0) -> Any:
    return field(default=default, metadata={"meaning": meaning, "least": least})


def _url(path: str, meaning: str, *, scheme: str = "sqlite") -> Any:
    return field(default=f"{scheme}:{path}", metadata={"meaning": meaning, "url": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A URL like `sqlite:log.db` is a file in `state_dir`; `sqlite:///a/b.db` is absolute."""

    state_dir: str = field(metadata={"meaning": "folder of the embedded stores and secrets"})

    profile: str = field(
        default="embedded",
        metadata={"meaning": f"what up starts: {', '.join(PROFILES)}", "any": PROFILES},
    )
    brokers: int = _setting(1, "Kafka brokers that up starts, 1 or 3", least=1)

    log_url: str = _url("log.db", "message log")
    registry_url: str = _url("registry.db", "devices and gateways")
    raw_url: str = _url("raw.db", "raw messages")
    readings_url: str = _url("readings.db", "time series")
    state_url: str = _url("state.db", "working state per device")
    last_seen_url: str = _url("last_seen.db", "when each device was last heard")
    alert_log_url: str = _url("alerts.db", "alerts, excursions, and who was told")
    directory_url: str = _url("directory.db", "who devices belong to, and who the staff is")
    notifier_url: str = _url("", "how people are told", scheme="console")
    analytics_url: str = _url("analytics.jsonl", "alerts as events for dashboards", scheme="file")
    legacy_url: str = _url("", "where each reading is posted for the system before", scheme="none")

    clock_url: str = _url(
        "", "what time it is; scaled:FILE is a demo's faster time", scheme="system"
    )

    legacy_body: str = _setting(
        '{"id":"$id","temperature":"$temperature","battery":"$battery","t":"$t"}',
        "what is posted to legacy_url, JSON; t in seconds",
    )

    reports_topic: str = _setting("reports", "what gateways publish")
    rejected_topic: str = _setting("reports.rejected", "refused readings, with a reason")
    readings_topic: str = _setting("readings", "authenticated readings")
    config_topic: str = _setting("config", "registry changes; caches follow it")
    gateway_events_topic: str = _setting("gateway.events", "what gateways tell about themselves")
    events_topic: str = _setting("events", "authenticated events of gateways")

    topology_prefix: str = field(
        default="",
        metadata={"meaning": "before the names of topologies that share a cluster", "prefix": True},
    )

    report_readings: int = _setting(
        MAX_REPORT_READINGS,
        "readings of a report at most; a larger report is refused whole",
        least=MAX_REPORT_READINGS,
    )
    rejections_per_hour: int = _setting(
        20_000, "refusals of one gateway that are written in an hour; more are counted", least=1
    )
    unproven_rejections_per_hour: int = _setting(
        80_000, "the same for all reports together that prove no gateway token", least=1
    )
    partitions: int = _setting(4, "partitions of a topic that is created", least=1)
    shards: int = _setting(4, "device shards a tuple is split into; 0 groups by device id")
    poll_records: int = _setting(1500, "records per spout tuple at most", least=1)
    poll_bytes: int = _setting(256 * 1024, "bytes per spout tuple at most", least=1)
    poll_wait_ms: int = _setting(50, "a spout waits so long when nothing is in flight")
    partition_in_flight: int = _setting(
        6, "full spout tuples in flight per partition where order does not matter", least=1
    )
    commit_interval_ms: int = _setting(1000, "offsets are committed at least so often", least=1)
    window_ms: int = _setting(3000, "a window of datapoints closes after (source 7.3.3)", least=1)
    window_readings: int = _setting(5000, "or with so many readings", least=1)
    loader_look_ms: int = _setting(
        15_000, "who may be silent is looked for so often (source 7.3.5)", least=1
    )
    log_max_mb: int = _setting(4096, "size of the embedded log at most", least=1)
    fallback_phone: str = field(
        default="",
        metadata={"meaning": "who is told while the directory cannot say, E.164", "phone": True},
    )
    timezone: str = field(
        default="UTC",
        metadata={"meaning": "of the times people are told, and of their nights", "zone": True},
    )

    @classmethod
    def load(cls, state_dir: str | Path, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings of a state folder; raises `SettingsError` naming every problem.

        Raises `NotPrivate` for a folder or a file in it that another user may change.
        """
        state = Path(state_dir).absolute()
        check_state(state)
        values: dict[str, Any] = {}
        problems: list[str] = []
        for file in (state / PROFILE_FILE_NAME, state / FILE_NAME):
            try:
                values.update(tomllib.loads(read_settings_text(file)))
            except FileNotFoundError:
                continue
            except NotPrivate:
                raise
            except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
                problems.append(f"{file}: {exc}")
        for variable, value in (os.environ if environ is None else environ).items():
            name = variable.removeprefix(ENVIRON_PREFIX).lower()
            if variable.startswith(ENVIRON_PREFIX) and name in _FIELDS and name != "state_dir":
                values[name] = value
        values["state_dir"] = str(state)
        return cls._checked(values, problems)

    @classmethod
    def from_storm_conf(cls, conf: Mapping[str, Any]) -> "Settings":
        """Settings as Storm hands them to a component; other keys are ignored."""
        if f"{STORM_PREFIX}state_dir" not in conf:
            raise SettingsError(
                ["the topology came without settings: submit it where QOLD_STATE names a folder"]
            )
        values = {
            name: conf[STORM_PREFIX + name] for name in _FIELDS if STORM_PREFIX + name in conf
        }
        return cls._checked(values, [])

    def to_storm_conf(self) -> dict[str, str | int]:
        """The same settings as Storm configuration."""
        return {STORM_PREFIX + name: getattr(self, name) for name in _FIELDS}

    @property
    def zone(self) -> tzinfo:
        return _zone(self.timezone)

    @property
    def secrets_dir(self) -> Path:
        return Path(self.state_dir) / "secrets"

    def topics(self) -> dict[str, int]:
        """Every topic of the pipeline with its number of partitions."""
        flowing = (self.reports_topic, self.readings_topic, self.gateway_events_topic)
        sources = (self.readings_topic, self.events_topic, self.config_topic)
        unusable = map(dead_letter_topic, sources)
        single = (self.rejected_topic, self.config_topic, self.events_topic, *unusable)
        return {**dict.fromkeys(flowing, self.partitions), **dict.fromkeys(single, 1)}

    @classmethod
    def _checked(cls, values: dict[str, Any], problems: list[str]) -> "Settings":
        for name in values.keys() - _FIELDS.keys():
            problems.append(f"{name}: no such setting")
        if not Path(str(values.get("state_dir", ""))).is_absolute():
            problems.append("state_dir: must be an absolute path")
        checked: dict[str, Any] = {}
        for name, value in values.items():
            if name in _FIELDS:
                try:
                    checked[name] = _convert(_FIELDS[name], value)
                except ValueError as exc:
                    problems.append(f"{name}: {exc}")
        if problems:
            raise SettingsError(problems)
        return cls(**checked)


def dead_letter_topic(topic: str) -> str:
    """Where what cannot be used from `topic` goes."""
    return f"{topic}.dlq"


def meanings() -> dict[str, str]:
    """Each setting's name and what it means."""
    return {name: setting.metadata["meaning"] for name, setting in _FIELDS.items()}


_FIELDS: dict[str, Field[Any]] = {setting.name: setting for setting in fields(Settings)}


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # without the system's tables, which a small machine may lack
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        problem = f"{name!r} is not a time zone such as Europe/Lisbon, or tzdata is not installed"
        raise ValueError(problem) from None


def _convert(setting: Field[Any], value: Any) -> str | int:
    if setting.type is int or setting.type == "int":
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"{value!r} is not a whole number")
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a whole number") from None
        if number < setting.metadata["least"]:
            raise ValueError(f"{number} is less than {setting.metadata['least']}")
        return number
    if value == "" and (setting.metadata.get("phone") or setting.metadata.get("prefix")):
        return ""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not text")
    if setting.metadata.get("zone"):
        _zone(value)
    if setting.metadata.get("phone") and not is_phone(value):
        raise ValueError(f"{value!r} is not + and 7 to 15 digits such as +351912345678")
    if setting.metadata.get("prefix") and not re.fullmatch(r"[a-z0-9-]*", value):
        raise ValueError(f"{value!r} is not lower-case letters, digits and -")
    if value not in setting.metadata.get("any", (value,)):
        raise ValueError(f"{value!r} is none of {', '.join(setting.metadata['any'])}")
    if setting.metadata.get("url"):
        parts = urlsplit(value)
        if not parts.scheme:
            raise ValueError(f"{value!r} is not a URL such as sqlite:log.db")
        if parts.password:
            raise ValueError("a URL may not hold a password; keep it in the secrets folder")
    return value
