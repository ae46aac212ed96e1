"""Analytics for one machine: events as JSON lines {collection, event}."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qold.adapters.json_lines_file import JsonLinesFile
from qold.ports import Rejected


class FileAnalytics:
    """Each id once a collection, durable on return."""

    def __init__(self, path: str | Path) -> None:
        self._file = JsonLinesFile(path, lambda row: f"{row['collection']}:{row['event']['id']}")

    def record(self, collection: str, events: Sequence[Mapping[str, Any]]) -> None:
        if not all(event.get("id") for event in events):
            raise Rejected("no-id", collection)
        self._file.append([{"collection": collection, "event": event} for event in events])

    def ping(self) -> None:
        self._file.ping()

    def close(self) -> None:
        """The file is open only while it is written."""
