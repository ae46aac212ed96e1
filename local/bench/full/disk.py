"""Bytes on disk for a reading, in each store, after everything that was put in has been flushed."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from local.bench.full.installation import Installation
from local.bench.measure import Figures
from local.measured_costs import DISK
from local.services.cassandra import ADMIN, Cassandra

FLUSH_MS, WHEN_FULL = 500, 0
LEAST_SHARE, LEAST_BYTES = 0.001, 256 * 1024
STEADY_S, PATIENCE_S = 5.0, 300.0
KEYSPACE_OF_POINTS = "kairosdb"
_POINT_TABLES = (
    "data_points",
    "row_keys",
    "row_key_time_index",
    "tag_indexed_row_keys",
    "string_index",
)


def kafka_bytes(state: Path, topic: str) -> int:
    """What the segments of a topic hold."""
    return _size(state.glob(f"services/kafka*/data/{topic}-[0-9]*/*.log"))


def cassandra_bytes(state: Path, keyspace: str) -> int:
    """What the tables of a keyspace hold on disk; the commit log is apart."""
    return _size(state.glob(f"services/cassandra/data/{keyspace}/*/*.db"))


def _size(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):  # a compaction has just put another in its place
            total += path.stat().st_size
    return total


def flush(installation: Installation, tables: Mapping[str, list[str]]) -> None:
    """Have Cassandra write what it holds in memory, and wait until next to nothing more is written."""
    _flush_every(FLUSH_MS, installation, tables)
    state, before = installation.place.state, -1
    changed_at = started_at = time.monotonic()
    while time.monotonic() < min(changed_at + STEADY_S, started_at + PATIENCE_S):
        time.sleep(FLUSH_MS / 1000)
        size = sum(cassandra_bytes(state, keyspace) for keyspace in tables)
        if abs(size - before) > max(LEAST_BYTES, LEAST_SHARE * size):  # KairosDB writes its own
            changed_at, before = time.monotonic(), size
    _flush_every(WHEN_FULL, installation, tables)  # what is measured next is not to pay for it


def _flush_every(ms: int, installation: Installation, tables: Mapping[str, list[str]]) -> None:
    place = installation.place
    with Cassandra(place).session(ADMIN, place.password("cassandra.admin")) as session:
        for keyspace, names in tables.items():
            there = {
                row.table_name
                for row in session.execute(
                    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s",
                    (keyspace,),
                )
            }
            for name in there.intersection(names):
                session.execute(
                    f"ALTER TABLE {keyspace}.{name} WITH memtable_flush_period_in_ms = {ms}"
                )


def figures(
    installation: Installation,
    *,
    workload: str,
    topics: Mapping[str, int],
    raw: tuple[str, int] | None,
    points: int,
) -> Iterator[Figures]:
    """A row for each store. `topics` and `raw` (a keyspace) are given with their readings; `points`
    is how many readings KairosDB has."""
    state = installation.place.state
    if topics:
        each = sum(kafka_bytes(state, topic) / readings for topic, readings in topics.items())
        yield _row("kafka", workload, each)
    tables = {raw[0]: ["raw"]} if raw else {}
    if points:
        tables[KEYSPACE_OF_POINTS] = [*_POINT_TABLES]
    if tables:
        flush(installation, tables)
    if raw:
        yield _row("cassandra", workload, cassandra_bytes(state, raw[0]) / raw[1])
    if points:
        yield _row("kairosdb", workload, cassandra_bytes(state, KEYSPACE_OF_POINTS) / points)


def _row(store: str, workload: str, each: float) -> Figures:
    return Figures(
        profile="full",
        bench=DISK,
        measured=store,
        workload=workload,
        unit="bytes",
        best=round(each, 2),
        median=round(each, 2),
        runs=[round(each, 2)],
    )
