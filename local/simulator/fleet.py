"""The fleet of a demo: gateways with real code and a serial line each, devices spread over them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.input import Input
from gateway.output import Output
from gateway.output.uplink import Uplink
from gateway.output.uplink.sqlite import SqliteUplink
from gateway.settings import GatewaySettings
from local.simulator.clock import SimulatedClock, SkewedClock
from local.simulator.device import Device
from local.simulator.refrigerator import Source
from local.simulator.serial_line import SerialLine
from qold.keyring import ensure_keys
from qold.ports import MessageLog, Registry
from qold.provisioning import Provisioning
from qold.settings import Settings

WRONG_TOKEN = "0" * 40
STRANGER_ID = 2_000_000_000


class RepeatingUplink:
    """An uplink that publishes everything `times` times, as a crash before the delete would."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.times = 1

    def publish(self, topic: str, values: Sequence[bytes], *, key: str) -> int:
        return min(self._uplink.publish(topic, values, key=key) for _ in range(self.times))

    def close(self) -> None:
        self._uplink.close()


@dataclass(slots=True)
class GatewaySite:
    """A gateway in its shop; `impostor` publishes the same outbox under a wrong token."""

    line: SerialLine
    clock: SkewedClock
    input: Input
    output: Output
    impostor: Output
    uplink: RepeatingUplink
    has_wrong_token: bool = False

    def publish(self) -> bool:
        """One step of the output; True when it did something."""
        return (self.impostor if self.has_wrong_token else self.output).step()

    def close(self) -> None:
        self.input.close()
        self.output.close()
        self.impostor.close()
        self.line.close()


@dataclass(slots=True)
class Fleet:
    """Everything that sends; `provisioning` switches devices off and on."""

    sites: list[GatewaySite]
    devices: list[Device]
    provisioning: Provisioning

    def close(self) -> None:
        for site in self.sites:
            site.close()


def build_fleet(
    sources: Sequence[Source],
    *,
    gateways: int,
    settings: Settings,
    log: MessageLog,
    registry: Registry,
    clock: SimulatedClock,
    rng: random.Random,
) -> Fleet:
    """Register devices and gateways in a fresh state folder and set the gateways up in it."""
    provisioning = Provisioning(
        registry,
        log,
        ensure_keys(settings.secrets_dir),
        clock,
        config_topic=settings.config_topic,
        random_below=rng.randrange,
    )
    sites = [_site(provisioning, settings, log, clock) for _ in range(gateways)]
    devices = []
    for number, source in enumerate(sources):
        (new,) = provisioning.create_devices(1, active=True, config={"name": source.unit})
        devices.append(Device(new.id, new.auth, number % gateways, source))
    return Fleet(sites, devices, provisioning)


def _site(
    provisioning: Provisioning, settings: Settings, log: MessageLog, clock: SimulatedClock
) -> GatewaySite:
    new = provisioning.create_gateway()
    line = SerialLine()
    gateway = GatewaySettings(
        gateway_id=new.id,
        token=new.auth,
        port=line.path,
        outbox_path=Path(settings.state_dir) / "gateways" / str(new.id) / "outbox.db",
        uplink_url=settings.log_url,
        linger_ms=0,
    )
    gateway.outbox_path.parent.mkdir(parents=True, exist_ok=True)
    own_clock = SkewedClock(clock)
    receiver = Input(gateway, own_clock)
    receiver.step()  # opens the line; what is written before that is lost
    uplink = RepeatingUplink(SqliteUplink(Path(settings.state_dir) / "log.db", clock))
    return GatewaySite(
        line,
        own_clock,
        receiver,
        Output(gateway, own_clock, uplink),
        Output(replace(gateway, token=WRONG_TOKEN), own_clock, uplink),
        uplink,
    )
