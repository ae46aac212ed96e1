"""What the reader of topics that gateways write takes of memory, and where it goes on."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.services.kafka import Kafka
from local.services.place import Place
from local.simulator.record_batches import RawProducer, batch, gzip_of, identity_of, record, zstd_of
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog
from qold.settings import Settings

MIB = 2**20
# Largest resident set of a process that reads; without records it has some 45 MiB.
MOST_MIB = 120
ALL = {"max_records": 10_000, "max_bytes": 2**24, "wait_ms": 0}
READ_ALL = """
import json, re, sys
from qold import wiring
from qold.clock import SystemClock
from qold.settings import Settings
settings = Settings.load(sys.argv[1])
reader = wiring.message_log(settings, SystemClock()).reader("c", settings.reports_topic, [0])
found = []
while records := reader.poll([0], max_records=100, max_bytes=2**20, wait_ms=0):
    found += [[r.offset, len(r.value), r.unread_bytes > 0] for r in records]
# Not getrusage: its peak is that of the parent, too.
(peak_kb,) = re.findall(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print(json.dumps({"records": found, "peak_mib": int(peak_kb) // 1024}))
"""


@pytest.fixture
def environ(kafka: Kafka) -> dict[str, str]:
    return {"QOLD_LOG_URL": kafka.log_url, "QOLD_REPORTS_TOPIC": f"t.{uuid.uuid4().hex}"}


@pytest.fixture
def log(kafka: Kafka, environ: dict[str, str]) -> Iterator[MessageLog]:
    log = wiring.message_log(Settings.load(kafka.state, environ), SystemClock())
    log.create_topics({environ["QOLD_REPORTS_TOPIC"]: 1})
    yield log
    log.close()


@pytest.fixture
def producer(kafka: Kafka) -> Iterator[RawProducer]:
    """A service, which the edge does not check."""
    identity = identity_of(Place(Path(kafka.state)).authority.certificate("qold", unit="services"))
    producer = RawProducer(kafka.log_url.partition("://")[2], identity)
    yield producer
    producer.close()


def test_bombs_take_no_more_memory_than_honest_batches(
    kafka: Kafka, environ: dict[str, str], log: MessageLog, producer: RawProducer
) -> None:
    """A batch of 200 MiB; and forty of 7 MiB in one answer, each of which may be unpacked."""
    topic = environ["QOLD_REPORTS_TOPIC"]
    bomb = record(bytes(200 * MIB))
    assert producer.send(topic, 0, batch(gzip_of([bomb]), codec="gzip")).code == 0
    most = batch(
        zstd_of(record(bytes(3 * MIB)) + record(bytes(4 * MIB), delta=1)), codec="zstd", count=2
    )
    for _ in range(40):
        assert producer.send(topic, 0, most).code == 0
    read = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(kafka.state)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(read.stdout)
    assert found["records"][0] == [0, 0, True]
    assert [size for _, size, _ in found["records"][1:]] == [3 * MIB, 4 * MIB] * 40
    assert found["peak_mib"] < MOST_MIB


def test_a_position_in_the_middle_of_a_batch_is_kept(
    environ: dict[str, str], log: MessageLog, producer: RawProducer
) -> None:
    """Also where the batch cannot be unpacked: what is left of it is one record, its last."""
    topic = environ["QOLD_REPORTS_TOPIC"]
    small = b"".join(record(b"%d" % n, delta=n) for n in range(5))
    assert producer.send(topic, 0, batch(zstd_of(small), codec="zstd", count=5)).code == 0
    large = b"".join(record(bytes(3 * MIB), delta=n) for n in range(5))
    assert producer.send(topic, 0, batch(zstd_of(large), codec="zstd", count=5)).code == 0
    assert producer.send(topic, 0, batch(record(b"behind"))).code == 0
    for position, values in ((3, [b"3", b"4", b"", b"behind"]), (7, [b"", b"behind"])):
        reader = log.reader(f"c{position}", topic, [0], start={0: position})
        found = []
        while records := reader.poll([0], **ALL):
            found += records
        reader.close()
        assert [r.value for r in found] == values
        assert [r.offset for r in found][-2:] == [9, 10]
