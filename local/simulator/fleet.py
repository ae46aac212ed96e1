"""The fleet of a demo: gateways with real code and a serial line each, devices spread over them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.input import Input
from gateway.output import Output
from gateway.output.uplink import Uplink, UplinkUnavailable
from gateway.settings import GatewaySettings
from local.simulator.clock import SimulatedClock, SkewedClock
from local.simulator.device import Device, Reading
from local.simulator.refrigerator import Source
from local.simulator.serial_line import SerialLine
from qold.keyring import ensure_keys
from qold.ports import Contact, ContactBook, MessageLog, Registry
from qold.private_files import make_folder
from qold.provisioning import Provisioning
from qold.settings import Settings

WRONG_TOKEN = "0" * 40
STRANGER_ID = 2_000_000_000


class FaultyUplink:
    """Publishes everything `times` times, as a crash before the delete would; nothing while cut."""

    def __init__(self, uplink: Uplink) -> None:
        self._uplink = uplink
        self.times = 1
        self.is_cut = False

    def publish(self, topic: str, values: Sequence[bytes], *, key: str) -> int:
        if self.is_cut:
            raise UplinkUnavailable("cut off")
        return min(self._uplink.publish(topic, values, key=key) for _ in range(self.times))

    def close(self) -> None:
        self._uplink.close()


@dataclass(slots=True)
class GatewaySite:
    """A gateway in its shop; `impostor` publishes the same outbox under a wrong token.

    `awaited` are readings that it has acknowledged and not sent, each with why it is refused.
    """

    gateway_id: int
    line: SerialLine
    clock: SkewedClock
    input: Input
    output: Output
    impostor: Output
    uplink: FaultyUplink
    has_wrong_token: bool = False
    awaited: list[tuple[Reading, str]] = field(default_factory=list)

    def publish(self) -> bool:
        """One step of the output; True when it did something."""
        return (self.impostor if self.has_wrong_token else self.output).step()

    def next_look_ms(self) -> int | None:
        """When it tries again to send what it could not; None where nothing waits or can be sent."""
        if self.uplink.is_cut or not self.output.pending():
            return None
        return self.output.next_look_ms()

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
    contacts: ContactBook,
    clock: SimulatedClock,
    rng: random.Random,
    uplink_to: Callable[[int], Uplink],
) -> Fleet:
    """Register devices and gateways in a fresh state folder and set the gateways up in it.

    `uplink_to` connects the gateway of an id.
    """
    provisioning = Provisioning(
        registry,
        log,
        ensure_keys(settings.secrets_dir),
        clock,
        config_topic=settings.config_topic,
        random_below=rng.randrange,
    )
    sites = [_site(provisioning, settings, clock, uplink_to) for _ in range(gateways)]
    contacts.put_staff(Contact("Operations", "", "+351300000001", "en"))
    devices = []
    for number, source in enumerate(sources):
        config = {"name": source.unit, **source.bounds.as_config()}
        (new,) = provisioning.create_devices(1, active=True, config=config)
        contacts.put(new.id, _contact(source.unit, number % gateways))
        devices.append(Device(new.id, new.auth, number % gateways, source))
    return Fleet(sites, devices, provisioning)


def _site(
    provisioning: Provisioning,
    settings: Settings,
    clock: SimulatedClock,
    uplink_to: Callable[[int], Uplink],
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
        reports_topic=settings.reports_topic,
        events_topic=settings.gateway_events_topic,
    )
    make_folder(gateway.outbox_path.parent)
    own_clock = SkewedClock(clock)
    receiver = Input(gateway, own_clock)
    receiver.step()  # opens the line; what is written before that is lost
    uplink = FaultyUplink(uplink_to(new.id))
    return GatewaySite(
        new.id,
        line,
        own_clock,
        receiver,
        Output(gateway, own_clock, uplink),
        Output(replace(gateway, token=WRONG_TOKEN), own_clock, uplink),
        uplink,
    )


def _contact(unit: str, shop: int) -> Contact:
    return Contact(unit, f"Shop {shop + 1}", f"+35191{shop:07}", "pt" if shop % 2 else "en")
