"""Digest keys in `<state>/secrets/token-<n>.key` (64 hex digits, mode 600); the highest n signs."""

import contextlib
import os
import re
import secrets
from pathlib import Path

from qold.domain.credentials import Keys

KEY_BYTES = 32
_NAME = re.compile(r"token-([1-9][0-9]{0,8})\.key")


class KeyringError(RuntimeError):
    """The key folder cannot be used; the text names the file and the fix."""


def load_keys(folder: Path) -> Keys:
    """Every key of the folder; raises `KeyringError` when there is none or one is unreadable."""
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
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = folder / "token-1.key"
    if not any(_NAME.fullmatch(path.name) for path in folder.glob("token-*.key")):
        draft = folder / f".token-{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first; its key counts
            os.link(draft, first)
        draft.unlink()
    return load_keys(folder)


def _read(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as exc:
        raise KeyringError(f"{path}: unreadable or not hexadecimal: {exc}") from exc
    if len(key) != KEY_BYTES:
        raise KeyringError(f"{path}: {len(key)} bytes instead of {KEY_BYTES}")
    return key
