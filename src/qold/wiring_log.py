"""Kafka's URLs -> adapter, for `qold.wiring`."""

from urllib.parse import urlsplit

from qold.clock import Clock, shown_by
from qold.ports import MessageLog
from qold.settings import Settings, SettingsError

SCHEMES = ("kafka", "kafka+plaintext", "pykafka", "pykafka+plaintext")


def kafka_log(url: str, settings: Settings, clock: Clock) -> MessageLog:
    """The log of `kafka://host:port,host:port`; raises `SettingsError` for anything more."""
    parts = urlsplit(url)
    client, _, transport = parts.scheme.partition("+")
    if parts.path or parts.query or "@" in parts.netloc or not _has_ports(parts.netloc):
        problem = f"log_url: {parts.scheme}:// is followed by host:port,host:port only"
        raise SettingsError([f"{problem}; certificates belong in secrets/certificates"])
    certificates = None if transport == "plaintext" else settings.secrets_dir / "certificates"
    compacted = {settings.config_topic}
    if client == "pykafka":
        from qold.adapters.log.pykafka import PykafkaLog
        from qold.adapters.pykafka_client import PykafkaCluster

        return PykafkaLog(PykafkaCluster(parts.netloc, certificates), compacted=compacted)
    from qold.adapters.kafka_client import Cluster
    from qold.adapters.log.kafka import KafkaLog

    return KafkaLog(
        Cluster(parts.netloc, certificates),
        compacted=compacted,
        bounded={settings.reports_topic, settings.gateway_events_topic, settings.config_topic},
        told_at=shown_by(clock),
    )


def _has_ports(servers: str) -> bool:
    """Whether every server has one."""
    return all(
        host and port.isascii() and port.isdecimal()
        for host, _, port in (server.rpartition(":") for server in servers.split(","))
    )
