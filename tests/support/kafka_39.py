"""Apache Kafka 3.9, the last line that pykafka can talk to."""

from pathlib import Path

from local.services.kafka import Kafka

LOGGING = Path(__file__).with_name("kafka_39.log4j.properties")


class Kafka39(Kafka):
    """One broker in a place of its own; services reach it by `pykafka://`."""

    lock = "kafka-3.9"
    scheme = "pykafka"
    own_jar = None  # its classes have other names
    logging = ("log4j.configuration", LOGGING)
