"""What this machine can run, what is missing, and the command that provides it."""

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.markers import Marker

from local import tools
from local.embedded import lock_path, supervisor_pid
from local.status import statuses
from qold import wiring
from qold.clock import SystemClock
from qold.keyring import KeyringError, load_keys
from qold.ports import Unavailable
from qold.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 35, 0)
LEAST_FREE_MB = 1024
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)(?: *; *([^\\\n]+))?", re.MULTILINE)

Verdict = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `fix` is a command or sentence, empty when nothing needs one."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding, in the order in which things are needed; changes nothing."""
    yield _python()
    yield _packages(ROOT / "requirements" / "qold.lock")
    yield _sqlite()
    yield _terminals()
    yield _state_folder(Path(settings.state_dir))
    yield _secrets(settings.secrets_dir)
    yield _disk(Path(settings.state_dir), settings.log_max_mb)
    yield from (_tool(tool, settings.profile) for tool in tools.TOOLS)
    yield from _running(settings)


def _tool(tool: tools.Tool, profile: str) -> Finding:
    problem = tools.problem(tool)
    if not problem:
        return Finding(tool.name, "ok", shutil.which(tool.program) or tool.program)
    fix = f"sudo {' '.join(tools.install_command([tool]))}"
    if profile in tool.profiles:
        return Finding(tool.name, "missing", f"{problem}; profile {profile} needs it", fix)
    who = f"up --profile {', '.join(sorted(tool.profiles))}" if tool.profiles else "test storm"
    return Finding(tool.name, "warning", f"{problem}; {who} needs it", fix)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= LEAST_PYTHON:
        return Finding("Python", "ok", found)
    return Finding("Python", "missing", f"{found} is too old", "sudo apt install python3.11-venv")


def _packages(lock: Path) -> Finding:
    pinned = [
        (name, version)
        for name, version, marker in _PINNED.findall(lock.read_text("utf-8"))
        if not marker or Marker(marker).evaluate()
    ]
    wrong = [f"{name} {version}" for name, version in pinned if _installed(name) != version]
    if not wrong:
        return Finding("packages", "ok", f"{len(pinned)} as locked")
    return Finding(
        "packages", "missing", f"not as locked: {', '.join(wrong)}", f"rm -r {ROOT}/.venv; ./qold"
    )


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info >= LEAST_SQLITE:
        return Finding("SQLite", "ok", sqlite3.sqlite_version)
    return Finding(
        "SQLite", "missing", f"{sqlite3.sqlite_version} is too old", "a Python with SQLite 3.35"
    )


def _terminals() -> Finding:
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError as exc:
        return Finding("pseudo-terminals", "warning", f"{exc}; no demo", "mount /dev/pts")
    return Finding("pseudo-terminals", "ok", "the demo's serial lines")


def _state_folder(folder: Path) -> Finding:
    existing = _nearest(folder)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            "state folder", "missing", f"{existing} is not writable", "another --state DIR"
        )
    if existing != folder:
        return Finding("state folder", "ok", f"{folder} will be made")
    return Finding("state folder", "ok", str(folder))


def _secrets(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding("secrets", "ok", "made at the first start")
    if folder.stat().st_mode & 0o077:
        return Finding("secrets", "warning", f"others may list {folder}", f"chmod 700 {folder}")
    loose = [path for path in folder.iterdir() if path.stat().st_mode & 0o077]
    if loose:
        names = ", ".join(path.name for path in loose)
        return Finding("secrets", "warning", f"others may read {names}", f"chmod 600 {folder}/*")
    try:
        keys = load_keys(folder)
    except KeyringError as exc:
        return Finding("secrets", "missing", str(exc), "restore the folder from its backup")
    return Finding("secrets", "ok", f"{len(keys.by_id)} token key(s), {keys.active} signs")


def _disk(folder: Path, log_max_mb: int) -> Finding:
    free_mb = shutil.disk_usage(_nearest(folder)).free // 2**20
    detail = f"{free_mb} MB free; the log may take {log_max_mb} MB"
    if free_mb < LEAST_FREE_MB:
        return Finding("disk", "missing", detail, f"free {LEAST_FREE_MB} MB, or --state elsewhere")
    if free_mb < log_max_mb:
        return Finding("disk", "warning", detail, f"log_max_mb = {free_mb // 2} in qold.toml")
    return Finding("disk", "ok", detail)


def _running(settings: Settings) -> Iterator[Finding]:
    if not lock_path(settings).exists():
        yield Finding("running", "ok", "never started here; ./qold up starts it")
        return
    if not supervisor_pid(settings):
        yield Finding("running", "ok", "stopped; ./qold up starts it")
        return
    ready = set()
    for status in statuses(settings):
        if status.is_ready:
            ready.add(status.name)
            yield Finding(status.name, "ok", _lag(status.lag))
        else:
            log = Path(settings.state_dir) / "logs" / f"{status.name}.log"
            yield Finding(status.name, "missing", status.detail, f"see {log}")
    if "thresholds" in ready:
        yield _staff(settings)
    if {"thresholds", "legacy"} <= ready and not settings.legacy_url.startswith("none:"):
        yield Finding(
            "SMS",
            "warning",
            "thresholds and legacy both run: the old API tells people as well",
            'switch its SMS off, or legacy_url = "none:" in qold.toml',
        )


def _staff(settings: Settings) -> Finding:
    directory = wiring.directory(settings, SystemClock())
    try:
        staff = directory.staff()
    except Unavailable as away:
        return Finding("staff", "warning", str(away), "./qold config show names the directory_url")
    finally:
        directory.close()
    phone = staff.phone if staff else settings.fallback_phone
    if phone:
        return Finding("staff", "ok", f"told at {phone}")
    detail = "nobody is told of batteries, and of devices without a contact"
    return Finding("staff", "warning", detail, "./qold contact staff --phone +351912345678")


def _lag(lag: int | None) -> str:
    return "ready" if lag is None else f"ready, {lag} records behind"


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())
