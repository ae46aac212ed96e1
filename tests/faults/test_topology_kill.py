"""kill -9 of the topologies' processes while reports flow: all is stored, nothing twice.

QOLD_KILLS sets how many moments are tried per topology (3; a long run takes 100), QOLD_SEED which.
"""

import json
import logging
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.administration import open_provisioning
from local.topologies import consumed_topics
from qold import wiring
from qold.clock import SystemClock
from qold.provisioning import NewDevice, NewGateway
from qold.settings import Settings
from tests.support.commands import command_line
from tests.support.pipeline import make_batch, make_reading, make_report
from tests.support.processes import LOOK_S, Processes, processes, wait_until

KILLS = int(os.environ.get("QOLD_KILLS", "3"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
TOPOLOGIES = ("authentication", "raw", "datapoints")
DEVICES, INACTIVE, UNKNOWN_ID = 40, 3, 1_000_000
START_S = 1_600_000_000
MOST_WAITING = 10_000
PATIENCE_S = 300
# Windows that close often, and offsets behind what is stored: more moments at which to be killed.
SETTINGS = "window_ms = 500\ncommit_interval_ms = 300\npoll_records = 200\n"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ledger:
    """What must be stored, and what must be refused: (reason, device, time)."""

    reports: int = 0
    raw: set[tuple[int, int, int, float | None, int | None]] = field(default_factory=set)
    refused: set[tuple[str, int, int]] = field(default_factory=set)


class Writer:
    """Gateways: seeded reports, some readings of which must be refused, some reports twice."""

    def __init__(
        self, rng: random.Random, devices: list[NewDevice], gateways: list[NewGateway]
    ) -> None:
        self.ledger = Ledger()
        self._rng = rng
        self._devices = devices
        self._gateways = gateways
        self._time_s = START_S

    def reports(self) -> list[tuple[str, bytes]]:
        """A few log entries; the ledger knows what must become of them."""
        rng = self._rng
        entries = []
        for _ in range(rng.randrange(1, 6)):
            gateway = rng.choice(self._gateways)
            has_wrong_token = rng.random() < 0.02
            reason = "bad-gateway-token" if has_wrong_token else ""
            batches = [self._batch(reason) for _ in range(rng.randrange(1, 5))]
            value = make_report(gateway, *batches, token="0" * 40 if has_wrong_token else None)
            entries += [(str(gateway.id), value)] * (1 if rng.random() < 0.95 else 2)
        self.ledger.reports += len(entries)
        return entries

    def _batch(self, reason: str) -> dict[str, Any]:
        device, roll = self._rng.choice(self._devices), self._rng.random()
        token = None
        if roll < 0.02:
            token, reason = device.auth + 1, "bad-device-token"
        elif roll < 0.04:
            device, reason = NewDevice(UNKNOWN_ID, 789, state=True), "unknown-device"
        elif not device.state:
            reason = "inactive"
        readings = [self._reading(device.id, reason) for _ in range(self._rng.randrange(1, 7))]
        return make_batch(device, *readings, token=token)

    def _reading(self, device_id: int, reason: str) -> dict[str, Any]:
        rng = self._rng
        self._time_s += 1
        roll = rng.random()
        time_s = self._time_s - START_S if roll < 0.01 else self._time_s
        temp = None if rng.random() < 0.02 else rng.randrange(-3000, 3000) / 100
        batt = None if rng.random() < 0.02 else rng.randrange(101)
        reading = make_reading(time_s, temp, batt, seq=self._time_s & 0xFFFF)
        if 0.01 <= roll < 0.02:
            reading["temp"] = "warm"
            self.ledger.refused.add(("malformed", device_id, time_s))
        elif reason or time_s < START_S:
            self.ledger.refused.add((reason or "bad-time", device_id, time_s))
        else:
            self.ledger.raw.add((device_id, time_s, reading["seq"], temp, batt))
        return reading


class Installation:
    """A state folder, the processes that `up` would run in it, and a writer."""

    def __init__(self, state: Path, running: Processes) -> None:
        state.mkdir()
        (state / "qold.toml").write_text(SETTINGS, "utf-8")
        self.state = state
        self.settings = Settings.load(state, {})
        self.rng = random.Random(SEED)
        self._running = running
        provisioning = open_provisioning(self.settings)
        devices = [
            *provisioning.create_devices(DEVICES, active=True),
            *provisioning.create_devices(INACTIVE, active=False),
        ]
        gateways = [provisioning.create_gateway() for _ in range(6)]
        self.writer = Writer(self.rng, devices, gateways)
        self.log = wiring.message_log(self.settings, SystemClock())
        self._consumed = {name: consumed_topics(self.settings, name) for name in TOPOLOGIES}

    def start(self, name: str) -> None:
        self._running.start(name, command_line("run", name, "--state", self.state))

    def kill(self, name: str) -> None:
        assert self._running.is_running(name), self._running.log_tail(name)
        assert self._running.stop(name, signal.SIGKILL) == -signal.SIGKILL

    def stop(self, name: str) -> int:
        return self._running.stop(name)

    def flow(self, is_over: Callable[[], bool]) -> None:
        """Write reports until `is_over()`, never far ahead of the slowest topology."""
        limit_s = time.monotonic() + PATIENCE_S
        while not is_over():
            assert time.monotonic() < limit_s, "the topologies do not keep up"
            if max(self.lag(name) for name in TOPOLOGIES) < MOST_WAITING:
                self.log.append(self.settings.reports_topic, self.writer.reports())
            else:
                time.sleep(LOOK_S)

    def lag(self, name: str) -> int:
        return sum(
            end.next - self.log.committed(consumer, topic).get(partition, 0)
            for consumer, topic in self._consumed[name].items()
            for partition, end in self.log.offsets(topic).items()
        )

    def progress(self, name: str) -> int:
        """Records that the topology has committed."""
        return sum(
            offset
            for consumer, topic in self._consumed[name].items()
            for offset in self.log.committed(consumer, topic).values()
        )

    def is_drained(self) -> bool:
        # In order of flow: what authentication has committed is in the others' lag.
        return all(self.lag(name) == 0 for name in TOPOLOGIES)

    def rows(self, store: str, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.state / f"{store}.db")
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def records(self, topic: str) -> list[Any]:
        partitions = range(self.log.partition_count(topic))
        reader = self.log.reader("test", topic, partitions)
        found: list[Any] = []
        while records := reader.poll(partitions, max_records=5000, max_bytes=2**24, wait_ms=0):
            found += [json.loads(record.value) for record in records]
        return found


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with processes(tmp_path) as running:
        installation = Installation(tmp_path / "state", running)
        yield installation
        installation.log.close()


@pytest.mark.timeout(600 + 10 * KILLS)
@pytest.mark.parametrize("victims", [*((name,) for name in TOPOLOGIES), TOPOLOGIES], ids="-".join)
def test_kill_9_loses_nothing_and_stores_nothing_twice(
    installation: Installation, victims: tuple[str, ...]
) -> None:
    """Killed while it starts or while it works, started again; then everything drains."""
    rng, writer = installation.rng, installation.writer
    for name in TOPOLOGIES:
        installation.start(name)
    for number in range(KILLS):
        if number % 4 != 3:  # every fourth dies while it starts
            before = {name: installation.progress(name) for name in victims}
            installation.flow(
                lambda before=before: all(installation.progress(n) > before[n] for n in victims)
            )
        goal = writer.ledger.reports + rng.randrange(400)
        installation.flow(lambda goal=goal: writer.ledger.reports >= goal)
        for name in victims:
            installation.kill(name)
        for name in victims:
            installation.start(name)
    wait_until(installation.is_drained, "everything is committed")
    for name in TOPOLOGIES:
        assert installation.stop(name) == 0
    replayed = check(installation)
    log.info(
        "killed %s %d times over %d reports: %d readings stored once, %d refused, %d appended again",
        ", ".join(victims),
        KILLS,
        writer.ledger.reports,
        len(writer.ledger.raw),
        len(writer.ledger.refused),
        replayed,
    )


def check(installation: Installation) -> int:
    """Compare stores and log with the ledger; returns how many readings the log holds again."""
    ledger = installation.writer.ledger
    stored = Counter(
        (device_id, at_ms // 1000, reading["seq"], reading["temp"], reading["batt"])
        for device_id, at_ms, message in installation.rows(
            "raw", "SELECT device_id, measured_at_ms, message FROM raw"
        )
        for reading in [json.loads(message)["reading"]]
    )
    assert set(stored) == ledger.raw
    assert max(stored.values()) == 1
    for metric, column in (("Temperature", 3), ("Battery", 4)):
        points = installation.rows("readings", f"SELECT * FROM {metric}")  # noqa: S608  # a literal
        truth = {
            (row[0], row[1] * 1000, row[column]) for row in ledger.raw if row[column] is not None
        }
        assert set(points) == truth
        assert len(points) == len(truth)
    refused = {refusal(record) for record in installation.records("reports.rejected")}
    assert refused == ledger.refused
    assert installation.records("readings.dlq") == []
    return len(installation.records("readings")) - len(stored)


def refusal(record: dict[str, Any]) -> tuple[str, int, int]:
    message = record["message"]
    return record["reason"], message["device"]["id"], message["reading"]["time"]
