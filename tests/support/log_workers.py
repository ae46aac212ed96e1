"""Processes that use the embedded log until they are killed: run by its path.

What they tell on stdout, a line at a time and only once it is true, is what a test may rely on.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from gateway.clock import SystemClock as GatewayClock
from gateway.output.uplink import UplinkUnavailable
from gateway.output.uplink.sqlite import SqliteUplink
from qold.adapters.log.sqlite import SqliteLog
from qold.clock import SystemClock
from qold.ports import Unavailable

TOPIC = "t"
KEYS = 50


def write(path: str, name: str) -> None:
    """Append through the log; tells the number of each append that returned."""
    log = SqliteLog(path, clock=SystemClock())
    for number, values in _appends(name):
        entries = [(str(index % KEYS), value) for index, value in enumerate(values)]
        _persist(log.append, TOPIC, entries)
        _tell(number)


def publish(path: str, name: str) -> None:
    """The same through a gateway's uplink, which has one key."""
    uplink = SqliteUplink(path, GatewayClock())
    for number, values in _appends(name):
        _persist(uplink.publish, TOPIC, values, key=name)
        _tell(number)


def read(path: str, consumer: str, most: str) -> None:
    """Read and commit; tells partition, first and next offset, `read` before the commit."""
    log = SqliteLog(path, clock=SystemClock())
    partitions = range(log.partition_count(TOPIC))
    reader = log.reader(consumer, TOPIC, partitions)
    _tell("start")
    while True:
        records = reader.poll(partitions, max_records=int(most), max_bytes=2**24, wait_ms=1000)
        if records:
            place = records[0].partition, records[0].offset, records[-1].offset + 1
            assert [r.offset for r in records] == list(range(*place[1:])), "a gap"
            _tell("read", *place)
            _persist(reader.commit, {place[0]: place[2]})
            _tell("committed", *place)


def look(path: str) -> None:
    """Tell how many records there are, and leave as a tidy process does."""
    log = SqliteLog(path, clock=SystemClock())
    _tell(sum(ends.next for ends in log.offsets(TOPIC).values()))
    log.close()


def _persist(action: Callable[..., object], *arguments: Any, **named: Any) -> None:
    """Until it is done: on a slow machine the file is busy for longer than one call waits."""
    while True:
        try:
            action(*arguments, **named)
            return
        except (Unavailable, UplinkUnavailable):
            continue


def _appends(name: str) -> Iterator[tuple[int, list[bytes]]]:
    rng = random.Random(name)
    for number in count():
        size = rng.randrange(1, 100)
        filler = b"." * rng.randrange(500)
        yield number, [f"{name} {number} {i} {size} ".encode() + filler for i in range(size)]


def _tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    {"write": write, "publish": publish, "read": read, "look": look}[role](*arguments)
