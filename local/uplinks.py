"""What a new gateway is given so that it can reach this state's log."""

from pathlib import Path
from urllib.parse import quote, urlsplit

from qold import wiring
from qold.settings import Settings


class ForeignLog(RuntimeError):
    """The log runs elsewhere, so its certificates are not ours to give."""


def equip_gateway(settings: Settings, gateway_id: int, config: Path) -> str:
    """The `[uplink]` of `gateway.toml`; on Kafka also a certificate beside it, and its rights.

    Raises `ForeignLog` where this state folder did not start the log.
    """
    if urlsplit(settings.log_url).scheme == "sqlite":
        log_file = wiring.sqlite_path(settings.log_url, settings.state_dir)
        return f'url = "sqlite://{quote(log_file)}?max_mb={settings.log_max_mb}"'
    # Its client takes a second to load, which the embedded profile does not need.
    from local.services.kafka import Kafka

    kafka = Kafka.of_state(settings)
    if kafka is None:
        raise ForeignLog(f"{settings.log_url} was not started from {settings.state_dir}")
    folder = f"{config.stem}-certificates"
    kafka.write_gateway_certificates(gateway_id, config.parent / folder)
    kafka.allow_gateway(gateway_id)
    return (
        f'url = "{kafka.uplink_url}"\n'
        f'certificates = "{folder}"   # carry it to the gateway with this file\n'
        "refresh_s = 900           # how often it asks who leads; below the broker's idle limit"
    )
