"""The soak's reports: a seeded stream in real time, and what must become of each reading."""

import random
import threading
import time
from collections.abc import Iterable
from dataclasses import replace

from local.administration import open_provisioning
from local.bench.patience import patiently
from local.simulator.bounds import Bounds
from local.simulator.device import Reading
from local.simulator.ledger import Ledger
from local.simulator.refrigerator import Measurement
from local.soak.attack import Attack, Refusal
from qold import records
from qold.clock import Clock
from qold.ports import MessageLog, Point, Unavailable
from qold.provisioning import NewDevice, NewGateway
from qold.records import VERSION, Batch, Credentials, Report, encode
from qold.settings import Settings

RATE, LEAST_RATE = 600, 60
DEVICES_PER_GATEWAY = 20
FLUSH_S, EVERY_S = 10, 2
"""A gateway sends what its devices measured, every so often."""
MOST_AT_ONCE = 30
QUIET, QUIET_AFTER_S = 6, 30
# Nobody is silent before days have passed: also not who was registered and never speaks.
BOUNDS = Bounds(lowest=-5, highest=8, interval_s=86_400)
UNKNOWN_ID = 1_000_000
OUT_OF_LIMITS = (("high", 0.001), ("low", 0.001), ("battery", 0.0005))
RETRY_S = 0.5


class Traffic:
    """Gateways, devices and their reports, `rate` readings/s; `ledger` and `refused` are the truth about them.

    `quiet` devices fall silent soon, within their limits: when they were last heard must be known
    for ever. `attack` is the account of a hostile gateway beside them.
    """

    def __init__(self, settings: Settings, clock: Clock, *, rate: int, seed: int) -> None:
        gateways = rate * EVERY_S // DEVICES_PER_GATEWAY
        register = _Registering(settings)
        self.devices = [
            device for _ in range(gateways) for device in register.devices(DEVICES_PER_GATEWAY)
        ]
        self.quiet = register.devices(QUIET)
        self.gateways = [register.gateway() for _ in range(gateways)]
        self.ledger = Ledger()
        self.refused: set[Refusal] = set()
        self.attack: Attack | None = None
        self.quiet_since_s: dict[int, int] = {}
        self._inactive = register.devices(1, active=False)[0]
        self._rng = random.Random(seed)
        self._start_s = clock.wall_ms() // 1000
        self._sequence = self._number = self._ancient = 0

    @property
    def device_ids(self) -> list[int]:
        """Every device that may speak."""
        return [device.id for device in (*self.devices, *self.quiet)]

    def attacked(self, settings: Settings) -> Attack:
        """The account of the gateway that attacks, which is registered at the first call."""
        if self.attack is None:
            register = _Registering(settings)
            (device,) = register.devices(1)
            self.attack = Attack(register.gateway(), device, victim=self.gateways[-1])
        return self.attack

    def bounds(self) -> dict[int, Bounds]:
        return dict.fromkeys(self.device_ids, BOUNDS)

    def due_s(self) -> float:
        """When the next report is to be sent, seconds since the epoch."""
        return self._start_s + self._number * FLUSH_S / len(self.gateways)

    def report(self) -> tuple[str, bytes]:
        """Key and value of the next one, and note what must become of it."""
        rng, at_s = self._rng, int(self.due_s())
        number = self._number % len(self.gateways)
        gateway = self.gateways[number]
        speaking = self.devices[number :: len(self.gateways)]
        if number < QUIET and at_s < self._start_s + QUIET_AFTER_S:
            speaking = [*speaking, self.quiet[number]]
        is_wrong = rng.random() < 0.02
        reason = "bad-gateway-token" if is_wrong else ""
        batches = [self._batch(gateway.id, device, reason, at_s) for device in speaking]
        self._number += 1
        auth = "0" * 40 if is_wrong else gateway.auth
        report = Report(VERSION, Credentials(gateway.id, auth), batches, at_s)
        return str(gateway.id), encode(report)

    def expect(self, points: Iterable[Point]) -> None:
        """Note temperatures that went into the reading store by another way."""
        for point in points:
            self.ledger.temperature[point.device_id, point.measured_at_ms // 1000] = point.value

    def _batch(self, gateway_id: int, device: NewDevice, reason: str, at_s: int) -> Batch:
        rng, roll = self._rng, self._rng.random()
        # One thing is wrong at a time: it is the reason of the refusal.
        if reason or roll >= 0.03:
            pass
        elif roll < 0.01:
            device, reason = replace(device, auth=device.auth + 1), "bad-device-token"
        elif roll < 0.02:
            device, reason = self._inactive, "inactive"
        else:
            device, reason = NewDevice(UNKNOWN_ID, 789, True), "unknown-device"
        way, roll = "", rng.random()
        for name, share in OUT_OF_LIMITS:
            way, roll = (name, 1.0) if roll < share else (way, roll - share)
        readings = [
            self._reading(gateway_id, device.id, reason, way, second, at_s)
            for second in range(at_s - FLUSH_S + 1, at_s + 1, EVERY_S)
        ]
        return Batch(Credentials(device.id, device.auth), readings)

    def _reading(
        self, gateway_id: int, device_id: int, reason: str, way: str, at_s: int, now_s: int
    ) -> records.Reading:
        rng = self._rng
        self._sequence = (self._sequence + 1) & 0xFFFF
        if not reason and rng.random() < 0.001:
            self._ancient += 1
            at_s, reason = self._ancient, "bad-time"
        low, high = {"high": (801, 1500), "low": (-1500, -501)}.get(way, (0, 600))
        centi = None if rng.random() < 0.01 else rng.randint(low, high)
        battery = None if rng.random() < 0.01 else rng.randint(20, 100)
        if way == "battery" and battery is not None:
            battery = rng.randrange(20)
        reading = Reading(device_id, self._sequence, Measurement(at_s, centi, battery, 0))
        self.ledger.sent += 1
        if reason:
            self.refused.add(Refusal(reason, gateway_id, device_id, at_s))
        elif device_id > self.devices[-1].id:
            self.quiet_since_s[device_id] = at_s
        self.ledger.expect(
            reading, reason, gateway=gateway_id, received_s=now_s, skew_s=0, published=1
        )
        celsius = None if centi is None else centi / 100
        return records.Reading(celsius, at_s, battery, self._sequence)


class _Registering:
    """Tries again: servers that have just started, with workers that start, are slow."""

    def __init__(self, settings: Settings) -> None:
        self._provisioning = patiently(lambda: open_provisioning(settings))

    def devices(self, count: int, *, active: bool = True) -> list[NewDevice]:
        config = BOUNDS.as_config()
        create = self._provisioning.create_devices
        return patiently(lambda: create(count, active=active, config=config))

    def gateway(self) -> NewGateway:
        return patiently(self._provisioning.create_gateway)


class Sender(threading.Thread):
    """Sends every report when it is due, and until it is durable; `away` counts the failures.

    What could not be sent for a while follows at once, as from a gateway's outbox.
    """

    def __init__(self, traffic: Traffic, log: MessageLog, topic: str, clock: Clock) -> None:
        super().__init__(name="sender", daemon=True)
        self.away = 0
        self.failure: BaseException | None = None
        self._traffic, self._log, self._topic, self._clock = traffic, log, topic, clock
        self._is_over = threading.Event()

    def run(self) -> None:
        try:
            while not self._is_over.is_set():
                self._send(self._due())
        except BaseException as exc:  # noqa: BLE001  # told by `stop`, in the soak's thread
            self.failure = exc

    def stop(self) -> None:
        """End when what was begun is durable; raises what ended the thread."""
        self._is_over.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def _due(self) -> list[tuple[str, bytes]]:
        wait_s = self._traffic.due_s() - self._clock.wall_ms() / 1000
        if wait_s > 0:
            self._is_over.wait(wait_s)
        entries: list[tuple[str, bytes]] = []
        while (
            len(entries) < MOST_AT_ONCE
            and self._traffic.due_s() <= self._clock.wall_ms() / 1000
            and not self._is_over.is_set()
        ):
            entries.append(self._traffic.report())
        return entries

    def _send(self, entries: list[tuple[str, bytes]]) -> None:
        while entries:
            try:
                return self._log.append(self._topic, entries)
            except Unavailable:
                self.away += 1
                time.sleep(RETRY_S)
