"""The notifier for one machine: messages as JSON lines {id, to, text, time}."""

from datetime import UTC, datetime
from pathlib import Path

from qold.adapters.json_lines_file import JsonLinesFile
from qold.clock import Clock
from qold.domain.contacts import is_phone
from qold.ports import Rejected


class FileNotifier:
    """Each id once, durable on return; `time` is ISO 8601 in UTC."""

    def __init__(self, path: str | Path, clock: Clock) -> None:
        self._file = JsonLinesFile(path, lambda row: str(row["id"]))
        self._clock = clock

    def send(self, *, message_id: str, to: str, text: str) -> None:
        if not is_phone(to):
            raise Rejected("bad-phone", to)
        time = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)
        row = {"id": message_id, "to": to, "text": text, "time": time.isoformat()}
        self._file.append([row])

    def ping(self) -> None:
        self._file.ping()

    def close(self) -> None:
        """The file is open only while it is written."""
