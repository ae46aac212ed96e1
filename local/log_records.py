"""What lies on a topic: everything, or the end of it."""

from collections import Counter
from collections.abc import Collection, Iterator

from qold.ports import LogReader, MessageLog, Record, Start

AT_ONCE = {"max_records": 5000, "max_bytes": 2**24, "wait_ms": 0}


def records_of(
    log: MessageLog, topic: str, *, consumer: str, start: Start = "earliest"
) -> Iterator[Record]:
    """Every record from `start` on, in order within its partition; nothing is committed for `consumer`."""
    partitions = range(log.partition_count(topic))
    reader = log.reader(consumer, topic, partitions, start=start)
    yield from _to_the_end(reader, partitions)
    reader.close()


def last_records(
    log: MessageLog, topic: str, count: int, *, consumer: str
) -> tuple[list[Record], LogReader]:
    """The last records of each partition, at least `count` where there are, and a reader behind them."""
    partitions = range(log.partition_count(topic))
    reach = count
    while True:
        ends = log.offsets(topic)
        start = {p: max(ends[p].first, ends[p].next - reach) for p in partitions}
        reader = log.reader(consumer, topic, partitions, start=start)
        found = list(_to_the_end(reader, partitions))
        kept = Counter(record.partition for record in found)
        if all(kept[p] >= count or start[p] == ends[p].first for p in partitions):
            return found, reader
        reader.close()
        reach *= 4  # a compacted topic has gaps


def _to_the_end(reader: LogReader, partitions: Collection[int]) -> Iterator[Record]:
    while records := reader.poll(partitions, **AT_ONCE):
        yield from records
