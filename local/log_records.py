"""Everything that lies on a topic."""

from collections.abc import Iterator

from qold.ports import MessageLog, Record

AT_ONCE = {"max_records": 5000, "max_bytes": 2**24, "wait_ms": 0}


def records_of(log: MessageLog, topic: str, *, consumer: str) -> Iterator[Record]:
    """Every record, in order within its partition; nothing is committed for `consumer`."""
    partitions = range(log.partition_count(topic))
    reader = log.reader(consumer, topic, partitions)
    while records := reader.poll(partitions, **AT_ONCE):
        yield from records
    reader.close()
