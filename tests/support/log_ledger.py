"""Writers and readers of a log that may be away, and what must be true of it afterwards."""

import threading
from collections.abc import Iterable, Mapping

from qold.ports import LogReader, MessageLog, Record, Unavailable

KEYS = 20
PARTITIONS = 4


class Writer(threading.Thread):
    """Appends one batch after the other, each until it is told; `told` counts them."""

    def __init__(self, log: MessageLog, topic: str) -> None:
        super().__init__(daemon=True)
        self.told = self.failures = 0
        self.is_over = threading.Event()
        self._log, self._topic = log, topic

    def run(self) -> None:
        while not self.is_over.is_set():
            try:
                self._log.append(self._topic, batch(self.told))
                self.told += 1
            except Unavailable:
                self.failures += 1


def batch(number: int) -> list[tuple[str, bytes]]:
    return [(str(index), b"%d" % number) for index in range(KEYS)]


class Reader(threading.Thread):
    """Reads and commits, as a spout does; begins again at what is committed when the log was away."""

    def __init__(self, log: MessageLog, topic: str) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, list[int]] = {str(index): [] for index in range(KEYS)}
        self.failures = 0
        self.is_over = threading.Event()
        self._log, self._topic = log, topic

    def run(self) -> None:
        while not self.is_over.is_set():
            try:
                self._read()
            except Unavailable:
                self.failures += 1

    def has_read(self, told: int) -> bool:
        """Whether every batch that was told has come."""
        return all(set(range(told)) <= set(numbers) for numbers in self.seen.values())

    def _read(self) -> None:
        reader = self._log.reader("ledger", self._topic, range(PARTITIONS))
        try:
            while not self.is_over.is_set():
                records = poll(reader, wait_ms=200)
                note(self.seen, records)
                if records:
                    reader.commit({records[-1].partition: records[-1].offset + 1})
        finally:
            reader.close()


def check(log: MessageLog, topic: str, told: int) -> None:
    """Nothing told is lost; what is there twice was sent twice; first copies are in order."""
    reader = log.reader("check", topic, range(PARTITIONS))
    seen: dict[str, list[int]] = {str(index): [] for index in range(KEYS)}
    while records := poll(reader, wait_ms=0):
        note(seen, records)
    reader.close()
    check_order(seen, told)


def check_order(seen: Mapping[str, list[int]], told: int) -> None:
    """The same of what a reader has seen."""
    for numbers in seen.values():
        assert set(range(told)) <= set(numbers) <= set(range(told + 1))
        firsts = list(dict.fromkeys(numbers))
        assert firsts == sorted(firsts)


def poll(reader: LogReader, *, wait_ms: int) -> list[Record]:
    return reader.poll(range(PARTITIONS), max_records=5000, max_bytes=2**24, wait_ms=wait_ms)


def note(seen: Mapping[str, list[int]], records: Iterable[Record]) -> None:
    for record in records:
        seen[record.key].append(int(record.value))
