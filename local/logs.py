"""Where servers and topologies write what they do, and the lines of it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from qold.private_files import open_private

LOOK_S = 0.2
CHUNK = 64 * 1024


def log_files(state_dir: str | Path) -> dict[str, list[Path]]:
    """Files by server or topology; a topology on Storm has one per worker, of its last submission."""
    logs = Path(state_dir) / "logs"
    found: dict[str, list[Path]] = {}
    for path in sorted([*logs.glob("*.log"), *(logs / "storm").glob("*.log")]):
        found.setdefault(path.stem, []).append(path)
    submissions: dict[str, list[Path]] = {}
    for folder in (logs / "storm" / "workers-artifacts").glob("*-*-*"):
        submissions.setdefault(folder.name.rsplit("-", 2)[0], []).append(folder)
    for name, folders in submissions.items():
        last = max(folders, key=lambda folder: int(folder.name.rsplit("-", 1)[1]))
        found.setdefault(name, []).extend(sorted(last.glob("*/worker.log")))
    return {name: files for name, files in found.items() if files}


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, without reading more of it than they need."""
    with _open(path) as file:
        at = file.seek(0, 2)
        content = b""
        while at > 0 and content.count(b"\n") <= count:
            start = max(0, at - CHUNK)
            file.seek(start)
            content = file.read(at - start) + content
            at = start
    return _lines(content)[-count:] if count else []


def _lines(content: bytes) -> list[str]:
    """Only a line feed ends a line; str.splitlines also splits at characters within one."""
    return content.removesuffix(b"\n").decode("utf-8", "replace").split("\n") if content else []


def follow(
    paths: Sequence[Path], is_done: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Path, str]]:
    """New lines of files, for ever; one that was emptied or replaced is read from its start."""
    seen = {path: path.stat().st_size for path in paths}
    rest = dict.fromkeys(paths, b"")
    while not is_done():
        for path in paths:
            size = path.stat().st_size if path.exists() else 0
            if size < seen[path]:
                seen[path], rest[path] = 0, b""
            if size > seen[path]:
                with _open(path) as file:
                    file.seek(seen[path])
                    content = file.read(size - seen[path])
                seen[path] += len(content)
                *lines, rest[path] = (rest[path] + content).split(b"\n")
                for line in lines:
                    yield path, line.decode("utf-8", "replace")
        time.sleep(LOOK_S)


def _open(path: Path) -> BinaryIO:
    return open(open_private(path, os.O_RDONLY), "rb")
