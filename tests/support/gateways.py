"""Builders for the gateway's tests: settings, frames, an embedded log, and a line to wait on."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.input import Input
from gateway.settings import GatewaySettings
from local.simulator.serial_line import SerialLine
from qold.adapters.log.sqlite import SqliteLog
from qold.wire import Ack, Frame, Item

NOW_MS = 1_795_456_000_000
NOW = NOW_MS // 1000
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PATIENCE = 2_000


def gateway_settings(folder: Path, **changes: Any) -> GatewaySettings:
    settings = GatewaySettings(
        gateway_id=1,
        token=TOKEN,
        outbox_path=folder / "outbox.db",
        uplink_url=f"sqlite://{folder}/log.db",
        linger_ms=0,
    )
    return replace(settings, **changes)


def frame(
    device_id: int = 123, sequence: int = 0, *, count: int = 1, age_s: int = 0, centi: int = 421
) -> Frame:
    items = tuple(Item(age_s + 900 * (count - 1 - i), centi + i, 88) for i in range(count))
    return Frame(device_id, 789, sequence, items)


def embedded_log(folder: Path, clock: Clock, *, partitions: int = 4) -> SqliteLog:
    log = SqliteLog(folder / "log.db", clock=clock)
    log.create_topics({"reports": partitions, "gateway.events": partitions})
    return log


def published(folder: Path) -> list[tuple[str, Any]]:
    """(topic, decoded value) of everything in the embedded log, in order per partition."""
    connection = sqlite3.connect(folder / "log.db")
    try:
        rows = connection.execute(
            "SELECT topic, value FROM records JOIN topics ON number = id >> 48 ORDER BY id"
        ).fetchall()
    finally:
        connection.close()
    return [(topic, json.loads(value)) for topic, value in rows]


def waiting(settings: GatewaySettings) -> list[tuple[int, int, Any, str]]:
    """The outbox rows (id, timestamp, decoded message, topic), as another process sees them."""
    connection = sqlite3.connect(settings.outbox_path)
    try:
        rows = connection.execute("SELECT * FROM Messages ORDER BY id").fetchall()
    finally:
        connection.close()
    return [(row_id, at, json.loads(message), topic) for row_id, at, message, topic in rows]


def step_until(
    component: Input, line: SerialLine, is_done: Callable[[], bool] = lambda: False
) -> list[Ack]:
    """Step until `is_done()` or, without it, until an ack is back; bytes on a pty take a moment."""
    acks: list[Ack] = []
    for _ in range(PATIENCE):
        acks += line.exchange()
        if acks or is_done():
            return acks
        if not component.step():
            component.wait(0.005)
    raise AssertionError("the gateway did not answer")
