"""The embedded log: one SQLite file, format in docs/wire-format.md (gateways write it too).

Retention: a record goes when every consumer of its topic has committed it and it is older than
seven days; a topic nobody consumes keeps seven days. When the file is full, records that every
consumer has go early; unread ones never go. It is the gateways' uplink that refuses a full file:
the pipeline's own appends must pass, or what fills the file could never be worked off.
"""

import logging
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from qold.adapters.sqlite_file import SqliteFile
from qold.clock import Clock
from qold.domain.log_limits import MAX_VALUE_BYTES
from qold.domain.offsets import begin_at
from qold.ports import LogReader, PartitionOffsets, Record, Rejected, Start

RETENTION_MS = 7 * 24 * 3600 * 1000
PRUNE_EVERY_MS = 60_000
LOOK_AGAIN_S = 0.005
_TOPIC_SHIFT, _PARTITION_SHIFT = 48, 40
_KEPT_KEYS = 100_000
# SQLite takes the length of a blob from the row's header, so that a large one is never loaded. What
# another program stored as another type, or as text that is not UTF-8, is read as bytes.
_READ = """
SELECT id,
       coalesce(substr(CAST(key AS BLOB), 1, 65536), x''),
       CASE WHEN length(value) <= :most THEN CAST(value AS BLOB) ELSE x'' END,
       CASE WHEN typeof(appended_at_ms) = 'integer' THEN appended_at_ms ELSE 0 END,
       CASE WHEN length(value) <= :most THEN 0 ELSE length(value) END
FROM records WHERE id >= :first AND id < :after ORDER BY id LIMIT :count
"""

log = logging.getLogger(__name__)


class SqliteLog:
    """A MessageLog in one file, for any number of processes on one machine."""

    def __init__(self, path: str | Path, *, clock: Clock, max_bytes: int = 4 * 2**30) -> None:
        self._file = SqliteFile(path, "log")
        self._clock = clock
        self._max_bytes = max_bytes
        self._topics: dict[str, tuple[int, int]] = {}
        self._partition_of: dict[tuple[str, int], int] = {}
        self._pruned_at_ms = clock.monotonic_ms()

    def append(self, topic: str, entries: Sequence[tuple[str, bytes]]) -> None:
        if not entries:
            return
        number, partitions = self._topic(topic)
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._pruned_at_ms >= PRUNE_EVERY_MS:
            self._pruned_at_ms = now_ms
            self.prune()
        appended_at_ms = self._clock.wall_ms()
        with self._file.writing() as db:
            heads = dict(
                db.execute(
                    "SELECT partition, next_offset FROM heads WHERE topic_number = ?", (number,)
                )
            )
            rows = []
            for key, value in entries:
                partition = self._partition(key, partitions)
                offset = heads[partition]
                heads[partition] = offset + 1
                rows.append((_record_id(number, partition, offset), key, value, appended_at_ms))
            db.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
            db.executemany(
                "UPDATE heads SET next_offset = ? WHERE topic_number = ? AND partition = ?",
                [(head, number, partition) for partition, head in heads.items()],
            )

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        with self._file.writing() as db:
            known = {topic for (topic,) in db.execute("SELECT topic FROM topics")}
            (number,) = db.execute("SELECT coalesce(max(number) + 1, 0) FROM topics").fetchone()
            for topic, count in partitions.items():
                if topic in known:
                    continue
                db.execute("INSERT INTO topics VALUES (?, ?, ?)", (topic, number, count))
                db.executemany(
                    "INSERT INTO heads VALUES (?, ?, 0, 0)", [(number, p) for p in range(count)]
                )
                number += 1

    def topics(self) -> Mapping[str, int]:
        with self._file.reading() as db:
            return dict(db.execute("SELECT topic, partitions FROM topics ORDER BY topic"))

    def partition_count(self, topic: str) -> int:
        return self._topic(topic)[1]

    def offsets(self, topic: str) -> Mapping[int, PartitionOffsets]:
        number, _ = self._topic(topic)
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT partition, first_offset, next_offset FROM heads WHERE topic_number = ?",
                (number,),
            )
            return {partition: PartitionOffsets(first, after) for partition, first, after in rows}

    def committed(self, consumer: str, topic: str) -> Mapping[int, int]:
        number, _ = self._topic(topic)
        with self._file.reading() as db:
            return dict(
                db.execute(
                    "SELECT partition, next_offset FROM offsets"
                    " WHERE consumer = ? AND topic_number = ?",
                    (consumer, number),
                )
            )

    def reader(
        self,
        consumer: str,
        topic: str,
        partitions: Collection[int],
        *,
        start: Start = "earliest",
    ) -> LogReader:
        number, _ = self._topic(topic)
        positions = begin_at(self.offsets(topic), partitions, start)
        committed = self.committed(consumer, topic)
        positions |= {p: committed[p] for p in positions.keys() & committed.keys()}
        return _SqliteReader(self._file, consumer, (topic, number), positions)

    def prune(self) -> int:
        """Delete what retention lets go; returns the number of records."""
        before_ms = self._clock.wall_ms() - RETENTION_MS
        is_full = self._is_full()
        deleted = 0
        with self._file.writing() as db:
            heads = db.execute(
                "SELECT topic_number, partition, first_offset, next_offset,"
                " (SELECT min(next_offset) FROM offsets o WHERE o.topic_number = h.topic_number"
                "  AND o.partition = h.partition) FROM heads h"
            ).fetchall()
            for number, partition, first, after, consumed in heads:
                low, high = (_record_id(number, partition, offset) for offset in (first, after))
                (expired,) = db.execute(
                    "SELECT coalesce(max(id) + 1, ?) FROM"
                    " (SELECT id FROM records WHERE id >= ? AND id < ? AND appended_at_ms < ?"
                    "  ORDER BY id DESC LIMIT 1)",
                    (low, low, high, before_ms),
                ).fetchone()
                until = expired if consumed is None else low - first + consumed
                if consumed is not None and not is_full:
                    until = min(until, expired)
                if until > low:
                    cursor = db.execute(
                        "DELETE FROM records WHERE id >= ? AND id < ?", (low, until)
                    )
                    deleted += cursor.rowcount
                    db.execute(
                        "UPDATE heads SET first_offset = ?"
                        " WHERE topic_number = ? AND partition = ?",
                        (first + until - low, number, partition),
                    )
        if is_full and self._is_full():
            log.warning("%s is full: %d bytes of unread records", self._file.path, self._max_bytes)
        return deleted

    def ping(self) -> None:
        with self._file.reading() as db:
            db.execute("SELECT 1 FROM topics LIMIT 1")

    def close(self) -> None:
        self._file.close()

    def _is_full(self) -> bool:
        with self._file.reading() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            (size,) = db.execute("PRAGMA page_size").fetchone()
        return bool((pages - free) * size > self._max_bytes)

    def _topic(self, topic: str) -> tuple[int, int]:
        known = self._topics.get(topic)
        if known is None:
            with self._file.reading() as db:
                known = db.execute(
                    "SELECT number, partitions FROM topics WHERE topic = ?", (topic,)
                ).fetchone()
            if known is None:
                raise Rejected("unknown-topic", topic)
            self._topics[topic] = known
        return known

    def _partition(self, key: str, partitions: int) -> int:
        known = self._partition_of.get((key, partitions))
        if known is None:
            if len(self._partition_of) >= _KEPT_KEYS:
                self._partition_of.clear()
            known = zlib.crc32(key.encode("utf-8")) % partitions
            self._partition_of[key, partitions] = known
        return known


class _SqliteReader:
    def __init__(
        self, file: SqliteFile, consumer: str, topic: tuple[str, int], positions: dict[int, int]
    ) -> None:
        self._file = file
        self._consumer = consumer
        self._topic, self._number = topic
        self._positions = positions
        self._turn = 0
        self._seen_version = -1

    def poll(
        self, partitions: Collection[int], *, max_records: int, max_bytes: int, wait_ms: int
    ) -> list[Record]:
        waited_until = time.monotonic() + wait_ms / 1000
        while True:
            version = self._data_version()
            records = self._read_one(partitions, max_records, max_bytes)
            if records or time.monotonic() >= waited_until:
                return records
            while self._data_version() == version and time.monotonic() < waited_until:
                time.sleep(LOOK_AGAIN_S)

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        with self._file.writing() as db:
            db.executemany(
                "INSERT INTO offsets VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)",
                [(self._consumer, self._number, p, offset) for p, offset in next_offsets.items()],
            )

    def close(self) -> None:
        """The file belongs to the log; nothing to release."""

    def _data_version(self) -> int:
        with self._file.reading() as db:
            (version,) = db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _read_one(
        self, partitions: Collection[int], max_records: int, max_bytes: int
    ) -> list[Record]:
        candidates = sorted(partitions)
        for step in range(len(candidates)):
            partition = candidates[(self._turn + step) % len(candidates)]
            records = self._read(partition, max_records, max_bytes)
            if records:
                self._turn = (self._turn + step + 1) % len(candidates)
                self._positions[partition] = records[-1].offset + 1
                return records
        return []

    def _read(self, partition: int, max_records: int, max_bytes: int) -> list[Record]:
        base = _record_id(self._number, partition, 0)
        position = self._positions[partition]
        records: list[Record] = []
        size = 0
        with self._file.reading() as db:
            rows = db.execute(
                _READ,
                {
                    "first": base + position,
                    "after": base + (1 << _PARTITION_SHIFT),
                    "count": max_records,
                    "most": MAX_VALUE_BYTES,
                },
            )
            for record_id, key, value, appended_at_ms, unread_bytes in rows:
                size += len(value)
                if records and size > max_bytes:
                    break
                records.append(
                    Record(
                        self._topic,
                        partition,
                        record_id - base,
                        key.decode("utf-8", "replace"),
                        value,
                        appended_at_ms,
                        unread_bytes,
                    )
                )
        if records and records[0].offset > position:
            log.warning(
                "consumer=%s missed %s:%d:%d-%d, which retention has passed",
                self._consumer,
                self._topic,
                partition,
                position,
                records[0].offset - 1,
            )
        return records


def _record_id(number: int, partition: int, offset: int) -> int:
    return number << _TOPIC_SHIFT | partition << _PARTITION_SHIFT | offset
