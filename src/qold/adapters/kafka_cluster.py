"""What every adapter of a Kafka cluster shares, whichever client it uses."""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from qold.ports import MessageLog, PartitionOffsets, Record, Rejected, Unavailable

ANSWER_S = 8.0
"""How long the other side has for an answer; every call of an adapter ends within 10 s."""

MAX_VALUE_BYTES = 2 * 2**20
PASSES_S, LOOK_S = ANSWER_S / 2, 0.05
"""How long a cluster may be choosing who leads, and how often it is asked meanwhile."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What a service shows to the brokers, and the authority that signed theirs."""

    ca: Path
    chain: Path
    key: Path

    @classmethod
    def of(cls, folder: Path) -> "OwnCertificate":
        """`ca.pem`, `qold.pem` and `qold.key` of a folder; raises `Unavailable`, naming what is missing."""
        files = [folder / name for name in ("ca.pem", "qold.pem", "qold.key")]
        if missing := [str(path) for path in files if not path.exists()]:
            raise Unavailable(f"no certificate to show: {', '.join(missing)} missing")
        return cls(*files)


class WaitingRecords(dict[int, list[Record]]):
    """Records that were received, by partition, until they are taken."""

    def __init__(self, partitions: Iterable[int]) -> None:
        super().__init__((partition, []) for partition in partitions)
        self._last = -1

    def take(self, asked: Sequence[int], max_records: int, max_bytes: int) -> list[Record]:
        """Of the next partition in turn that has something; `asked` are sorted."""
        behind = [p for p in asked if p > self._last]
        for partition in (*behind, *asked[: len(asked) - len(behind)]):
            waiting = self[partition]
            if waiting:
                count = size = 0
                for record in islice(waiting, max_records):
                    size += len(record.value)
                    if count and size > max_bytes:
                        break
                    count += 1
                self._last = partition
                records = waiting[:count]
                del waiting[:count]
                return records
        return []


def topic_config(*, is_compacted: bool) -> dict[str, str]:
    """How every topic of Qold is made."""
    return {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "compact" if is_compacted else "delete",
    }


def wait_until_known(log: MessageLog, topics: Collection[str]) -> None:
    """Until the brokers that answer us know of new topics, and who leads them; raises `Unavailable`."""
    give_up_at = time.monotonic() + ANSWER_S
    while not _knows(log, topics):
        if time.monotonic() > give_up_at:
            raise Unavailable(f"{', '.join(topics)}: created, but not to be seen")
        time.sleep(LOOK_S)


def _knows(log: MessageLog, topics: Collection[str]) -> bool:
    if not set(topics) <= log.topics().keys():
        return False
    try:
        for topic in topics:
            log.offsets(topic)
    except Rejected:  # another of the brokers has answered, which has not heard of it yet
        return False
    return True


def is_made_anew(position: int, ends: PartitionOffsets, *, was_gone: bool) -> bool:
    """Whether a position is of an earlier topic of the same name."""
    return was_gone or position > ends.next


def next_position(
    consumer: str, name: str, position: int, ends: PartitionOffsets, *, was_gone: bool
) -> int:
    """Where to go on in a partition where a position is no more; tells what was missed."""
    if is_made_anew(position, ends, was_gone=was_gone):
        log.warning("consumer=%s begins with %s, which was made anew", consumer, name)
        return ends.first
    if position < ends.first:
        log.warning(
            "consumer=%s missed %s:%d-%d, which retention has passed",
            consumer,
            name,
            position,
            ends.first - 1,
        )
    return max(position, ends.first)
