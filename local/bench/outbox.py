"""`./qold bench outbox`: frames on a serial line in, rows of a gateway's outbox out."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.input import Input
from gateway.outbox import Outbox
from gateway.settings import GatewaySettings
from local.bench.measure import Case, Row, Run, Stopwatch, Tell, differences, repeat
from local.bench.workload import Workload, centi, content, percent
from local.simulator.clock import SimulatedClock
from local.simulator.serial_line import SerialLine
from qold.records import Reading
from qold.wire import Frame, Item, encode
from qold.wire.frame import MAX_ITEMS

LEAST_RATE = 5_000
PATIENCE_STEPS = 1_000
_WAIT_S = 0.01


def measure(workload: Workload, runs: int, tell: Tell) -> Iterator[Row]:
    """Readings per second that are durable and acknowledged; what waits is committed together."""
    case = Case(bench="outbox", measured="acknowledged", workload=workload.name, target=LEAST_RATE)
    frames = frames_of(workload)
    yield from repeat([case], runs, lambda folder: [run_once(folder, workload, frames)], tell=tell)


def frames_of(workload: Workload) -> list[bytes]:
    """The fullest frames in which every device can send its readings at the workload's end."""
    frames = []
    for device_id in workload.device_ids:
        readings = workload.readings_of(device_id)
        items = [
            Item(workload.end_s - reading.time, centi(device_id, index), percent(device_id, index))
            for index, reading in enumerate(readings)
        ]
        for start in range(0, len(items), MAX_ITEMS):
            frame = Frame(device_id, device_id, start, tuple(items[start : start + MAX_ITEMS]))
            frames.append(encode(frame))
    return frames


def ledger(settings: GatewaySettings, workload: Workload, unanswered: int) -> tuple[str, ...]:
    """What is wrong with the outbox and the acks; empty when they are exact."""
    outbox = Outbox(settings, SimulatedClock(workload.end_s * 1000))
    messages = [json.loads(row.message) for row in outbox.oldest(2 * workload.total)]
    outbox.close()
    found = [content(m["device"]["id"], Reading(**m["reading"])) for m in messages]
    problems = differences(workload.contents(), found, things="readings")
    return (*problems, f"{unanswered} frames not acknowledged") if unanswered else problems


def settings_of(folder: Path) -> GatewaySettings:
    """A gateway whose outbox lies in the folder."""
    return GatewaySettings(
        gateway_id=1,
        token="0" * 40,
        outbox_path=folder / "outbox.db",
        uplink_url="sqlite:unused.db",
    )


def run_once(folder: Path, workload: Workload, frames: Sequence[bytes]) -> Run:
    """Send encoded frames to a gateway of its own."""
    line = SerialLine()
    settings = settings_of(folder)
    # It stands still: a reading's time is that of reception minus its age.
    receiver = Input(settings, SimulatedClock(workload.end_s * 1000), port=line.path)
    receiver.step()
    watch = Stopwatch()
    unanswered = _send(line, receiver, frames)
    run = watch.run(workload.total, lambda: ledger(settings, workload, unanswered))
    receiver.close()
    line.close()
    return run


def _send(line: SerialLine, receiver: Input, frames: Sequence[bytes]) -> int:
    """Send everything; returns how many acks were missing when the gateway fell silent."""
    line.send(b"".join(frames))
    unanswered = len(frames)
    idle = 0
    while unanswered and idle < PATIENCE_STEPS:
        acks = len(line.exchange())
        unanswered -= acks
        idle = 0 if receiver.step() or acks else idle + 1
        if idle:
            receiver.wait(_WAIT_S)
    return unanswered
