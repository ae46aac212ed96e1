"""kill -9 and SIGSTOP of the broker under writes: what an append has told is there, in order.

QOLD_KILLS sets how many times (2), QOLD_SEED at which moments.
"""

import os
import random
import signal
import uuid
from collections.abc import Iterator

import pytest

from local.services.kafka import Kafka
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog
from qold.settings import Settings
from tests.support.log_ledger import PARTITIONS, Writer, check
from tests.support.processes import wait_until
from tests.support.servers import Servers

KILLS = int(os.environ.get("QOLD_KILLS", "2"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
PATIENCE_S = 240


@pytest.fixture
def kafka(servers: Servers) -> Kafka:
    return servers.use(Kafka)


@pytest.fixture
def log(kafka: Kafka, servers: Servers) -> Iterator[MessageLog]:
    settings = Settings.load(servers.place.state, {"QOLD_LOG_URL": kafka.log_url})
    log = wiring.message_log(settings, SystemClock())
    yield log
    log.close()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["kill", "stop"])
def test_what_was_told_survives_the_broker(
    kafka: Kafka, servers: Servers, log: MessageLog, fault: signal.Signals
) -> None:
    rng = random.Random(SEED)
    topic = f"ledger.{uuid.uuid4().hex}"
    log.create_topics({topic: PARTITIONS})
    writer = Writer(log, topic)
    writer.start()
    for _ in range(KILLS):
        goal = writer.told + 1 + rng.randrange(50)
        wait_until(lambda g=goal: writer.told >= g, "it appends", patience_s=PATIENCE_S)
        pid, failures = servers.pid(kafka.name), writer.failures
        os.kill(pid, fault)
        wait_until(lambda f=failures: writer.failures > f, "it is told", patience_s=PATIENCE_S)
        if fault is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: is_back(kafka, servers), "it answers", patience_s=PATIENCE_S)
    goal = writer.told + 5
    wait_until(lambda: writer.told >= goal, "it appends again", patience_s=PATIENCE_S)
    writer.is_over.set()
    writer.join(PATIENCE_S)
    check(log, topic, writer.told)


def is_back(kafka: Kafka, servers: Servers) -> bool:
    servers.restart_dead()
    return kafka.is_ready()
