"""What a gateway sends and receives in a month over its connection to Kafka (source T3.10).

Counted by the kernel for each connection: what went through it, TLS included, and its packets, each
with 52 bytes of IP and TCP headers.
"""

import os
import secrets
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gateway.output.uplink import uplink_for
from local.bench.drive import read_all
from local.bench.full.installation import Installation
from local.bench.measure import Figures, Tell, differences
from local.bench.workload import DEVICES_PER_GATEWAY, Workload, reports
from local.capacity import REFRESH_S, month_bytes
from local.services.kafka import Kafka
from qold.clock import SystemClock
from qold.provisioning import GATEWAY_TOKEN_BYTES, MAX_DEVICE_TOKEN, NewDevice, NewGateway

REPORTS = 40
REFRESHES, OFTEN_MS = 6, 5_000
"""How often the gateway asks who leads its partitions while it is watched: sooner than in service."""

GATEWAY_ID = 1
MOST_BYTES = 50e6
HEADERS = 52
_TCP_INFO_BYTES = 232
_COUNTS = struct.Struct("@120xQQII")
"""Of the kernel's `tcp_info`: bytes acknowledged, bytes received, segments out, segments in."""


def measure(installation: Installation, workload: Workload, tell: Tell) -> Iterator[Figures]:
    """Bytes of a connection, of a report of fifteen devices, and of a month with both."""
    tell(f"uplink: {REPORTS} reports of {DEVICES_PER_GATEWAY} devices")
    few = replace(
        workload, devices=DEVICES_PER_GATEWAY, readings=REPORTS, parts=REPORTS, first_id=1
    )
    settings = installation.stage(f"{workload.name}-uplink").settings
    topic = settings.reports_topic
    devices = [
        NewDevice(device_id, 1 + secrets.randbelow(MAX_DEVICE_TOKEN), state=True)
        for device_id in few.device_ids
    ]
    gateway = NewGateway(GATEWAY_ID, secrets.token_hex(GATEWAY_TOKEN_BYTES))
    values = [
        value for part in range(REPORTS) for _, value in reports(few, devices, [gateway], part)
    ]
    kafka = Kafka(installation.place)
    kafka.access.allow(f"gateway-{GATEWAY_ID}", [topic])
    port = urlsplit(kafka.uplink_url).port or 0
    with tempfile.TemporaryDirectory(prefix="qold-bench-") as folder:
        kafka.write_gateway_certificates(GATEWAY_ID, Path(folder))
        uplink = uplink_for(
            kafka.uplink_url, SystemClock(), certificates=Path(folder), refresh_ms=OFTEN_MS
        )
        uplink.publish(topic, values[:1], key=str(GATEWAY_ID))
        connected = traffic(port)
        for value in values[1:]:
            uplink.publish(topic, [value], key=str(GATEWAY_ID))
        sent = traffic(port)
        tell("uplink: watching a connection that has nothing to send")
        time.sleep(REFRESHES * OFTEN_MS / 1000)
        held = traffic(port)
        uplink.close()
    problems = differences(values, read_all(settings, topic), things="reports")
    report = (sent - connected) / (len(values) - 1)
    refresh = (held - sent) / REFRESHES
    month = month_bytes(connect=connected - report, report=report, refresh=refresh)
    for measured, found in (
        ("a connection", connected - report),
        ("a report of 15 readings", report),
        (f"a look every {REFRESH_S // 60:g} min who leads", refresh),
        ("a month, 15 devices every 15 min", month),
    ):
        is_month = found == month
        clean = not problems
        yield Figures(
            profile="full",
            bench="uplink",
            measured=measured,
            workload=workload.name,
            unit="bytes",
            target=MOST_BYTES if is_month else None,
            met=(clean and found <= MOST_BYTES) if is_month else None,
            clean=clean,
            ledger="; ".join(problems) or "clean",
            problems=list(problems),
            best=round(found, 1) if clean else None,
            median=round(found, 1) if clean else None,
        )


def traffic(port: int) -> int:
    """Bytes to and fro on this process's connections to a port, with their headers."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as it:
                is_tcp = it.family in (socket.AF_INET, socket.AF_INET6)
                if not is_tcp or it.getpeername()[1] != port:
                    continue
                info = it.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            acknowledged, received, out, came = _COUNTS.unpack_from(info)
            total += acknowledged + received + HEADERS * (out + came)
    return total
