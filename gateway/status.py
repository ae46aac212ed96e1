"""One small JSON file per component, replaced every second."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from qold.private_files import make_folder, write_private

EVERY_MS = 1_000
# It holds no secret, and what watches a gateway may be another user.
STATUS_FOLDER, STATUS_FILE = 0o755, 0o644

log = logging.getLogger(__name__)


class StatusFile:
    """Writes `<folder>/<component>.json`; without a folder nothing is written."""

    def __init__(self, folder: Path | None, component: str, clock: Clock) -> None:
        self._path = None if folder is None else folder / f"{component}.json"
        self._component = component
        self._clock = clock
        self._next_ms = clock.monotonic_ms()
        self._started_at_ms = clock.wall_ms()
        self._is_failing = False

    def write_when_due(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Write `facts()` when a second has passed; the first failure in a row is logged."""
        if self._path is None or self._clock.monotonic_ms() < self._next_ms:
            return
        self._next_ms = self._clock.monotonic_ms() + EVERY_MS
        status = {
            "component": self._component,
            "pid": os.getpid(),
            "started_at_ms": self._started_at_ms,
            "written_at_ms": self._clock.wall_ms(),
            **facts(),
        }
        try:
            make_folder(self._path.parent, STATUS_FOLDER)
            write_private(self._path, json.dumps(status), STATUS_FILE)
        except OSError as exc:
            if not self._is_failing:
                log.warning("path=%s status not written: %s", self._path, exc)
            self._is_failing = True
        else:
            self._is_failing = False
