"""What a consumer has committed to a Kafka cluster, read and written by hand."""

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from qold.adapters.kafka_client import Cluster, Trouble, answered, settled
from qold.adapters.kafka_cluster import ANSWER_S

# Seconds between two looks whether a commit was answered.
COMMIT_LOOK_S = 0.02


class GroupOffsets:
    """The committed offsets of one reader; its client is created with `on_commit`."""

    def __init__(self, consumer: str, topic: str, trouble: Trouble) -> None:
        self._consumer, self._topic, self._trouble = consumer, topic, trouble
        self._committed: dict[int, int] = {}
        self._answers: list[KafkaError | None] = []

    def on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Callback of the client."""
        self._answers.append(error)

    def positions(self, client: Consumer, begin: Mapping[int, int]) -> dict[int, int]:
        """Where to read: what is committed, else `begin`."""
        self._committed = committed_offsets(client, self._trouble, self._topic, begin)
        return {p: self._committed.get(p, offset) for p, offset in begin.items()}

    def forget(self, partition: int) -> None:
        """The committed offset belongs to an earlier topic of the same name."""
        self._committed.pop(partition, None)

    def commit(
        self,
        client: Consumer,
        next_offsets: Mapping[int, int],
        serve: Callable[[float], object],
    ) -> None:
        """Commit what has moved on; `serve` lets the client call back for that many seconds."""
        moved = {p: o for p, o in next_offsets.items() if o > self._committed.get(p, -1)}
        if not moved:
            return
        places = [TopicPartition(self._topic, p, offset) for p, offset in moved.items()]

        def ask() -> None:
            # Waiting for it inside the client has no limit of time.
            self._answers.clear()
            client.commit(offsets=places, asynchronous=True)
            give_up_at = time.monotonic() + ANSWER_S
            while not self._answers:
                if time.monotonic() > give_up_at:
                    raise TimeoutError
                serve(COMMIT_LOOK_S)
            if error := self._answers[-1]:
                raise KafkaException(error)

        with answered(self._trouble, self._consumer):
            settled(ask)
        self._committed.update(moved)


class CommittedOffsets:
    """What the cluster has of one consumer, asked for again and again over the same connections."""

    def __init__(self, cluster: Cluster, consumer: str) -> None:
        self._trouble = Trouble()
        self._client = Consumer(
            cluster.configuration(**{"group.id": consumer, "error_cb": self._trouble})
        )

    def of(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, where one is committed; begin anew with another one after `Unavailable`."""
        with answered(self._trouble, topic):
            self._client.poll(0)  # lets go of what error_cb was to hear since the last time
        self._trouble.take()
        return committed_offsets(self._client, self._trouble, topic, partitions)

    def close(self) -> None:
        self._client.close()


def committed_offsets(
    client: Consumer, trouble: Trouble, topic: str, partitions: Iterable[int]
) -> dict[int, int]:
    """What the cluster has of a consumer, which is the group of the client.

    An admin client could ask, too, but ends the process where a coordinator has moved (librdkafka
    2.16: it has no group of its own to tell).
    """
    places = [TopicPartition(topic, p) for p in partitions]

    def ask() -> dict[int, int]:
        found = client.committed(places, timeout=ANSWER_S)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    with answered(trouble, topic):
        return settled(ask) if places else {}
