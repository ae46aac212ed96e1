"""Kafka: reports over TLS with the gateway's own certificate, acknowledged by every replica.

One producer is kept, and with it its connection, also when nothing could be sent: on a slow link
the next attempt goes on where this one stopped. A message that was not answered in time may be
there nevertheless, and is sent again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from gateway.output.uplink import UplinkUnavailable

ANSWER_S = 9.0
CONNECT_S = 30.0
HANDSHAKE_S = 2.0
"""So long one broker's certificate may be wrong and another one's right."""
LOOK_S = 0.2
MAX_MESSAGE_BYTES = 4 * 2**20
FILES = ("ca.pem", "gateway.pem", "gateway.key")
ENDED = (KafkaException, SystemError)
"""A client that came to its end raises between its callbacks; where one more of them follows, Python
wraps that exception into another, or loses it."""
# The second where it had one right and lost it, or has not got all of them yet.
_NO_RIGHT = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
# Alerts of TLS that say what is wrong with what we have shown; librdkafka gives their number.
_REFUSED = {
    "42": "it is not one",
    "43": "of a wrong kind",
    "44": "revoked",
    "45": "expired",
    "46": "not acceptable",
    "48": "of an unknown authority",
    "116": "none was shown",
}


class KafkaUplink:
    """`servers` is `host:port,…`; `certificates` a folder with `FILES`; connects at first use."""

    def __init__(self, servers: str, certificates: Path, *, refresh_ms: int) -> None:
        self._servers = servers
        self._certificates = certificates
        self._refresh_ms = refresh_ms
        self._producer: Any = None
        self._trouble: KafkaError | None = None
        self._last_words = _LastWords()

    def publish(self, topic: str, values: Sequence[bytes], *, key: str) -> int:
        if not values:
            return 0
        producer = self._connected()
        self._trouble = None
        unanswered = KafkaError(KafkaError._TIMED_OUT)
        outcomes: list[KafkaError | None] = [unanswered] * len(values)

        def note(index: int) -> Callable[[KafkaError | None, object], None]:
            return lambda error, message: outcomes.__setitem__(index, error)

        try:
            for index, value in enumerate(values):
                producer.produce(topic, value, key, on_delivery=note(index))
            self._wait(producer)
        except ENDED as exc:  # known before anything is sent, or the end of this client
            self.close()
            raise UplinkUnavailable(f"{self._servers}: {self._reason(topic, _end(exc))}") from exc
        except BufferError as exc:
            self.close()
            raise UplinkUnavailable(f"{self._servers}: {exc}") from exc
        durable = next((i for i, error in enumerate(outcomes) if error), len(values))
        if durable == 0:
            raise UplinkUnavailable(f"{self._servers}: {self._reason(topic, outcomes[0])}")
        return durable

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            with suppress(*ENDED):  # one that came to its end says so once more
                producer.flush(0)

    def _wait(self, producer: Any) -> None:
        """Until all is answered, nobody can be, or there is no point in it."""
        started = time.monotonic()
        while producer.flush(LOOK_S):
            waited_s = time.monotonic() - started
            if waited_s > ANSWER_S or ("SSL" in self._told() and waited_s > HANDSHAKE_S):
                producer.purge()
                producer.flush(0)
                return

    def _connected(self) -> Any:
        if self._producer is None:
            missing = [name for name in FILES if not (self._certificates / name).exists()]
            if missing:
                raise UplinkUnavailable(
                    f"{self._certificates}: {', '.join(missing)} missing;"
                    " `./qold gateway create --write` makes them"
                )
            self._last_words.said = ""
            try:
                self._producer = Producer(self._configuration())
            except KafkaException as exc:
                raise UplinkUnavailable(f"{self._certificates}: {exc.args[0].str()}") from exc
        return self._producer

    def _configuration(self) -> dict[str, Any]:
        ca, certificate, key = (str(self._certificates / name) for name in FILES)
        return {
            "bootstrap.servers": self._servers,
            "client.id": "qold-gateway",
            "security.protocol": "ssl",
            "ssl.ca.location": ca,
            "ssl.certificate.location": certificate,
            "ssl.key.location": key,
            "enable.idempotence": True,
            "partitioner": "consistent",  # as the pipeline's own writers choose
            "compression.type": "zstd",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "message.timeout.ms": round(ANSWER_S * 1000),
            "topic.metadata.propagation.max.ms": round(ANSWER_S * 1000 / 2),
            "topic.metadata.refresh.interval.ms": self._refresh_ms,
            "metadata.max.age.ms": 3 * self._refresh_ms,
            "socket.connection.setup.timeout.ms": round(CONNECT_S * 1000),
            "socket.keepalive.enable": True,
            "reconnect.backoff.max.ms": 60_000,
            "enable.metrics.push": False,
            "log_level": 0,  # what goes wrong is raised; of its end it says why
            "error_cb": self._keep,
            "logger": self._last_words,
        }

    def _keep(self, error: KafkaError) -> None:
        """librdkafka tells only here why it cannot connect; the cause is kept, not what follows."""
        if "SSL" not in self._told() or "SSL" in str(error.str()):
            self._trouble = error

    def _told(self) -> str:
        return "" if self._trouble is None else " ".join(str(self._trouble.str()).split())

    def _reason(self, topic: str, error: KafkaError | None) -> str:
        is_end = error is not None and error.code() == KafkaError._FATAL
        last_words = self._last_words.said if is_end else ""
        lacks_right = error is not None and error.code() in _NO_RIGHT
        if lacks_right or "authorization failed" in last_words:
            return f"this gateway may not write to {topic}; was it deleted or disabled?"
        text = self._told()
        if "certificate verify failed" in text:
            return f"the broker's certificate is not of {self._certificates / FILES[0]}: {text}"
        _, _, alert = text.partition("SSL alert number ")
        number = alert.split(":")[0].split(" ")[0].strip()
        if number in _REFUSED:
            return f"the broker refused our certificate ({_REFUSED[number]}): {text}"
        reasons = [text, last_words or ("" if error is None else str(error.str()))]
        return "; ".join(reason for reason in reasons if reason) or "no answer"


class _LastWords:
    """The logger of a client, which is told there why it has come to its end, when it is flushed."""

    said = ""

    def log(self, level: int, form: str, *args: object) -> None:
        self.said = (form % args).rpartition("Fatal error: ")[2]


def _end(exc: Exception) -> KafkaError:
    """What a client said that came to its end; raises what was not raised for that."""
    cause = exc.__cause__ if isinstance(exc, SystemError) else exc
    if cause is None:
        return KafkaError(KafkaError._FATAL, "the client came to its end")
    if not isinstance(cause, KafkaException):
        raise exc
    error: KafkaError = cause.args[0]
    return error
