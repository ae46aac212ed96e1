"""Access lists of a Kafka cluster, as its administrator sees them."""

import time
from collections.abc import Callable, Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from local.services.authority import Certificate

ANSWER_S = 10.0
SEEN_S = 30.0
LOOK_S = 0.05
GATEWAY_MAY = (AclOperation.WRITE, AclOperation.DESCRIBE)


class Access:
    """Speaks as the owner of a certificate, or anonymously in plaintext; connects at first use."""

    def __init__(self, servers: str, certificate: Certificate | None) -> None:
        self._configuration = {
            "bootstrap.servers": servers,
            "socket.timeout.ms": round(ANSWER_S * 1000),
            "log_level": 0,  # what fails here is raised
            **({} if certificate is None else tls(certificate)),
        }
        self._client: AdminClient | None = None

    def brokers(self) -> int:
        """How many there are, 0 when none answers; raises nothing."""
        try:
            return len(self.admin.list_topics(timeout=1.0).brokers)
        except KafkaException:
            return 0

    def topics(self) -> dict[str, int]:
        """Every topic and its number of partitions."""
        found = self.admin.list_topics(timeout=ANSWER_S).topics
        return {name: len(topic.partitions) for name, topic in found.items()}

    def topic_settings(self, topic: str) -> dict[str, str]:
        """What is in force for a topic."""
        asked = [ConfigResource(ConfigResource.Type.TOPIC, topic)]
        (found,) = self.admin.describe_configs(asked).values()
        return {name: entry.value for name, entry in found.result(ANSWER_S).items()}

    def allow(
        self,
        user: str,
        topics: Iterable[str],
        operations: Iterable[AclOperation] = GATEWAY_MAY,
    ) -> None:
        """A user may do this to these topics, a gateway's share if not told; returns when it holds."""
        bindings = {
            AclBinding(
                ResourceType.TOPIC,
                topic,
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for topic in topics
            for operation in operations
        }
        for made in self.admin.create_acls(list(bindings)).values():
            made.result(ANSWER_S)
        # A message that comes before its right is refused for good.
        _wait(lambda: bindings <= set(self.allowed(user)), f"rights of {user}")

    def forbid(self, user: str) -> None:
        """Take away whatever a user may do; returns when it holds."""
        for taken in self.admin.delete_acls([_of(user)]).values():
            taken.result(ANSWER_S)
        _wait(lambda: not self.allowed(user), f"no rights of {user}")

    def remove_all(self, prefix: str) -> None:
        """Delete the topics whose names begin so, every right to them, and consumers likewise."""
        topics = [name for name in self.topics() if name.startswith(prefix)]
        if topics:
            rights = [_to(topic) for topic in topics]
            for taken in self.admin.delete_acls(rights).values():
                taken.result(ANSWER_S)
            for gone in self.admin.delete_topics(topics).values():
                gone.result(ANSWER_S)
            _wait(lambda: not set(topics) & self.topics().keys(), f"no topics {prefix}*")
        # Only now: what still commits to a topic would make its consumer again.
        found = self.admin.list_consumer_groups().result(ANSWER_S).valid
        groups = [one.group_id for one in found if one.group_id.startswith(prefix)]
        if groups:
            for left in self.admin.delete_consumer_groups(groups).values():
                left.result(ANSWER_S)

    def allowed(self, user: str) -> list[AclBinding]:
        """What a user may do."""
        return list(self.admin.describe_acls(_of(user)).result(ANSWER_S))

    @property
    def admin(self) -> AdminClient:
        if self._client is None:
            self._client = AdminClient(self._configuration)
        return self._client


def tls(certificate: Certificate) -> dict[str, str]:
    """How librdkafka is told to show a certificate."""
    return {
        "security.protocol": "ssl",
        "ssl.ca.location": str(certificate.ca),
        "ssl.certificate.location": str(certificate.chain),
        "ssl.key.location": str(certificate.key),
    }


def _wait(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + SEEN_S
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{what}: not to be seen after {SEEN_S:.0f} s")
        time.sleep(LOOK_S)


def _to(topic: str) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _of(user: str) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        f"User:{user}",
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
