"""Hostile gateway: sends poison and floods at the broker's edge with its own certificate."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from local.services.authority import Certificate
from local.services.kafka import Kafka
from local.services.kafka_access import tls
from local.services.place import Place
from local.simulator.record_batches import RawProducer, identity_of
from local.soak.attack import Attack
from local.soak.poison import Poison, poisons
from local.uplinks import equip_gateway
from qold.settings import Settings

# Seconds of a flood.
FLOOD_S = 30.0
# Rounds of a flood at most: 80 use up every budget, and what follows is only work for the topology,
# which on two busy cores needs a second for each.
MOST_ROUNDS = 100
# Reports of each kind in a round.
EMPTY_BATCHES, MALFORMED, WRONG_TOKENS, FALSE_CLAIMS = 1, 1, 2, 300
# KiB that wait in the client at most, so that the broker's pace is the flood's.
QUEUE_KB = 32 * 1024
ANSWER_S = 60.0
CONNECT_S = 120.0
LOOK_S = 0.5
# What the broker refuses is counted; the client would also write it to stderr.
_quiet = logging.getLogger(f"{__name__}.client")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class HostileGateway:
    """One gateway, registered and with rights like every other, and beside it a service on `config`.

    What it sends is noted in `attack`; the broker took `taken` records of the last attack.
    """

    def __init__(self, settings: Settings, attack: Attack, rng: random.Random) -> None:
        kafka = Kafka.of_state(settings)
        if kafka is None:
            raise LookupError(f"{settings.log_url} was not started from {settings.state_dir}")
        config = Path(settings.state_dir) / "hostile.toml"
        equip_gateway(settings, attack.gateway.id, config)
        folder = config.parent / "hostile-certificates"
        self._kafka, self._settings, self._attack, self._rng = kafka, settings, attack, rng
        chain, key = folder / "gateway.pem", folder / "gateway.key"
        self._own = Certificate(chain, key, chain, folder / "ca.pem")
        authority = Place(settings.state_dir).authority
        self._service = authority.certificate("qold", unit="services")
        self.taken = self.refused = 0
        self._answers: Counter[str] = Counter()

    def poison(self) -> str:
        """One record of each kind on each topic that gateways write, and on `config` as a service.

        Returns what the broker answered to those that it refused.
        """
        settings = self._settings
        self.taken = self.refused = 0
        self._answers.clear()
        for topic in (settings.reports_topic, settings.gateway_events_topic):
            for poison in poisons(self._rng):
                self._poison(self._own, self._kafka.edge_port, topic, poison)
            self._transaction(self._own, self._kafka.uplink_url, topic)
        for poison in poisons(self._rng, is_compacted=True):
            self._poison(self._service, self._kafka.inner_port, settings.config_topic, poison)
        self._transaction(self._service, settings.log_url, settings.config_topic)
        answers = ", ".join(f"{count} {name}" for name, count in self._answers.most_common())
        return f"{self.taken} taken, {self.refused} refused: {answers}"

    def flood(self, now_s: Callable[[], int]) -> str:
        """Reports as fast as the broker takes them; returns what was sent."""
        attack = self._attack
        attack.since_s = attack.since_s or now_s()
        sent: Counter[str] = Counter()
        began = time.monotonic()
        producer = self._producer(self._own, self._kafka.uplink_url)
        empty = attack.empty_batches()
        rounds = 0
        while rounds < MOST_ROUNDS and time.monotonic() < began + FLOOD_S:
            at_s = now_s()
            values = [empty] * EMPTY_BATCHES
            values += [attack.malformed(at_s)] * MALFORMED
            values += [attack.wrong_tokens(at_s)] * WRONG_TOKENS
            own, victim = str(attack.gateway.id), str(attack.victim.id)
            entries = [(own, value) for value in values]
            entries += [(victim, attack.false_claim(at_s))] * FALSE_CLAIMS
            for key, value in entries:
                self._produce(producer, key, value, sent)
            rounds += 1
        producer.flush(ANSWER_S)
        self.refused = sent["failed"]
        self.taken = sent["records"] - self.refused
        seconds = time.monotonic() - began
        return f"{sent['records']} reports of {sent['bytes'] / 1e6:.0f} MB in {seconds:.0f} s"

    def _produce(self, producer: Producer, key: str, value: bytes, sent: Counter[str]) -> None:
        def note(error: KafkaError | None, _: Any) -> None:
            sent["failed"] += error is not None

        while True:
            try:
                producer.produce(self._settings.reports_topic, value, key, on_delivery=note)
                break
            except BufferError:
                producer.poll(LOOK_S)
        producer.poll(0)
        sent["records"] += 1
        sent["bytes"] += len(value)

    def _poison(self, shown: Certificate, port: int, topic: str, poison: Poison) -> None:
        """Send it once, and note the refusal that must come of it if the broker takes it."""
        content = poison.make()
        partition = self._rng.randrange(self._partitions(topic))
        producer = self._connected(shown, port, topic, partition)
        try:
            answer = producer.send(topic, partition, content)
            problem = KafkaError(answer.code).name() if answer.code else ""
        except OSError:
            problem = "closed connection"
        finally:
            producer.close()
        if problem:
            self._refuse(problem)
        else:
            self._take(f"{topic}:{partition}:{answer.offset}", poison.reason)

    def _transaction(self, shown: Certificate, servers: str, topic: str) -> None:
        """One record in a transaction; its end is a control batch in the same partition."""
        offsets: list[str] = []

        def note(error: KafkaError | None, message: Any) -> None:
            if error is None:
                offsets.append(f"{topic}:{message.partition()}:{message.offset()}")

        producer = self._producer(shown, servers, {"transactional.id": f"hostile-{topic}"})
        try:
            producer.init_transactions(ANSWER_S)
            producer.begin_transaction()
            producer.produce(topic, b'"in a transaction"', "7", on_delivery=note)
            producer.commit_transaction(ANSWER_S)
        except KafkaException as exc:
            self._refuse(exc.args[0].name())
            return
        for source in offsets:
            self._take(source, "malformed")

    def _take(self, source: str, reason: str) -> None:
        self.taken += 1
        self._attack.poison[source] = reason

    def _refuse(self, problem: str) -> None:
        self.refused += 1
        self._answers[problem] += 1

    def _partitions(self, topic: str) -> int:
        return len(
            self._kafka.access.admin.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
        )

    def _connected(self, shown: Certificate, port: int, topic: str, partition: int) -> RawProducer:
        """With the broker that leads the partition, which may just be starting again."""
        give_up_at = time.monotonic() + CONNECT_S
        while True:
            try:
                found = self._kafka.access.admin.list_topics(topic, timeout=ANSWER_S)
                leader = found.brokers[found.topics[topic].partitions[partition].leader]
                return RawProducer(f"{leader.host}:{port}", identity_of(shown))
            except (OSError, KeyError, KafkaException):
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(LOOK_S)

    def _producer(
        self, shown: Certificate, url: str, more: dict[str, Any] | None = None
    ) -> Producer:
        return Producer(
            {
                **tls(shown),
                "bootstrap.servers": url.partition("://")[2],
                "compression.type": "zstd",
                "partitioner": "consistent",  # the victim's partition is the one it uses itself
                "message.max.bytes": 4 * 2**20,
                "queue.buffering.max.kbytes": QUEUE_KB,
                "linger.ms": 5,
                "logger": _quiet,
                **(more or {}),
            }
        )
