"""kill -9 of real `input` and `output` processes while frames flow: nothing acknowledged is lost.

QOLD_KILLS sets how many moments are tried (10; a long run takes 100), QOLD_SEED which ones.
"""

import json
import os
import random
import resource
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cobs import cobs

from gateway.clock import SystemClock
from local.simulator.serial_line import SerialLine
from qold.adapters.log.sqlite import SqliteLog
from qold.wire import Ack, Frame, Item, encode
from qold.wire.crc import crc16

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("QOLD_KILLS", "10"))
SEED = int(os.environ.get("QOLD_SEED", "1"))
DEVICES = 20
TOKEN = "0123456789abcdef0123456789abcdef01234567"
REPEAT_AFTER_S = 0.3
PATIENCE_S = 180

Reading = tuple[int, int, float]


class Line(SerialLine):
    """A line whose devices can wait for an answer."""

    def wait(self, timeout_s: float) -> None:
        select.select([self._devices_end], [], [], timeout_s)


class Device:
    """Sends one frame at a time and repeats it until it is acknowledged; never gives up."""

    def __init__(self, device_id: int) -> None:
        self.device_id = device_id
        self.sequence = 0
        self.measured_at_s: float | None = None
        self.sent_at_s = 0.0

    def frame(self, now_s: float = 0.0) -> Frame:
        age_s = round(now_s - (self.measured_at_s or now_s))
        items = tuple(
            Item(age_s, (self.device_id * 100 + self.sequence + n) % 3000, 80) for n in range(3)
        )
        return Frame(self.device_id, 789, self.sequence, items)

    def readings(self) -> set[Reading]:
        frame = self.frame()
        return {
            (self.device_id, frame.item_sequence(n), item.celsius or 0.0)
            for n, item in enumerate(frame.items)
        }


class Gateway:
    """A folder with a configuration, a line, and the processes that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.line = Line()
        self.log = SqliteLog(folder / "log.db", clock=SystemClock())
        self.log.create_topics({"reports": 4})
        config = folder / "gateway.toml"
        config.write_text(
            f'[gateway]\nid = 1\ntoken = "{TOKEN}"\n'
            f'[uplink]\nurl = "sqlite://{folder}/log.db"\n'
            '[output]\nlinger_s = 0.02\n[status]\nfolder = "status"\n',
            "utf-8",
        )
        config.chmod(0o600)
        self._arguments = {
            "input": ["input", "--config", str(config), "--port", self.line.path],
            "output": ["output", "--config", str(config)],
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, component: str) -> None:
        with (self.folder / f"{component}.log").open("ab") as output:
            self._processes[component] = subprocess.Popen(
                [sys.executable, "-m", "gateway", *self._arguments[component]],
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def kill(self, component: str, number: int = signal.SIGKILL) -> int:
        process = self._processes.pop(component)
        process.send_signal(number)
        return process.wait(PATIENCE_S)

    def pid(self, component: str) -> int:
        assert self._processes[component].poll() is None, "it has ended"
        return self._processes[component].pid

    def counters(self, component: str) -> dict[str, int]:
        counters: dict[str, int] = self.status(component)["counters"]
        return counters

    def is_up(self, component: str) -> bool:
        """The process that runs now has written its status."""
        return self.status(component).get("pid") == self.pid(component)

    def peak_memory_kb(self, component: str) -> int:
        status = Path(f"/proc/{self.pid(component)}/status").read_text("utf-8")
        return int(status.split("VmHWM:")[1].split()[0])

    def status(self, component: str) -> dict[str, Any]:
        file = self.folder / "status" / f"{component}.json"
        return json.loads(file.read_text("utf-8")) if file.exists() else {}

    def close(self) -> None:
        for component in list(self._processes):
            self.kill(component)
        self.line.close()
        self.log.close()

    def in_outbox(self) -> list[Reading]:
        connection = sqlite3.connect(self.folder / "outbox.db")
        try:
            rows = connection.execute("SELECT message FROM Messages").fetchall()
        finally:
            connection.close()
        messages = [m for (message,) in rows if "reading" in (m := json.loads(message))]
        return [_key(m["device"]["id"], m["reading"]) for m in messages]

    def in_log(self) -> list[Reading]:
        connection = sqlite3.connect(self.folder / "log.db")
        try:
            values = [json.loads(v) for (v,) in connection.execute("SELECT value FROM records")]
        finally:
            connection.close()
        return [
            _key(batch["device"]["id"], reading)
            for report in values
            for batch in report["batches"]
            for reading in batch["readings"]
        ]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.close()


class Traffic:
    """The devices' side; `acknowledged` is what must never be lost."""

    def __init__(self, line: Line) -> None:
        self.acknowledged: set[Reading] = set()
        self.frames = 0
        self._line = line
        self._devices = {number: Device(number) for number in range(1, DEVICES + 1)}

    def flow(self, is_over: Callable[[], bool], *, new: bool = True) -> None:
        """Send and take acks until `is_over()`; without `new`, only what is unanswered."""
        limit_s = time.monotonic() + PATIENCE_S
        while not is_over():
            now_s = time.monotonic()
            assert now_s < limit_s, "the gateway does not answer"
            if not self._line.is_waiting:
                self._send(now_s, new=new)
            for ack in self._line.exchange():
                # A forged frame's ack is for no device of ours.
                if ack.device_id in self._devices:
                    self._take(self._devices[ack.device_id], ack)
            self._line.wait(0.01)

    def _send(self, now_s: float, *, new: bool) -> None:
        for device in self._devices.values():
            if device.measured_at_s is None and new:
                device.measured_at_s = now_s
            elif device.measured_at_s is None or now_s - device.sent_at_s < REPEAT_AFTER_S:
                continue
            device.sent_at_s = now_s
            self._line.send(encode(device.frame(now_s)))

    def _take(self, device: Device, ack: Ack) -> None:
        if device.measured_at_s is not None and ack == device.frame().ack():
            self.acknowledged |= device.readings()
            self.frames += 1
            device.sequence += 3
            device.measured_at_s = None

    @property
    def is_answered(self) -> bool:
        return all(device.measured_at_s is None for device in self._devices.values())


def _key(device_id: int, reading: dict[str, float]) -> Reading:
    return (device_id, int(reading["seq"]), reading["temp"])


@pytest.mark.timeout(240 + 10 * KILLS)
def test_kill_9_loses_nothing_acknowledged(gateway: Gateway) -> None:
    """One of the two is killed and started again at each moment; then everything drains."""
    rng = random.Random(SEED)
    traffic = Traffic(gateway.line)
    for component in ("input", "output"):
        gateway.start(component)
    for number in range(KILLS):
        goal = traffic.frames + rng.randrange(1, 400)
        traffic.flow(lambda goal=goal: traffic.frames >= goal)
        in_doubt = ("input", "output")[number] if number < 2 else rng.choice(("input", "output"))
        gateway.kill(in_doubt)
        stored = gateway.in_outbox()
        assert max(Counter(stored).values(), default=1) == 1, "an item twice in the outbox"
        assert traffic.acknowledged <= set(stored) | set(gateway.in_log())
        gateway.start(in_doubt)
    traffic.flow(lambda: traffic.is_answered, new=False)
    traffic.flow(lambda: not gateway.in_outbox(), new=False)
    in_log = Counter(gateway.in_log())
    assert set(in_log) == traffic.acknowledged
    # Published again only where `output` died between the publication and the deletion.
    repeated = sum(count - 1 for count in in_log.values())
    assert repeated <= KILLS * 5_000
    for component in ("input", "output"):
        traffic.flow(lambda name=component: gateway.is_up(name), new=False)
        assert gateway.kill(component, signal.SIGTERM) == 0


def test_a_full_disk_stops_the_acks_and_nothing_else(gateway: Gateway) -> None:
    """The size a file may have stands for the disk: reached while frames flow, then freed."""
    gateway.start("input")
    traffic = Traffic(gateway.line)
    traffic.flow(lambda: traffic.frames >= 50)
    pid = gateway.pid("input")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    traffic.flow(lambda: gateway.counters("input")["refused"] > 0)
    assert traffic.acknowledged <= set(gateway.in_outbox())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    goal = traffic.frames + 200
    traffic.flow(lambda: traffic.frames >= goal)
    assert gateway.pid("input") == pid
    assert traffic.acknowledged <= set(gateway.in_outbox())
    assert gateway.kill("input", signal.SIGTERM) == 0


def test_noise_on_the_line_costs_no_reading(gateway: Gateway) -> None:
    """Between the devices' frames: random bytes, delimiters alone, tiny frames, frames of another
    version, bytes without a delimiter, forged frames of one item; counted, bounded, not answered.
    """
    rng = random.Random(SEED)
    content = Frame(1, 789, 0, (Item(0, 421, 88),)).to_bytes()[:-2].replace(b"\x01", b"\x02", 1)
    other_version = cobs.encode(content + crc16(content).to_bytes(2, "big")) + b"\0"
    forged = [
        encode(Frame(rng.randrange(1_000, 2**31), 1, n, (Item(0, 421, 88),))) for n in range(300)
    ]
    noise = [
        rng.randbytes(200_000) + b"\0",
        b"\0" * 200_000,
        b"\1\1\0" * 20_000,
        other_version * 2_000,
        b"\1" * 500_000 + b"\0",
        b"".join(forged),
    ]
    gateway.start("input")
    traffic = Traffic(gateway.line)
    traffic.flow(lambda: traffic.frames >= DEVICES)
    before = gateway.peak_memory_kb("input")
    for sort in noise:
        gateway.line.send(sort)
        goal = traffic.frames + 1
        traffic.flow(lambda goal=goal: traffic.frames >= goal)
    traffic.flow(lambda: traffic.is_answered, new=False)
    goal = traffic.frames
    traffic.flow(lambda: gateway.counters("input")["acknowledged"] >= goal + 300, new=False)
    link = gateway.status("input")["counters"]["link"]
    assert link["version"] >= 2_000
    assert link["length"] >= 20_000
    assert link["overlong"] >= 1
    assert traffic.acknowledged <= set(gateway.in_outbox())
    assert gateway.peak_memory_kb("input") - before < 8_000
    assert len((gateway.folder / "input.log").read_text("utf-8").splitlines()) == 1
    assert gateway.kill("input", signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("component", ["input", "output"])
def test_a_signal_ends_it_cleanly(gateway: Gateway, component: str, number: int) -> None:
    gateway.start(component)
    Traffic(gateway.line).flow(lambda: gateway.is_up(component), new=False)
    assert gateway.kill(component, number) == 0
