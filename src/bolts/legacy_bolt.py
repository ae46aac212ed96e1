"""Legacy bolt: each reading to the API of the system before this one (source 7.3.6)."""

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import msgspec

from qold import wiring
from qold.component import QoldBolt
from qold.domain.progress import Progress, lane_of
from qold.ports import LegacyApi, Rejected, StateChange, StateStore, Unavailable
from qold.records import encode
from qold.rows import LegacyRow, unpacker

LANES = 4
BUDGET_MS = 30_000
"""Half the message timeout: one more request of 10 s fits, then a replay goes on from there."""
SAVE_EVERY_S = 1.0
KEPT_MS = 7 * 24 * 3_600_000

_legacy_rows = unpacker(LegacyRow)
_decode_progress = msgspec.json.Decoder(Progress).decode


class LegacyBolt(QoldBolt):
    """Several devices at once, of each one request after the other; a replay goes on where it stopped.

    What the API refuses is a dead letter; what it cannot take now stops every lane and fails the
    tuple, of which only the request that failed is sent twice. A process that is killed sends again
    what it sent in its last second.
    """

    def setup(self, storm_conf: Mapping[str, Any], context: Mapping[str, Any]) -> None:
        self.apis: list[LegacyApi] = []
        self.states: StateStore | None = None
        self.pool = ThreadPoolExecutor(LANES, thread_name_prefix="lane")
        self.letters_lock = threading.Lock()

    def handle(self, tup: Any) -> None:
        if self.states is None:
            self.states = wiring.state_store(self.settings, self.clock)
        if not self.apis:
            self.apis = [wiring.legacy_api(self.settings, self.clock) for _ in range(LANES)]
        rows = _legacy_rows(tup.values.rows)
        bookmark = self._bookmark(self.states, tup.values, rows)
        lanes: dict[int, list[LegacyRow]] = defaultdict(list)
        for row in rows:
            lanes[lane_of(row.device_id, self.settings.shards, LANES)].append(row)
        work = _Work(self, f"{tup.values.topic}:{tup.values.partition}", bookmark.progress)
        futures = [self.pool.submit(work.run, lane, mine) for lane, mine in lanes.items()]
        try:
            while wait(futures, timeout=SAVE_EVERY_S).not_done:
                bookmark.save(self.clock.wall_ms())
        finally:
            work.stop.set()
            wait(futures)
        bookmark.save(self.clock.wall_ms())
        self.counters["posted"] += sum(work.posted)
        self.counters["dead_letters"] += sum(work.refused)
        for future in futures:
            future.result()

    def _bookmark(self, states: StateStore, values: Any, rows: Sequence[LegacyRow]) -> "_Bookmark":
        shards = self.settings.shards
        key = f"legacy:{values.topic}:{values.partition}:{shards}:{values.device_shard}"
        stored = states.load([key], now_ms=self.clock.wall_ms()).get(key)
        before = _decode_progress(stored.value) if stored else None
        progress = Progress.resumed(before, repr(rows[0]), LANES)
        return _Bookmark(states, key, progress, stored.version if stored else 0)


class _Bookmark:
    """How far the lanes are, as the state store knows it."""

    def __init__(self, states: StateStore, key: str, progress: Progress, version: int) -> None:
        self.progress = progress
        self._states, self._key, self._version = states, key, version

    def save(self, now_ms: int) -> None:
        """Raises `Unavailable`, also when another task has written it."""
        value = msgspec.json.encode(self.progress).decode("ascii")
        change = StateChange(self._key, self._version, value, now_ms + KEPT_MS)
        if self._states.save([change], now_ms=now_ms):
            raise Unavailable(f"{self._key}: another task works on this")
        self._version += 1


class _Work:
    """The rows of one tuple, in lanes; the first that fails, or the time that is up, stops all."""

    def __init__(self, bolt: LegacyBolt, source: str, progress: Progress) -> None:
        self.stop = threading.Event()
        self.posted, self.refused = [0] * LANES, [0] * LANES
        self._bolt, self._source, self._progress = bolt, source, progress
        self._ends_at_ms = bolt.clock.monotonic_ms() + BUDGET_MS

    def run(self, lane: int, rows: Sequence[LegacyRow]) -> None:
        """Post what is left of a lane's rows, in order. Raises `Unavailable`."""
        try:
            for row in rows:
                if row.offset <= self._progress.done[lane]:
                    continue
                if self.stop.is_set():
                    return
                if self._bolt.clock.monotonic_ms() >= self._ends_at_ms:
                    raise Unavailable("the legacy API is slow; going on where this stopped")
                self._post(lane, row)
                self._progress.done[lane] = row.offset
        except BaseException:
            self.stop.set()
            raise

    def _post(self, lane: int, row: LegacyRow) -> None:
        reading = {
            "id": str(row.device_id),
            "temperature": row.temperature,
            "battery": row.battery,
            "t": row.t,
        }
        try:
            self._bolt.apis[lane].post(reading)
            self.posted[lane] += 1
        except Rejected as refusal:
            letter = (f"{self._source}:{row.offset}", refusal.reason, encode(reading))
            with self._bolt.letters_lock:
                letters = self._bolt.dead_letters()
                letters.put(self._bolt.settings.readings_topic, [letter])
                self.refused[lane] += 1
