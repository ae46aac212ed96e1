"""One record must not stop the others: poison in a partition, between honest records.

Each leaves one rejection with its reason, or none where it is nothing, and is left behind.
"""

import json
import shutil
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from qold.adapters.kafka_client import Cluster
from tests.support.pipeline import NOW_S, Site, make_batch, make_reading, make_report
from tests.support.poison import Poison, config_poison, event_poison, report_poison

PATIENCE_S = 60.0
TOPICS = ("reports", "gateway.events", "config")
# An append returns the offset of its record.
Append = Callable[[str, Poison], int]


def sqlite_writer(site: Site) -> Append:
    """Rows as a gateway on the same machine may write them; a log of one partition."""
    path = site.settings.state_dir + "/log.db"

    def append(topic: str, poison: Poison) -> int:
        with sqlite3.connect(path) as db:
            number, offset = db.execute(
                "SELECT number, next_offset FROM topics JOIN heads ON number = topic_number"
                " WHERE topic = ?",
                (topic,),
            ).fetchone()
            key = (poison.key or b"").decode()
            row = number << 48 | offset, key, poison.value or b"", NOW_S * 1000
            db.execute("INSERT INTO records VALUES (?, ?, ?, ?)", row)
            db.execute(
                "UPDATE heads SET next_offset = ? WHERE topic_number = ?", (offset + 1, number)
            )
        db.close()
        return int(offset)

    return append


def kafka_writer(site: Site) -> Append:
    """One batch a record, under its codec, as another client of the cluster sends it."""
    servers = site.settings.log_url.partition("://")[2]
    cluster = Cluster(servers, site.settings.secrets_dir / "certificates")
    producers: dict[tuple[str, bool], Any] = {}

    def append(topic: str, poison: Poison) -> int:
        producer = producers.get((poison.codec, poison.is_transaction))
        if producer is None:
            more = {"transactional.id": topic} if poison.is_transaction else {}
            producer = Producer(
                cluster.configuration(
                    **{
                        "compression.type": poison.codec,
                        "message.max.bytes": 2**28,
                        "linger.ms": 0,
                        **more,
                    }
                )
            )
            producers[poison.codec, poison.is_transaction] = producer
            if poison.is_transaction:
                producer.init_transactions(PATIENCE_S)
        offsets: list[int] = []

        def note(error: object, message: Any) -> None:
            assert error is None, (poison.name, error)
            offsets.append(message.offset())

        if poison.is_transaction:
            producer.begin_transaction()
        producer.produce(topic, poison.value, poison.key, 0, on_delivery=note)
        assert producer.flush(PATIENCE_S) == 0
        if poison.is_transaction:
            producer.commit_transaction(PATIENCE_S)
            del producers[poison.codec, True]
        return offsets[0]

    return append


class Poisoned:
    """A site whose authentication has run over every poison, each between honest records."""

    def __init__(self, site: Site, append: Append) -> None:
        self.site = site
        settings = site.settings
        self.topics = {
            "reports": settings.reports_topic,
            "gateway.events": settings.gateway_events_topic,
            "config": settings.config_topic,
        }
        gateway, device = (
            site.provisioning.create_gateway(),
            site.provisioning.create_devices(1, active=True)[0],
        )
        self.poison = {
            "reports": report_poison(gateway, device),
            "gateway.events": event_poison(gateway),
            "config": config_poison(),
        }
        event = {"kind": "honest", "time": NOW_S, "data": {}}
        head = {"v": 1, "gateway": {"id": gateway.id, "auth": gateway.auth}}
        change = {"v": 1, "resource": "device", "id": device.id, "time": NOW_S}
        self.honest = Counter[str]()
        self.offsets: dict[tuple[str, str], int] = {}
        site.log.reader("authentication.config_changes", settings.config_topic, [0]).commit({0: 0})
        for name, topic in self.topics.items():
            for poison in [*self.poison[name], None]:
                self.honest[name] += 1
                reading = make_reading(NOW_S, seq=self.honest[name], temp=1.0)
                values: dict[str, bytes] = {
                    "reports": make_report(gateway, make_batch(device, reading)),
                    "gateway.events": json.dumps({**head, "event": event}).encode(),
                    "config": json.dumps(change).encode(),
                }
                append(topic, Poison("honest", values[name], ""))
                if poison is not None:
                    self.offsets[name, poison.name] = append(topic, poison)
        self.topology = site.topology("authentication")
        site.run(self.topology)
        self.topology.stop()
        rejected = site.records(settings.rejected_topic) + site.records(
            f"{settings.config_topic}.dlq"
        )
        self.rejections: dict[str, list[str]] = {}
        for record in rejected:
            self.rejections.setdefault(record["source"], []).append(record["reason"])


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Poisoned:
    site = Site(tmp_path_factory.mktemp("poison"), partitions=1)
    return Poisoned(site, sqlite_writer(site))


@pytest.fixture(scope="module")
def on_kafka(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Poisoned]:
    folder = tmp_path_factory.mktemp("poison")
    shutil.copytree(Path(kafka.state) / "secrets", folder / "secrets")
    run = uuid.uuid4().hex
    names = ("reports", "gateway_events", "config", "readings", "events", "rejected")
    topics = {f"{name}_topic": f"{name}.{run}" for name in names}
    site = Site(folder, log_url=kafka.log_url, partitions=1, **topics)
    yield Poisoned(site, kafka_writer(site))
    site.log.close()


@pytest.fixture(params=["sqlite", "on_kafka"])
def poisoned(request: Any) -> Poisoned:
    found: Poisoned = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("topic", TOPICS)
def test_each_poison_leaves_one_rejection_with_its_reason(poisoned: Poisoned, topic: str) -> None:
    found = {}
    expected = {}
    for poison in poisoned.poison[topic]:
        source = f"{poisoned.topics[topic]}:0:{poisoned.offsets[topic, poison.name]}"
        found[poison.name] = poisoned.rejections.get(source, [])
        expected[poison.name] = [poison.reason] if poison.reason else []
    assert found == expected
    sources = {s for s in poisoned.rejections if s.startswith(f"{poisoned.topics[topic]}:")}
    assert len(sources) == sum(1 for reasons in expected.values() if reasons)


@pytest.mark.parametrize("topic", TOPICS)
def test_nothing_of_a_partition_waits_behind_poison(poisoned: Poisoned, topic: str) -> None:
    consumers = {
        "reports": "reports",
        "gateway.events": "gateway_events",
        "config": "config_changes",
    }
    name = poisoned.topics[topic]
    assert poisoned.site.lag(f"authentication.{consumers[topic]}", name) == 0


def test_honest_records_before_and_behind_poison_come_through(poisoned: Poisoned) -> None:
    settings = poisoned.site.settings
    readings = poisoned.site.records(settings.readings_topic)
    counted = Counter(
        record["reading"]["seq"] for record in readings if record["reading"]["temp"] == 1.0
    )
    assert counted == Counter(range(1, poisoned.honest["reports"] + 1))
    events = Counter(
        record["event"]["kind"] for record in poisoned.site.records(settings.events_topic)
    )
    assert events["honest"] == poisoned.honest["gateway.events"]
