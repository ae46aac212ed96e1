"""Cassandra and Redis killed and stopped under their writers; what was acknowledged is counted after.

QOLD_KILLS sets how many moments are tried, QOLD_SEED which ones.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from local.services.cassandra import Cassandra
from local.services.redis import Redis
from qold import wiring
from qold.clock import SystemClock
from qold.domain.model import Alert
from qold.ports import RawRow, StateChange, Unavailable
from qold.settings import Settings
from tests.support import store_worker
from tests.support.commands import ROOT, environment
from tests.support.processes import wait_until
from tests.support.servers import Servers

KILLS = int(os.environ.get("QOLD_KILLS", "2"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
PATIENCE_S = 240
T = 1_795_456_000_000
ROWS = 60


@pytest.fixture(scope="module")
def in_cassandra(servers: Servers) -> Settings:
    """Keyspaces of this module's own."""
    node = f"cassandra://127.0.0.1:{servers.use(Cassandra).port}"
    urls = {
        "registry_url": f"{node}/killed",
        "alert_log_url": f"{node}/killed",
        "raw_url": f"{node}/killed_raw",
    }
    return replace(Settings(state_dir=str(servers.place.state)), **urls)


@pytest.fixture(scope="module")
def in_redis(servers: Servers) -> Settings:
    urls = servers.use(Redis).settings()
    return replace(Settings(state_dir=str(servers.place.state)), **urls)


@dataclass
class Ledger:
    """What was given, what was acknowledged, how often the other side was away."""

    given: set[Any] = field(default_factory=set)
    acknowledged: list[Any] = field(default_factory=list)
    away: int = 0


@contextmanager
def writing(step: Callable[[int, Ledger], None]) -> Iterator[Ledger]:
    """A thread that takes steps until the end of the block; one that fails is taken again."""
    ledger, stopping, errors = Ledger(), threading.Event(), []

    def run() -> None:
        number = 0
        while not stopping.is_set():
            try:
                step(number, ledger)
                number += 1
            except Unavailable:
                ledger.away += 1
                time.sleep(0.01)
            except BaseException as exc:  # noqa: BLE001  # asserted below, in the test's thread
                errors.append(exc)
                return

    thread = threading.Thread(target=run, name="writer")
    thread.start()
    try:
        yield ledger
    finally:
        stopping.set()
        thread.join()
    assert not errors, f"only Unavailable may come out: {errors}"


def faults(servers: Servers, name: str, ledger: Ledger, *, most: int) -> None:
    """kill -9 and SIGSTOP in turn, each while it is written to, and until the writer has noticed."""
    rng = random.Random(SEED)
    for number in range(KILLS):
        goal = len(ledger.acknowledged) + rng.randrange(1, most)
        wait_until(lambda g=goal: len(ledger.acknowledged) >= g, "it writes", patience_s=PATIENCE_S)
        away = ledger.away
        pid = servers.pid(name)
        os.kill(pid, signal.SIGSTOP if number % 2 else signal.SIGKILL)
        wait_until(lambda a=away: ledger.away > a, "it is missed", patience_s=PATIENCE_S)
        if number % 2:
            os.kill(pid, signal.SIGCONT)
        after = len(ledger.acknowledged) + 1

        def is_back(goal: int = after) -> bool:
            servers.restart_dead()
            return len(ledger.acknowledged) >= goal

        wait_until(is_back, "it writes again", patience_s=PATIENCE_S)


@pytest.mark.timeout(300 + 720 * KILLS)
def test_cassandra_loses_no_row_that_was_acknowledged(
    servers: Servers, in_cassandra: Settings
) -> None:
    store = wiring.raw_store(in_cassandra, SystemClock())

    def step(number: int, ledger: Ledger) -> None:
        rows = [
            RawRow(
                1 + number % 7 if row % 2 else 100 + row, T + number * 1000, row, "{}", "r:0:1:0"
            )
            for row in range(ROWS)
        ]
        ledger.given.update(rows)
        assert store.write(rows) == []
        ledger.acknowledged += rows

    with writing(step) as ledger:
        faults(servers, "cassandra", ledger, most=20 * ROWS)
    devices = {row.device_id for row in ledger.given}
    there = {row for device_id in devices for row in store.read(device_id, 0, 2 * T)}
    assert set(ledger.acknowledged) <= there, "lost"
    assert there <= ledger.given, "never sent"
    assert len(there) == store.count(), "stored twice"
    store.close()


@pytest.mark.timeout(300 + 720 * KILLS)
def test_cassandra_gives_no_id_twice_and_opens_no_alert_twice(
    servers: Servers, in_cassandra: Settings
) -> None:
    """A transaction whose end is unknown counts as not given; its alert is found unplanned."""
    registry = wiring.registry(in_cassandra, SystemClock())
    alert_log = wiring.alert_log(in_cassandra, SystemClock())
    opened: list[str] = []

    def step(number: int, ledger: Ledger) -> None:
        alert = Alert(f"a{number:06}", "temperature.high", "device:7", T + number, T + number)
        ledger.given.add(alert.id)
        opened.extend(alert_log.open_once([alert], topology="thresholds", now_ms=T))
        ledger.acknowledged += registry.allocate("device", 5)

    with writing(step) as ledger:
        faults(servers, "cassandra", ledger, most=40)
    assert len(set(ledger.acknowledged)) == len(ledger.acknowledged)
    assert len(set(opened)) == len(opened)
    found = alert_log.unplanned("thresholds", before_ms=T + 1, limit=10**6)
    there = {alert.id for alert in found}
    assert len(found) == len(there)
    assert set(opened) <= there <= ledger.given
    registry.close()
    alert_log.close()


@pytest.mark.timeout(300 + 720 * KILLS)
def test_redis_loses_no_state_that_was_acknowledged(servers: Servers, in_redis: Settings) -> None:
    states = wiring.state_store(in_redis, SystemClock())
    last_seen = wiring.last_seen(in_redis, SystemClock())

    def step(number: int, ledger: Ledger) -> None:
        keys = [f"kill:{number}:{index}" for index in range(50)]
        ledger.given.update(keys)
        for key in states.save([StateChange(key, 0, key) for key in keys], now_ms=T):
            # A save that did not answer may have been made.
            assert states.load([key], now_ms=T)[key] == (1, key)
        last_seen.touch({number + 1: T + number})
        ledger.acknowledged += keys

    with writing(step) as ledger:
        faults(servers, "redis", ledger, most=5000)
    found = states.load(ledger.acknowledged, now_ms=T)
    assert {key: (1, key) for key in ledger.acknowledged} == found
    steps = len(ledger.acknowledged) // 50
    assert last_seen.get(range(1, steps + 1)) == {n + 1: T + n for n in range(steps)}
    states.delete(ledger.given)
    last_seen.retire(range(1, steps + 2))
    states.close()
    last_seen.close()


@pytest.mark.timeout(900)
def test_redis_that_comes_back_empty_is_filled_again(servers: Servers, in_redis: Settings) -> None:
    """What its users then do: begin anew at version 0, and enrol everybody again."""
    states = wiring.state_store(in_redis, SystemClock())
    last_seen = wiring.last_seen(in_redis, SystemClock())
    states.save([StateChange("empty", 0, "x")], now_ms=T)
    last_seen.touch({1: T, 2: T + 9})
    os.kill(servers.pid("redis"), signal.SIGKILL)
    shutil.rmtree(servers.place.folder("redis") / "appendonlydir")

    def is_back() -> bool:
        servers.restart_dead()
        try:
            states.ping()
        except Unavailable:
            return False
        return True

    wait_until(is_back, "redis answers again", patience_s=PATIENCE_S)
    wait_until(lambda: _answers(last_seen.ping), "and to the other", patience_s=PATIENCE_S)
    assert states.load(["empty"], now_ms=T) == {}
    assert states.save([StateChange("empty", 1, "late")], now_ms=T) == ["empty"]
    assert states.save([StateChange("empty", 0, "new")], now_ms=T) == []
    assert last_seen.touch({1: T + 1}) == {1: None}
    last_seen.enrol({1: T, 2: T})
    assert last_seen.overdue(T + 1) == [2]
    states.delete(["empty"])
    last_seen.retire([1, 2])
    states.close()
    last_seen.close()


def _answers(ping: Callable[[], None]) -> bool:
    try:
        ping()
    except Unavailable:
        return False
    return True


@pytest.mark.timeout(900)
def test_a_process_forks_and_ends_whatever_cassandra_does(
    servers: Servers, in_cassandra: Settings
) -> None:
    """The driver's threads do not go into a fork, and do not hold up the end of a process."""
    process = subprocess.Popen(
        [
            sys.executable,
            store_worker.__file__,
            in_cassandra.state_dir,
            in_cassandra.registry_url,
            "wait",
        ],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    taken = json.loads(process.stdout.readline())
    assert len(set(taken)) == len(taken) == 9
    os.kill(servers.pid("cassandra"), signal.SIGSTOP)
    try:
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    finally:
        os.kill(servers.pid("cassandra"), signal.SIGCONT)
        process.stdout.close()
