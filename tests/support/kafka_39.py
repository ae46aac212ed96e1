"""Apache Kafka 3.9, the last line that pykafka can talk to."""

from local.services.kafka import Kafka

_LOGGING = """\
log4j.rootLogger=WARN, out
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.logger.org.apache.kafka.common.network.Selector=INFO
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1} %m%n
"""


class Kafka39(Kafka):
    """One broker in a place of its own; services reach it by `pykafka://`."""

    lock = "kafka-3.9"
    scheme = "pykafka"
    logging = ("log4j.properties", "log4j.configuration", _LOGGING)
