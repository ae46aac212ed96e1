"""Digest keys in `<state>/secrets/token-<n>.key` (64 hex digits, mode 600); the highest n signs."""

import logging
import re
import secrets
from collections.abc import Set
from pathlib import Path

from qold.clock import Clock
from qold.domain.credentials import Keys
from qold.private_files import check_folder, close_folder, create_private, read_private

KEY_BYTES = 32
LOOK_AGAIN_MS = 10_000
_NAME = re.compile(r"token-([1-9][0-9]{0,8})\.key")

log = logging.getLogger(__name__)


class KeyringError(RuntimeError):
    """The key folder cannot be used; the text names the file and the fix."""


def load_keys(folder: Path) -> Keys:
    """Every key of the folder; raises `KeyringError` when there is none or one is unreadable."""
    try:
        check_folder(folder)
    except OSError as exc:
        raise KeyringError(f"{folder}: {exc.strerror}") from exc
    by_number = {}
    for path in folder.glob("token-*.key"):
        match = _NAME.fullmatch(path.name)
        if match:
            by_number[int(match[1])] = _read(path)
    if not by_number:
        raise KeyringError(f"{folder}: no token-<n>.key; `./qold up` or `gateway create` makes one")
    by_id = {str(number): key for number, key in by_number.items()}
    return Keys(active=str(max(by_number)), by_id=by_id)


def ensure_keys(folder: Path) -> Keys:
    """As `load_keys`, making the first key where there is none; safe beside other processes."""
    close_folder(folder)
    first = folder / "token-1.key"
    if not any(_NAME.fullmatch(path.name) for path in folder.glob("token-*.key")):
        create_private(first, secrets.token_hex(KEY_BYTES) + "\n")
    return load_keys(folder)


class Keyring:
    """The keys of a folder for a process that runs on while keys are added."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Raises `KeyringError` as `load_keys` does."""
        self.keys = load_keys(folder)
        self._folder = folder
        self._clock = clock
        self._looked_for: Set[str] = frozenset()
        self._look_again_at_ms = 0

    def look_for(self, key_ids: Set[str]) -> bool:
        """Read the folder again for these keys, at most every 10 s for the same; True if it was read.

        A folder that cannot be used is logged and leaves the keys as they are.
        """
        now_ms = self._clock.monotonic_ms()
        if key_ids <= self._looked_for and now_ms < self._look_again_at_ms:
            return False
        self._looked_for = frozenset(key_ids)
        self._look_again_at_ms = now_ms + LOOK_AGAIN_MS
        try:
            self.keys = load_keys(self._folder)
        except KeyringError as exc:
            log.warning("keys are not read again: %s", exc)
            return False
        if lost := sorted(key_ids - self.keys.by_id.keys()):
            log.warning("the registry names keys that are not in %s: %s", self._folder, lost)
        return True


def _read(path: Path) -> bytes:
    try:
        key = bytes.fromhex(read_private(path).decode("ascii"))
    except (OSError, ValueError) as exc:
        raise KeyringError(f"{path}: unreadable or not hexadecimal: {exc}") from exc
    if len(key) != KEY_BYTES:
        raise KeyringError(f"{path}: {len(key)} bytes instead of {KEY_BYTES}")
    return key
