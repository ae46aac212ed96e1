"""Check of folders that code is loaded from: exact files, exact hashes, no other user may write."""

import hashlib
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from qold.private_files import FOREIGN_WRITE, ROOT_UID, close_folder, write_private

# Hashing releases the interpreter's lock; more threads than this wait for memory.
THREADS = 4

WHOLE = "."
"""Key of a fault of the folder itself."""


class ArtifactsError(RuntimeError):
    """Files that code is loaded from are missing or not as expected; the text has reason and fix."""


def hold_exactly(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files (name -> content) of mode 600; raises `ArtifactsError` for any other file there."""
    if os.path.lexists(folder) and not stat.S_ISDIR(folder.lstat().st_mode):
        _refuse(folder, "not a folder")
    close_folder(folder)
    _refuse(folder, faults(folder, {}).get(WHOLE))
    for name, content in contents.items():
        write_private(folder / name, content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    for name, reason in faults(folder, files).items():
        _refuse(folder / name, reason)


def faults(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Return what differs from `files` (relative path -> SHA-256), by relative path; {} if nothing.

    Links are faults, as are files that another user owns or may write.
    """
    reason = _fault_of_folder(folder)
    if reason:
        return {WHOLE: reason}
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    found = dict(_walk(folder, "", folders))
    wrong = {
        name: reason or ("not expected" if name not in files else "")
        for name, reason in found.items()
    }
    wrong |= {name: "missing" for name in files.keys() - found.keys()}
    sound = [name for name in files if not wrong[name]]
    with ThreadPoolExecutor(THREADS) as threads:
        digests = threads.map(_digest, map(folder.joinpath, sound))
        for name, digest in zip(sound, digests, strict=True):
            if digest != files[name]:
                wrong[name] = "other content"
    return {name: reason for name, reason in sorted(wrong.items()) if reason}


def describe(folder: Path, wrong: Mapping[str, str]) -> str:
    """Return one line that names every fault."""
    named = (f"{name}: {reason}" for name, reason in wrong.items() if name != WHOLE)
    return f"{folder}: {wrong[WHOLE]}" if WHOLE in wrong else f"{folder}: {', '.join(named)}"


def _refuse(path: Path, reason: str | None) -> None:
    if reason:
        raise ArtifactsError(f"{path}: {reason}\nfix: rm -r {shlex.quote(str(path))}")


def _walk(folder: Path, prefix: str, folders: set[str]) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name, status = prefix + entry.name, entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode) and name in folders:
                reason = _fault_of_status(status)
                if reason:
                    yield name, reason
                yield from _walk(Path(entry.path), f"{name}/", folders)
            elif stat.S_ISREG(status.st_mode):
                yield name, _fault_of_status(status)
            else:
                yield name, "not a regular file"


def _fault_of_folder(folder: Path) -> str:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return "missing"
    return _fault_of_status(status) if stat.S_ISDIR(status.st_mode) else "not a folder"


def _fault_of_status(status: os.stat_result) -> str:
    if not _is_trusted(status):
        return _owner(status)
    return "may be written by others" if status.st_mode & FOREIGN_WRITE else ""


def _digest(path: Path) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # not readable for us, or replaced by a link since
        return ""


def _is_trusted(status: os.stat_result) -> bool:
    return status.st_uid in (ROOT_UID, os.geteuid())


def _owner(status: os.stat_result) -> str:
    return f"belongs to user {status.st_uid}"
