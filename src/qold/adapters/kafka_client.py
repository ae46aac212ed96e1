"""What the clients of one Kafka cluster share: where it is, who we are, what went wrong."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from qold.adapters.kafka_cluster import ANSWER_S, LOOK_S, PASSES_S, OwnCertificate
from qold.ports import PortError, Rejected, Unavailable

ENDED = (KafkaException, SystemError)
"""What a client raises that came to its end, for example because it lost a right. It raises between
its callbacks, without telling `error_cb`: where one more of them follows, Python wraps that exception
into another, or loses it (`SystemError: … returned NULL without setting an exception`)."""

_REJECTED = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "unknown-topic",
    KafkaError._UNKNOWN_TOPIC: "unknown-topic",
    KafkaError.TOPIC_EXCEPTION: "unknown-topic",
    KafkaError.MSG_SIZE_TOO_LARGE: "too-large",
}
_TELLING = {KafkaError._SSL, KafkaError._AUTHENTICATION, KafkaError._RESOLVE}

_AWAY = {KafkaError._ALL_BROKERS_DOWN, KafkaError.TOPIC_AUTHORIZATION_FAILED, *_TELLING}
_PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # made a moment ago
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cluster:
    """`host:port,…` and the folder with `ca.pem`, `qold.pem` and `qold.key`; None is plaintext."""

    servers: str
    certificates: Path | None

    def configuration(self, **more: Any) -> dict[str, Any]:
        """For any client of librdkafka; `more` is laid over it. Raises `Unavailable`."""
        common = {
            "bootstrap.servers": self.servers,
            "client.id": "qold",
            "socket.timeout.ms": round(ANSWER_S * 1000),
            "socket.connection.setup.timeout.ms": round(ANSWER_S * 1000),
            "reconnect.backoff.max.ms": 2000,
            "socket.keepalive.enable": True,
            "log_level": 0,  # what goes wrong is raised, in words, by `Trouble`
        }
        return {**common, **self._tls(), **more}

    def _tls(self) -> dict[str, str]:
        if self.certificates is None:
            return {}
        own = OwnCertificate.of(self.certificates)
        return {
            "security.protocol": "ssl",
            "ssl.ca.location": str(own.ca),
            "ssl.certificate.location": str(own.chain),
            "ssl.key.location": str(own.key),
        }


class Trouble:
    """What librdkafka tells only in its `error_cb`: why no broker can be reached.

    As the `logger` of a client with `log_level` 0, also why that has come to its end; what was logged
    is handed over when the client is polled or flushed.
    """

    def __init__(self) -> None:
        self._error: KafkaError | None = None
        self.last_words = ""

    def log(self, level: int, form: str, *args: object) -> None:
        """As that of a logger."""
        self.last_words = (form % args).rpartition("Fatal error: ")[2]

    def __call__(self, error: KafkaError) -> None:
        """Keep it; a reason of TLS or of names is not overlaid by what follows from it."""
        if self._error is None or error.code() in _TELLING or self._error.code() not in _TELLING:
            self._error = error

    @property
    def is_away(self) -> bool:
        """Whether no broker can be reached, as far as was told."""
        return self._error is not None and self._error.code() in _AWAY

    def take(self) -> str:
        """The reason since the last time, or nothing."""
        error, self._error = self._error, None
        return "" if error is None else str(error.str())

    def explained(self, error: KafkaError, what: str) -> PortError:
        """`Rejected` for what can never work, `Unavailable` otherwise, with the reason."""
        if error.code() in _REJECTED:
            return Rejected(_REJECTED[error.code()], what)
        is_end = error.code() == KafkaError._FATAL
        told = (is_end and self.last_words) or str(error.str())
        reasons = dict.fromkeys(text for text in (told, self.take()) if text)
        return Unavailable(f"{what}: {'; '.join(reasons)}")


def end_of(exc: Exception) -> KafkaError:
    """What a client said that came to its end; raises what was not raised for that."""
    cause = exc.__cause__ if isinstance(exc, SystemError) else exc
    if cause is None:
        return KafkaError(KafkaError._FATAL, "the client came to its end")
    if not isinstance(cause, KafkaException):
        raise exc
    error: KafkaError = cause.args[0]
    return error


def settled(ask: Callable[[], T]) -> T:
    """Ask again while a cluster that answers is still choosing who leads; raises KafkaException."""
    give_up_at = time.monotonic() + PASSES_S
    while True:
        try:
            return ask()
        except KafkaException as exc:
            if exc.args[0].code() not in _PASSING or time.monotonic() > give_up_at:
                raise
        time.sleep(LOOK_S)


@contextmanager
def answered(trouble: Trouble, what: str) -> Iterator[None]:
    """Errors of the client as errors of the port."""
    try:
        yield
    except KafkaException as exc:
        raise trouble.explained(exc.args[0], what) from exc
    except TimeoutError as exc:
        raise Unavailable(f"{what}: no answer; {trouble.take()}") from exc
