"""Who is let in at Kafka: certificate by listener by operation, each with its refusal."""

import socket
import ssl
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)

from gateway.clock import SystemClock
from gateway.output.uplink import UplinkUnavailable, uplink_for
from local.services.authority import Authority, Certificate
from local.services.kafka import Kafka
from local.services.kafka_access import tls
from tests.support.certificates import BAD, client_certificate, client_context
from tests.support.servers import Servers

PATIENCE_S = 60.0
BAD_HERE = (*BAD, "self-signed")
PORTS = ("kafka.edge", "kafka", "kafka.controller")
TOPIC = "reports"
DENIED = "TOPIC_AUTHORIZATION_FAILED"
CLUSTER_AUTHORIZATION_FAILED = 31

# A service is nobody at the edge, a gateway nobody inside, and a gateway may only write.
NOBODY = dict.fromkeys(("produce", "consume", "create", "describe", "alter"), DENIED)
EXPECTED = {
    ("gateway", "edge"): {**NOBODY, "produce": "ok", "describe": "ok"},
    ("gateway", "inner"): NOBODY,
    ("other gateway", "edge"): NOBODY,
    ("other service", "edge"): NOBODY,
    ("other service", "inner"): NOBODY,
    ("server", "edge"): NOBODY,
    ("server", "inner"): NOBODY,
    ("our service", "edge"): NOBODY,
    ("our service", "inner"): dict.fromkeys(NOBODY, "ok"),
}
IDENTITIES = {
    "gateway": ("gateway-41", "gateways"),
    "other gateway": ("gateway-42", "gateways"),
    "other service": ("somebody", "services"),
    "our service": ("qold", "services"),
    "server": ("gateway-41", "servers"),
}


def bad_certificate(kind: str, authority: Authority, folder: Path) -> Certificate | None:
    if kind == "self-signed":
        own = Authority(folder / "own")
        return Certificate(own.ca, own.folder / "ca.key", own.ca, authority.ca)
    return client_certificate(kind, authority, folder)


@pytest.fixture
def connect(kafka: Kafka, servers: Servers, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The configuration of a client that shows a certificate at a listener."""
    kafka.access.allow("gateway-41", [TOPIC])

    def configuration(who: str, listener: str, **more: Any) -> dict[str, Any]:
        name, unit = IDENTITIES[who]
        shown = servers.place.authority.certificate(name, unit=unit, file=f"{name}.{unit}")
        port = kafka.edge_port if listener == "edge" else kafka.inner_port
        return {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0, **tls(shown), **more}

    return configuration


def produce(configuration: dict[str, Any]) -> KafkaError | None:
    told: list[KafkaError | None] = []
    producer = Producer({**configuration, "message.timeout.ms": round(PATIENCE_S * 1000)})
    producer.produce(TOPIC, b"{}", on_delivery=lambda error, message: told.append(error))
    producer.flush(PATIENCE_S)
    return told[0]


def consume(configuration: dict[str, Any]) -> KafkaError | None:
    consumer = Consumer({**configuration, "group.id": "matrix", "enable.partition.eof": True})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    (message,) = consumer.consume(1, PATIENCE_S)
    consumer.close()
    error = message.error()
    return None if error is None or error.code() == KafkaError._PARTITION_EOF else error


def create(configuration: dict[str, Any]) -> KafkaError | None:
    admin = AdminClient(configuration)
    return failure(*admin.create_topics([NewTopic(f"new.{uuid.uuid4().hex}", 1)]).values())


def describe(configuration: dict[str, Any]) -> KafkaError | None:
    found = AdminClient(configuration).list_topics(TOPIC, timeout=PATIENCE_S)
    return found.topics[TOPIC].error


def alter(configuration: dict[str, Any]) -> KafkaError | None:
    change = ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, TOPIC, incremental_configs=[change])
    admin = AdminClient(configuration)
    return failure(*admin.incremental_alter_configs([resource]).values())


def failure(future: Any) -> KafkaError | None:
    try:
        future.result(PATIENCE_S)
    except KafkaException as exc:
        return exc.args[0]
    return None


OPERATIONS = {
    function.__name__: function for function in (produce, consume, create, describe, alter)
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("who", "listener"), EXPECTED)
def test_a_certificate_opens_what_it_should(
    connect: Callable[..., dict[str, Any]], who: str, listener: str, operation: str
) -> None:
    error = OPERATIONS[operation](connect(who, listener))
    told = "ok" if error is None else error.name()
    # A consumer hears of its group and of the topic, in any order.
    assert told.replace("GROUP_", "TOPIC_") == EXPECTED[who, listener][operation]


@pytest.mark.parametrize("port_of", PORTS)
@pytest.mark.parametrize("kind", BAD_HERE)
def test_no_listener_lets_a_bad_certificate_in(
    kafka: Kafka, servers: Servers, tmp_path: Path, kind: str, port_of: str
) -> None:
    authority = servers.place.authority
    context = client_context(authority, bad_certificate(kind, authority, tmp_path))
    with (
        socket.create_connection(("127.0.0.1", servers.place.port(port_of)), timeout=60) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.recv(1)  # in TLS 1.3 the refusal follows the handshake


@pytest.mark.parametrize("port_of", PORTS)
def test_no_listener_speaks_without_tls(kafka: Kafka, servers: Servers, port_of: str) -> None:
    """Asked for its versions, as every client begins."""
    asked = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x01x"
    with socket.create_connection(("127.0.0.1", servers.place.port(port_of)), timeout=60) as plain:
        plain.sendall(len(asked).to_bytes(4) + asked)
        try:
            answer = plain.recv(64)
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or answer[0] == 0x15, "at most TLS's alert"


@pytest.mark.parametrize(
    ("name", "unit", "error"),
    [("gateway-41", "gateways", CLUSTER_AUTHORIZATION_FAILED),
     ("somebody", "services", CLUSTER_AUTHORIZATION_FAILED),
     ("redis", "servers", CLUSTER_AUTHORIZATION_FAILED), ("kafka", "brokers", 0)],
)  # fmt: skip
def test_the_controller_answers_brokers_only(
    kafka: Kafka, servers: Servers, name: str, unit: str, error: int
) -> None:
    """Asked to describe its quorum (DescribeQuorum, version 0) with a certificate of ours."""
    authority = servers.place.authority
    shown = authority.certificate(name, unit=unit, file=f"controller-{unit}-{name}")
    topic = b"\x13__cluster_metadata"
    asked = (
        (55).to_bytes(2) + b"\x00\x00" + b"\x00\x00\x00\x01" + b"\x00\x01x" + b"\x00"
        b"\x02" + topic + b"\x02" + b"\x00\x00\x00\x00" + b"\x00" + b"\x00" + b"\x00"
    )
    port = servers.place.port("kafka.controller")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        client_context(authority, shown).wrap_socket(
            plain, server_hostname="127.0.0.1"
        ) as connection,
    ):
        connection.sendall(len(asked).to_bytes(4) + asked)
        with connection.makefile("rb") as file:
            answer = file.read(int.from_bytes(file.read(4)))
    assert int.from_bytes(answer[5:7]) == error, "after correlation id and tagged fields"


@pytest.mark.parametrize("kind", BAD_HERE[1:])
def test_an_uplink_says_what_is_wrong_with_its_certificate(
    kafka: Kafka, servers: Servers, tmp_path: Path, kind: str
) -> None:
    shown = bad_certificate(kind, servers.place.authority, tmp_path)
    assert shown is not None
    folder = tmp_path / "certificates"
    replace(shown, ca=servers.place.authority.ca).carry_to(folder, "gateway")
    uplink = uplink_for(kafka.uplink_url, SystemClock(), certificates=folder)
    with pytest.raises(UplinkUnavailable, match="refused our certificate"):
        uplink.publish(TOPIC, [b"x"], key="1")
    uplink.close()


def test_an_uplink_refuses_a_broker_of_another_authority(
    kafka: Kafka, servers: Servers, tmp_path: Path
) -> None:
    kafka.write_gateway_certificates(41, tmp_path)
    (tmp_path / "ca.pem").write_bytes(Authority(tmp_path / "another").ca.read_bytes())
    uplink = uplink_for(kafka.uplink_url, SystemClock(), certificates=tmp_path)
    with pytest.raises(UplinkUnavailable, match=r"certificate is not of .*ca\.pem"):
        uplink.publish(TOPIC, [b"x"], key="1")
    uplink.close()
