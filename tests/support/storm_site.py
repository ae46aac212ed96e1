"""One installation for topologies on Storm: seeded reports, a ledger, and what came of them."""

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

from local.administration import open_provisioning
from local.log_records import records_of
from local.runner import LocalTopology
from local.simulator.device import Reading
from local.simulator.ledger import Ledger
from local.simulator.oracle import Oracle
from local.simulator.refrigerator import Measurement
from local.topologies import consumed_topics, lag_of, load_topology, topology_names
from qold import wiring
from qold.clock import SystemClock
from qold.ports import Record, Unavailable
from qold.settings import Settings, dead_letter_topic
from tests.support.pipeline import make_batch, make_report
from tests.support.processes import wait_until

GATEWAYS, DEVICES = 3, 12
LIMITS = {"minTemperature": "-5", "maxTemperature": "8"}
BACK_S = 20 * 60  # measured so long ago at most: late enough to be many, early enough to alert
TRIES = 10
# Many workers start at once; the second compiler would cost more than it brings.
QUICK = "topology.worker.childopts=-XX:TieredStopAtLevel=1"
UNKNOWN_ID = 1_000_000
REASONS = {"bad-gateway-token", "bad-device-token", "inactive", "unknown-device", "bad-time"}


class StormSite:
    """The state folder of `settings`; `send` as often as wanted, then look."""

    def __init__(self, settings: Settings, *, seed: int) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.log = wiring.message_log(settings, self.clock)
        self.ledger = Ledger()
        self.refused: set[tuple[str, int, int]] = set()
        provisioning = open_provisioning(settings)
        self.devices = provisioning.create_devices(DEVICES, active=True, config=LIMITS)
        self.inactive = provisioning.create_devices(1, active=False)
        self.gateways = [provisioning.create_gateway() for _ in range(GATEWAYS)]
        self._rng = random.Random(seed)
        self._consumed: dict[str, dict[str, str]] = {}
        self._seen: set[tuple[int, int]] = set()
        self._sequence = 0
        self._next_s = self.clock.wall_ms() // 1000 - BACK_S

    def send(self, reports: int) -> None:
        """Append reports of every kind to the log."""
        for _ in range(reports):
            number = self._rng.randrange(GATEWAYS)
            gateway, devices = self.gateways[number], self.devices[number::GATEWAYS]
            is_wrong = self._rng.random() < 0.1
            batches = [
                self._batch(devices, "bad-gateway-token" if is_wrong else "")
                for _ in range(self._rng.randrange(1, 5))
            ]
            value = make_report(gateway, *batches, token="0" * 40 if is_wrong else None)
            self.log.append(self.settings.reports_topic, [(str(gateway.id), value)])

    def _batch(self, devices, reason):
        # A device speaks through one gateway, which keeps its readings in order: alerts depend on it.
        roll, device, token = self._rng.random(), self._rng.choice(devices), None
        if roll < 0.03:
            token, reason = device.auth + 1, "bad-device-token"
        elif roll < 0.06:
            device = self.inactive[0]
            reason = "inactive"
        elif roll < 0.09:
            device = type(device)(UNKNOWN_ID, 789, state=True)
            reason = "unknown-device"
        readings = [self._reading(device.id, reason) for _ in range(self._rng.randrange(1, 9))]
        return make_batch(device, *readings, token=token)

    def _reading(self, device_id, reason):
        rng = self._rng
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._next_s += rng.random() < 0.1
        at_s = 5 if rng.random() < 0.01 else self._next_s
        # One device, one second, one value: what is measured twice at once has no right answer.
        while (device_id, at_s) in self._seen:
            at_s += 1
        self._seen.add((device_id, at_s))
        centi = None if rng.random() < 0.02 else rng.randrange(-1000, 1500)
        battery = None if rng.random() < 0.02 else rng.randrange(101)
        measurement = Measurement(at_s, centi, battery, 0)
        before = self.ledger.rejected.total()
        self.ledger.expect(
            Reading(device_id, self._sequence, measurement),
            reason,
            gateway=0,
            received_s=self.clock.wall_ms() // 1000,
            skew_s=0,
            published=1,
        )
        if self.ledger.rejected.total() > before:
            self.refused.add((reason or "bad-time", device_id, at_s))
        temp = None if centi is None else centi / 100
        return {"temp": temp, "time": at_s, "batt": battery, "seq": self._sequence}

    def wait_for_no_lag(self, restart_dead: Callable[[], None], *, patience_s: float) -> None:
        """Until every topology has read everything, authentication first, which feeds the others."""
        for name in ("authentication", *topology_names()):

            def is_done(name: str = name) -> bool:
                restart_dead()
                return self.has_read_all(name)

            what = f"{name} has read everything"
            wait_until(is_done, what, patience_s=patience_s, look_s=0.5)

    def has_read_all(self, topology: str) -> bool:
        """Whether a topology has committed every record; False while the log does not answer."""
        try:
            return self._lag(topology) == 0
        except Unavailable:
            return False

    def _lag(self, topology: str) -> int:
        if topology not in self._consumed:
            self._consumed[topology] = consumed_topics(self.settings, topology)
        return lag_of(self.log, self._consumed[topology])

    def records(self, topic: str) -> list[dict]:
        """Every record of a topic, parsed."""
        return [json.loads(record.value) for record in self.stored(topic)]

    def stored(self, topic: str) -> list[Record]:
        """Every record of a topic as the log has it."""
        return list(records_of(self.log, topic, consumer="test"))

    def dead_letters(self) -> list[dict]:
        return self.records(dead_letter_topic(self.settings.readings_topic))

    def found_refused(self) -> set[tuple[str, int, int]]:
        """(reason, device, time) of what lies on the topic of refusals."""
        return {
            (record["reason"], message["device"]["id"], message["reading"]["time"])
            for record in self.records(self.settings.rejected_topic)
            for message in [record["message"]]
        }

    def verdict(self):
        """What the stores hold against what was sent; a store that is busy is asked again."""
        for _ in range(TRIES):
            with contextlib.suppress(Unavailable):
                return self._verdict()
        return self._verdict()

    def _verdict(self):
        raw = wiring.raw_store(self.settings, self.clock)
        readings = wiring.reading_store(self.settings, self.clock)
        try:
            oracle = Oracle(self.ledger, self.settings, self.log, raw, readings)
            return oracle.judge_stores([device.id for device in self.devices])
        finally:
            raw.close()
            readings.close()

    def alerts(self) -> set[tuple[str, str]]:
        """Subject and identity of every alert of thresholds."""
        for _ in range(TRIES):
            with contextlib.suppress(Unavailable):
                return alerts_of(self.settings, self.clock)
        return alerts_of(self.settings, self.clock)

    def alerts_in_one_process(self, folder: Path) -> set[tuple[str, str]]:
        """The same records through the same topology in the in-process runner, as the truth."""
        settings = Settings.load(folder, {"QOLD_POLL_WAIT_MS": "0"})
        log = wiring.message_log(settings, self.clock)
        log.create_topics(settings.topics())
        there, here = (
            wiring.registry(self.settings, self.clock),
            wiring.registry(settings, self.clock),
        )
        here.put_devices(there.devices([device.id for device in self.devices]).values())
        # A report that failed on its way stands on the log twice, which must not change an alert.
        first = {}
        for record in self.stored(self.settings.readings_topic):
            first.setdefault(json.loads(record.value)["origin"], record)
        log.append(settings.readings_topic, [(each.key, each.value) for each in first.values()])
        read_all("thresholds", settings, self.clock)
        return alerts_of(settings, self.clock)


def read_all(name: str, settings: Settings, clock: SystemClock) -> None:
    """Run a topology in this process until it has committed every record of its topics."""
    topology = LocalTopology(
        load_topology(name), name=name, conf=settings.to_storm_conf(), clock=clock
    )
    log = wiring.message_log(settings, clock)
    consumed = consumed_topics(settings, name)

    def is_done() -> bool:
        topology.run_until_idle()
        return lag_of(log, consumed) == 0

    wait_until(is_done, f"{name} has read everything")
    topology.stop()


def alerts_of(settings, clock):
    log = wiring.alert_log(settings, clock)
    try:
        stories = log.alerts(limit=100_000)
        return {(s.alert.subject, s.alert.id) for s in stories if s.topology == "thresholds"}
    finally:
        log.close()
