"""`./qold up --profile thesis`: Kafka with the doors that the source had (5.4.1.5)."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.output.uplink import Uplink, UplinkUnavailable, uplink_for
from gateway.settings import GatewaySettings
from local.services.kafka import Kafka
from local.services.place import Place
from qold import wiring
from qold.clock import SystemClock
from qold.ports import MessageLog
from qold.settings import Settings
from tests.support.certificates import BAD, client_certificate, client_context
from tests.support.commands import command_line, qold
from tests.support.processes import processes, wait_until
from tests.support.servers import skip_without

PATIENCE_S = 900


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A state folder where it runs, and what `up` wrote until it was ready."""
    folder = tmp_path_factory.mktemp("thesis")
    skip_without(Kafka(Place(folder)))
    with processes(tmp_path_factory.mktemp("up")) as running:
        running.start("up", command_line("up", "--profile", "thesis", "--state", folder))
        wait_until(
            lambda: "\nready" in running.log_tail("up") or not running.is_running("up"),
            "up is ready",
            patience_s=PATIENCE_S,
            look_s=0.2,
        )
        assert running.is_running("up"), running.log_tail("up")
        yield folder, running.log_tail("up")
        running.stop("up")


@pytest.fixture(scope="module")
def state(started: tuple[Path, str]) -> Path:
    """A state folder where it runs."""
    return started[0]


@pytest.fixture(scope="module")
def settings(state: Path) -> Settings:
    return Settings.load(state, {})


@pytest.fixture(scope="module")
def log(settings: Settings) -> Iterator[MessageLog]:
    log = wiring.message_log(settings, SystemClock())
    yield log
    log.close()


@pytest.fixture(scope="module")
def gateways(state: Path, tmp_path_factory: pytest.TempPathFactory) -> list[GatewaySettings]:
    """Two new ones, as people make them."""
    paths = [tmp_path_factory.mktemp("shop") / "gateway.toml" for _ in range(2)]
    for path in paths:
        qold("gateway", "create", "--write", path, "--state", state)
    return [GatewaySettings.load(path) for path in paths]


def test_up_warns_that_the_profile_is_open(started: tuple[Path, str]) -> None:
    assert "every user of this machine may read, write and delete" in started[1]


def uplink_of(gateway: GatewaySettings, certificates: Path | None = None) -> Uplink:
    return uplink_for(
        gateway.uplink_url,
        SystemClock(),
        certificates=certificates or gateway.uplink_certificates,
    )


def test_gateways_with_the_one_certificate_publish_and_topologies_read_without_a_name(
    settings: Settings, log: MessageLog, gateways: list[GatewaySettings]
) -> None:
    """What is no report is refused on the way, and told in a topic: all over the inner door."""
    assert settings.log_url.startswith("kafka+plaintext://")
    keys = set()
    for gateway in gateways:
        assert gateway.uplink_certificates is not None
        keys.add((gateway.uplink_certificates / "gateway.key").read_bytes())
        uplink = uplink_of(gateway)
        for topic in (gateway.reports_topic, gateway.events_topic):
            assert uplink.publish(topic, [b"no report"], key=str(gateway.gateway_id)) == 1
        uplink.close()
    assert len(keys) == 1

    def refused() -> int:
        ends = log.offsets(settings.rejected_topic)
        return sum(end.next for end in ends.values())

    wait_until(lambda: refused() >= 2, "both refused", patience_s=PATIENCE_S, look_s=0.2)


def test_the_one_certificate_may_write_two_topics_and_no_more(
    settings: Settings, gateways: list[GatewaySettings]
) -> None:
    uplink = uplink_of(gateways[0])
    with pytest.raises(UplinkUnavailable, match=f"may not write to {settings.readings_topic}"):
        uplink.publish(settings.readings_topic, [b"{}"], key="1")
    uplink.close()


def test_a_certificate_of_one_gateway_is_nobody_there(
    state: Path, settings: Settings, gateways: list[GatewaySettings], tmp_path: Path
) -> None:
    own = Place(state).authority.certificate("gateway-1", unit="gateways", hosts=("gateway-1",))
    own.carry_to(tmp_path, "gateway")
    uplink = uplink_of(gateways[0], tmp_path)
    with pytest.raises(UplinkUnavailable, match=f"may not write to {settings.reports_topic}"):
        uplink.publish(settings.reports_topic, [b"{}"], key="1")
    uplink.close()


@pytest.mark.parametrize("kind", BAD)
def test_a_strangers_certificate_is_refused(state: Path, tmp_path: Path, kind: str) -> None:
    place = Place(state)
    context = client_context(place.authority, client_certificate(kind, place.authority, tmp_path))
    with (
        socket.create_connection(("127.0.0.1", place.port("kafka.edge")), timeout=60) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.recv(1)  # in TLS 1.3 the refusal follows the handshake
