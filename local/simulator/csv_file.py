"""CSV files of any origin, read row by row within bounds; an output file that replaces no other."""

import csv
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from qold.domain.contacts import MAX_NAME
from qold.plain_text import is_plain, spreadsheet_row

# Characters of a row with its line breaks: a hundred times a row of measurements.
MAX_ROW = 64 * 1024
# 95 units every 5 minutes for a year; they take 1.5 GB of memory (measured: 150 bytes a row).
MAX_ROWS = 10_000_000
# Problems that are named; reading stops at one more.
MAX_PROBLEMS = 20
# Each unit is a device of the demo; `--devices` makes 5 000.
MAX_UNITS = 20_000

_FOREIGN = {
    b"PK\x03\x04": "a zip or xlsx file",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class RecordingError(ValueError):
    """The file cannot be used; one line per bad row: file, line, reason."""


def read_rows(
    path: Path,
    check_columns: Callable[[Path, Sequence[str]], None],
    take: Callable[[dict[str, str | None]], None],
) -> None:
    """Hand over every row of a CSV file; what `take` raises as ValueError names the bad row.

    Raises `RecordingError`, also for a file that is no regular file or pipe, a row longer than
    `MAX_ROW` and more rows than `MAX_ROWS`.
    """
    problems: list[str] = []
    try:
        with _open(path) as file:
            lines = _Lines(path, file)
            rows = csv.DictReader(lines)
            if rows.fieldnames is None:
                raise RecordingError(f"{path}: is empty")
            check_columns(path, rows.fieldnames)
            lines.end_row()
            for count, row in enumerate(rows, 1):
                lines.end_row()
                if count > MAX_ROWS:
                    raise RecordingError(f"{path}:{rows.line_num}: more than {MAX_ROWS} rows")
                try:
                    take(row)
                except ValueError as exc:
                    problems.append(f"{path}:{rows.line_num}: {exc}")
                    if len(problems) > MAX_PROBLEMS:
                        break
    except csv.Error as exc:
        raise RecordingError(f"{path}:{lines.number}: {exc}") from exc
    except OSError as exc:
        raise RecordingError(f"{path}: {exc.strerror or exc}") from exc
    if problems:
        more = ["…"] * (len(problems) > MAX_PROBLEMS)
        raise RecordingError("\n".join(problems[:MAX_PROBLEMS] + more))


def unit_of(row: dict[str, str | None]) -> str:
    """The unit's name; raises ValueError where it is empty, too long or holds control characters."""
    unit = str(row["unit"]).strip()
    if not unit:
        raise ValueError("unit is empty")
    if not is_plain(unit):
        raise ValueError(f"unit {unit[:MAX_NAME]!r} holds control or invisible characters")
    if len(unit) > MAX_NAME:
        raise ValueError(f"unit {unit[:40]!r}… is longer than {MAX_NAME} characters")
    return unit


def check_output(path: Path) -> None:
    """Raises `RecordingError` for what `write_rows` would not write: a link, a device, a folder."""
    if _is_stdout(path):
        return
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        kind = stat.S_IFREG
    except OSError as exc:
        raise RecordingError(f"{path}: {exc.strerror or exc}") from exc
    if stat.S_ISLNK(kind):
        raise RecordingError(f"{path}: is a link; name the file itself")
    if not stat.S_ISREG(kind):
        raise RecordingError(f"{path}: is not a regular file")
    if not path.absolute().parent.is_dir():
        raise RecordingError(f"{path}: no such folder")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise RecordingError(f"{path}: its folder cannot be written")


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Put a CSV file in place of `path`, whole or not at all; /dev/stdout is written through."""
    check_output(path)
    if _is_stdout(path):
        _write(sys.stdout, header, rows)
        return
    beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            _write(file, header, rows)
        beside.replace(path)
    except OSError as exc:
        raise RecordingError(f"{path}: {exc.strerror or exc}") from exc
    finally:
        beside.unlink(missing_ok=True)


def _write(file: TextIO, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(spreadsheet_row, rows))


def _is_stdout(path: Path) -> bool:
    return str(path) in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def _open(path: Path) -> TextIO:
    # Not blocking: a pipe without a writer is empty then, instead of waiting for one for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
            raise RecordingError(f"{path}: is neither a regular file nor a pipe")
        os.set_blocking(descriptor, True)
        # Bytes that are not UTF-8 become surrogates, so that their line can be named.
        return open(descriptor, encoding="utf-8-sig", errors="surrogateescape", newline="")
    except BaseException:
        os.close(descriptor)
        raise


class _Lines:
    """The lines of a file for csv; raises `RecordingError` where a row is too long or no UTF-8 text."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.number = 0
        self._path = path
        self._file = file
        self._room = MAX_ROW
        self._row_at = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._room + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._check(line)
        self._room -= len(line)
        return line

    def end_row(self) -> None:
        """The next line begins a row."""
        self._room = MAX_ROW
        self._row_at = self.number + 1

    def _check(self, line: str) -> None:
        where = f"{self._path}:{self.number}"
        if self.number == 1:
            start = line[:8].encode("utf-8", "surrogateescape")
            for mark, name in _FOREIGN.items():
                if start.startswith(mark):
                    raise RecordingError(f"{where}: is {name}; save it as CSV in UTF-8")
        if "\0" in line:
            raise RecordingError(f"{where}: holds a NUL byte, which text does not")
        if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
            raise RecordingError(f"{where}: is not UTF-8")
        if len(line) > self._room:
            raise RecordingError(
                f"{self._path}:{self._row_at}: a row is longer than {MAX_ROW} characters"
            )
