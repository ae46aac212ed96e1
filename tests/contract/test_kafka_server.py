"""The broker that `./qold up` starts: its topics, its rights, what stays of it."""

from pathlib import Path

import pytest

from gateway.output.uplink import uplink_for
from gateway.settings import GatewaySettings
from local.services.kafka import ChangedBrokers, Kafka
from local.services.place import Place
from local.uplinks import ForeignLog, equip_gateway
from qold.clock import SystemClock
from qold.settings import Settings
from tests.support.commands import qold
from tests.support.servers import Servers


def topic_settings(kafka: Kafka, topic: str) -> dict[str, str]:
    return kafka.access.topic_settings(topic)


def test_it_has_the_topics_of_the_pipeline(kafka: Kafka, servers: Servers) -> None:
    settings = Settings.load(servers.place.state)
    assert settings.topics().items() <= kafka.access.topics().items()
    reports = topic_settings(kafka, settings.reports_topic)
    assert reports["message.timestamp.type"] == "LogAppendTime"
    assert reports["cleanup.policy"] == "delete"
    assert topic_settings(kafka, settings.config_topic)["cleanup.policy"] == "compact"


def test_it_may_be_settled_again(kafka: Kafka) -> None:
    """As `./qold up` does at every start."""
    before = kafka.access.topics()
    kafka.settle()
    assert kafka.access.topics() == before
    assert kafka.is_ready()


def test_rights_are_given_and_taken(kafka: Kafka) -> None:
    kafka.access.allow("gateway-900", ["reports", "gateway.events"])
    kafka.access.allow("gateway-900", ["reports", "gateway.events"])
    assert len(kafka.access.allowed("gateway-900")) == 4
    assert kafka.access.allowed("gateway-90") == []
    kafka.access.forbid("gateway-900")
    assert kafka.access.allowed("gateway-900") == []


def test_no_key_and_no_setting_is_for_others_to_read(kafka: Kafka, servers: Servers) -> None:
    secret = [*servers.place.secrets.rglob("*"), servers.place.folder("kafka")]
    assert {path: path.stat().st_mode & 0o077 for path in secret} == dict.fromkeys(secret, 0)


@pytest.mark.parametrize("changed", [{"of": 3}, {"thesis": True}])
def test_another_shape_needs_another_folder(kafka: Kafka, servers: Servers, changed: dict) -> None:
    with pytest.raises(ChangedBrokers, match="--state"):
        Kafka(servers.place, **changed).prepare(lambda text: None)


def test_several_brokers_share_their_ports_on_addresses_of_their_own(tmp_path) -> None:
    """So one name with three addresses reaches them all."""
    brokers = Kafka.cluster(Place(tmp_path), 3)
    hosts = [broker.host for broker in brokers]
    assert len(set(hosts)) == 3
    assert {broker.inner_port for broker in brokers} == {brokers[0].inner_port}
    assert brokers[2].log_url == "kafka://" + ",".join(
        f"{h}:{brokers[0].inner_port}" for h in hosts
    )


def test_a_gateway_is_given_what_it_needs(kafka: Kafka, servers: Servers, tmp_path: Path) -> None:
    """The settings, certificates and rights that `./qold gateway create --write` leaves."""
    environ = {
        "QOLD_LOG_URL": kafka.log_url,
        "QOLD_REGISTRY_URL": f"sqlite://{tmp_path}/registry.db",
        "QOLD_RAW_URL": f"sqlite://{tmp_path}/raw.db",
        "QOLD_READINGS_URL": f"sqlite://{tmp_path}/readings.db",
    }
    path = tmp_path / "shop" / "gateway.toml"
    words = ("gateway", "create", "--write", path, "--state", servers.place.state)
    qold(*words, **environ)
    settings = GatewaySettings.load(path)
    assert settings.uplink_url == kafka.uplink_url
    assert settings.uplink_certificates is not None
    files = [path, *settings.uplink_certificates.iterdir()]
    assert len(files) == 4
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
    uplink = uplink_for(
        settings.uplink_url, SystemClock(), certificates=settings.uplink_certificates
    )
    for topic in (settings.reports_topic, settings.events_topic):
        assert uplink.publish(topic, [b"{}"], key=str(settings.gateway_id)) == 1
    uplink.close()


def test_a_log_that_runs_elsewhere_gives_no_certificates(tmp_path: Path) -> None:
    settings = Settings.load(tmp_path, {"QOLD_LOG_URL": "kafka://broker.example:9092"})
    with pytest.raises(ForeignLog, match=r"broker\.example"):
        equip_gateway(settings, 1, tmp_path / "gateway.toml")
