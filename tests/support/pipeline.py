"""Builders for topology tests: a state folder, reports as gateways write them, a topology run."""

import json
from pathlib import Path

from local.runner import LocalTopology
from local.simulator.clock import SimulatedClock
from local.topologies import load_topology
from qold import wiring
from qold.keyring import ensure_keys
from qold.ports import Refused, Unavailable
from qold.provisioning import Provisioning
from qold.settings import Settings

NOW_S = 1_795_456_000
ALL = {"max_records": 100_000, "max_bytes": 2**28, "wait_ms": 0}


class Site:
    """One embedded installation under a simulated clock."""

    def __init__(self, folder: Path, **settings: object) -> None:
        environ = {f"QOLD_{name.upper()}": str(value) for name, value in settings.items()}
        self.settings = Settings.load(folder, {"QOLD_POLL_WAIT_MS": "0", **environ})
        self.clock = SimulatedClock(NOW_S * 1000)
        self.log = wiring.message_log(self.settings, self.clock)
        self.log.create_topics(self.settings.topics())
        self.registry = wiring.registry(self.settings, self.clock)
        self.raw = wiring.raw_store(self.settings, self.clock)
        self.readings = wiring.reading_store(self.settings, self.clock)
        self.provisioning = Provisioning(
            self.registry,
            self.log,
            ensure_keys(self.settings.secrets_dir),
            self.clock,
            config_topic=self.settings.config_topic,
        )

    def topology(self, name: str, topology_class: object = None, **conf: object) -> LocalTopology:
        """A topology of this checkout, or the given class under that name."""
        return LocalTopology(
            topology_class or load_topology(name),
            name=name,
            conf={**self.settings.to_storm_conf(), **conf},
            clock=self.clock,
        )

    def run(self, topology: LocalTopology, *, for_ms: int = 120_000) -> None:
        """Work until nothing is in flight, moving the clock where something waits for it."""
        until_ms = self.clock.monotonic_ms() + for_ms
        while True:
            topology.run_until_idle()
            if not topology.in_flight() and not has_retries(topology):
                return
            next_ms = min(topology.next_timer_ms() or until_ms, self.clock.monotonic_ms() + 100)
            assert next_ms <= until_ms, "still in flight"
            self.clock.advance_to(max(next_ms, self.clock.monotonic_ms() + 1))

    def records(self, topic: str) -> list[dict]:
        """Every record of a topic, parsed."""
        partitions = range(self.log.partition_count(topic))
        reader = self.log.reader("test", topic, partitions)
        found = []
        while records := reader.poll(partitions, **ALL):
            found += [json.loads(record.value) for record in records]
        return found

    def lag(self, consumer: str, topic: str) -> int:
        ends, committed = self.log.offsets(topic), self.log.committed(consumer, topic)
        return sum(end.next - committed.get(p, 0) for p, end in ends.items())


def has_retries(topology: LocalTopology) -> bool:
    """True while a log spout keeps a range for another attempt."""
    return any(
        getattr(component, "retries", None)
        for name in topology.counters()
        for component in topology.components(name)
    )


def make_reading(time_s: int = NOW_S, temp: float | None = 4.21, batt: int | None = 88, **more):
    return {"temp": temp, "time": time_s, "batt": batt, "seq": 17, **more}


def make_batch(device, *readings: dict, token: object = None) -> dict:
    auth = device.auth if token is None else token
    return {"device": {"id": device.id, "auth": auth}, "readings": list(readings)}


def make_report(gateway, *batches: dict, token: object = None, **more) -> bytes:
    auth = gateway.auth if token is None else token
    report = {"v": 1, "gateway": {"id": gateway.id, "auth": auth}, "batches": list(batches), **more}
    return json.dumps(report).encode()


def make_record(device_id: int, time_s: int = NOW_S, *, origin: str = "reports:0:0:0", **reading):
    return json.dumps(
        {
            "v": 1,
            "device": {"id": device_id},
            "gateway": {"id": 1},
            "reading": {**make_reading(time_s), **reading},
            "received": time_s + 1,
            "origin": origin,
        }
    ).encode()


class FaultyStore:
    """A real store that is away for so many writes, and refuses the rows of one device."""

    def __init__(self, store, *, away: int = 0, refused_device: int | None = None) -> None:
        self._store, self._away, self._refused_device = store, away, refused_device

    def write(self, *arguments):
        *metric, rows = arguments
        if self._away:
            self._away -= 1
            raise Unavailable("no host available")
        kept = [row for row in rows if row.device_id != self._refused_device]
        assert self._store.write(*metric, kept) == []
        return [
            Refused(index, "refused-by-test")
            for index, row in enumerate(rows)
            if row.device_id == self._refused_device
        ]

    def verify(self):
        return self._store.verify()
