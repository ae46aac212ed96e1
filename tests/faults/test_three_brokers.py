"""Three brokers killed one by one, then all, under writers and readers: RF 3, two in sync at least.

QOLD_SEED sets the order.
"""

import os
import random
import signal
from collections.abc import Iterator

import pytest

from local.services.kafka import Kafka
from qold import wiring
from qold.clock import SystemClock
from qold.settings import Settings
from tests.support.kafka_39 import Kafka39
from tests.support.log_ledger import PARTITIONS, Reader, Writer, check, check_order
from tests.support.processes import wait_until
from tests.support.servers import Servers, skip_without

SEED = int(os.environ.get("QOLD_SEED", "1"))
PATIENCE_S = 600
MORE = 10

pytestmark = pytest.mark.timeout(6 * PATIENCE_S)


@pytest.fixture
def own(tmp_path) -> Iterator[Servers]:
    """The brokers of a run share one, which has another shape."""
    servers = Servers(tmp_path / "brokers")
    yield servers
    servers.close()


@pytest.mark.parametrize("kind", [Kafka, Kafka39])
def test_three_brokers_die_one_by_one_and_then_all(own: Servers, kind: type[Kafka]) -> None:
    """By `kafka://` and, on brokers of its time, by `pykafka://`."""
    brokers = kind.cluster(own.place, 3)
    skip_without(brokers[0])
    own.use_together([brokers])
    settings = Settings.load(own.place.state, {"QOLD_LOG_URL": brokers[-1].log_url})
    log, reading_log = (wiring.message_log(settings, SystemClock()) for _ in range(2))
    log.create_topics({"ledger": PARTITIONS})
    writer, reader = Writer(log, "ledger"), Reader(reading_log, "ledger")
    writer.start()
    reader.start()
    names = [broker.name for broker in brokers]
    random.Random(SEED).shuffle(names)
    for name in names:
        go_on(writer)
        os.kill(own.pid(name), signal.SIGKILL)
        go_on(writer)  # two are enough, before anybody starts the third again
        wait_until(lambda: is_back(own, brokers), f"{name} is back", patience_s=PATIENCE_S)
    for name in names:
        os.kill(own.pid(name), signal.SIGKILL)
    failures = writer.failures
    wait_until(lambda: writer.failures > failures, "it is told", patience_s=PATIENCE_S)
    wait_until(lambda: is_back(own, brokers), "all are back", patience_s=PATIENCE_S)
    go_on(writer)
    writer.is_over.set()
    writer.join(PATIENCE_S)
    wait_until(lambda: reader.has_read(writer.told), "it is read", patience_s=PATIENCE_S)
    reader.is_over.set()
    reader.join(PATIENCE_S)
    check(log, "ledger", writer.told)
    check_order(reader.seen, writer.told)
    log.close()
    reading_log.close()


def go_on(writer: Writer) -> None:
    goal = writer.told + MORE
    wait_until(lambda: writer.told >= goal, "it appends", patience_s=PATIENCE_S)


def is_back(own: Servers, brokers: list[Kafka]) -> bool:
    own.restart_dead()
    return brokers[-1].is_ready()
