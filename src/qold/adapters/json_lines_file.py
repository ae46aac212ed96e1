"""A file of JSON lines in which each key stands once, also after a crash and beside other writers."""

import fcntl
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from qold.ports import Rejected, Unavailable
from qold.private_files import make_folder, open_private

MAX_KEYS = 200_000

log = logging.getLogger(__name__)


class JsonLinesFile:
    """Opened for each append; remembers the keys of the last 200 000 lines."""

    def __init__(self, path: str | Path, key: Callable[[Mapping[str, Any]], str]) -> None:
        self.path = Path(path)
        self._key = key
        self._known: dict[str, None] = {}
        self._inode = 0
        self._end = 0

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Durable on return; rows whose key is there already are left out.

        Raises `Rejected` for a row that is not JSON, before anything is written.
        """
        lines = {self._key(row): _line(row) for row in rows}
        try:
            with self._open() as file:
                self._learn(file)
                fresh = [line for key, line in lines.items() if key not in self._known]
                if fresh:
                    file.seek(self._end)
                    file.truncate()  # what a crash left of a line was never acknowledged
                    file.write(b"".join(fresh))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as exc:
            raise Unavailable(f"{self.path}: {exc.strerror}") from exc

    def ping(self) -> None:
        """Return when the file can be written."""
        try:
            self._open().close()
        except OSError as exc:
            raise Unavailable(f"{self.path}: {exc.strerror}") from exc

    def _open(self) -> BinaryIO:
        """Opened and locked until it is closed."""
        is_new = not self.path.exists()
        if is_new:
            make_folder(self.path.parent)
        file = os.fdopen(open_private(self.path, os.O_RDWR | os.O_CREAT), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_new:
                _sync_folder(self.path.parent)
        except BaseException:
            file.close()
            raise
        return file

    def _learn(self, file: BinaryIO) -> None:
        """Read what was written since the last time; all of it when it is another file."""
        status = os.fstat(file.fileno())
        if status.st_ino != self._inode or status.st_size < self._end:
            self._known, self._inode, self._end = {}, status.st_ino, 0
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):
                break
            self._end += len(line)
            try:
                self._known[self._key(json.loads(line))] = None
            except (ValueError, KeyError, TypeError):
                log.warning("%s: a line that is not ours ends at byte %d", self.path, self._end)
        for key in list(self._known)[:-MAX_KEYS]:
            del self._known[key]


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as exc:
        raise Rejected("not-json", str(exc)) from exc


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
