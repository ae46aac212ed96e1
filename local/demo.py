"""The demo: a simulated fleet through the real gateway, log, topologies and stores, in one process.

The clock moves only when every frame is answered, every outbox empty and every lag 0; one seed
gives one result.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Protocol

from local.runner import LocalTopology
from local.simulator.clock import SimulatedClock
from local.simulator.device import Reading
from local.simulator.faults import plan_faults
from local.simulator.fleet import Fleet, build_fleet
from local.simulator.ledger import Ledger
from local.simulator.oracle import Oracle, Verdict
from local.simulator.refrigerator import Sending, Source
from local.simulator.traffic import Traffic, Transmission
from local.topologies import load_topology
from qold import wiring
from qold.settings import Settings

TOPOLOGIES = ("authentication", "raw", "datapoints")
TRIES = 10_000
FOR_EVER_MS = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate; `speed` is simulated seconds per second, 0 is as fast as it goes."""

    sources: Sequence[Source]
    gateways: int
    seed: int
    speed: float
    faults: Sequence[str]


@dataclass(slots=True)
class Progress:
    """How far the demo is; `latest` are readings just stored, by device id."""

    at_s: int
    start_s: int
    end_s: int
    ledger: Ledger
    replayed: int
    stored: int
    rejected: int


class View(Protocol):
    """Shows a demo while it runs."""

    def started(self, fleet: Fleet) -> None: ...

    def moved(self, progress: Progress, heard: Sequence[tuple[Reading, str]]) -> None: ...


class Stuck(RuntimeError):
    """Something was not answered although nothing is left to do."""


@dataclass(slots=True)
class Outcome:
    """What the demo ended with."""

    seed: int
    ledger: Ledger
    link: dict[str, int]
    verdict: Verdict
    replayed: int
    wall_s: float

    @property
    def is_exact(self) -> bool:
        return self.verdict.is_exact and self.link == {
            "crc_errors": self.ledger.crc_errors,
            "repeats": self.ledger.repeats,
        }

    def as_dict(self) -> dict[str, Any]:
        """The summary of `--json`; counts are readings."""
        verdict = self.verdict
        return {
            "seed": self.seed,
            "sent": self.ledger.sent,
            "acknowledged": self.ledger.acknowledged,
            "authenticated": verdict.authenticated,
            "rejected": verdict.rejected,
            "link": self.link,
            "stored": verdict.stored,
            "missing": verdict.missing,
            "unexpected": verdict.unexpected,
            "duplicates": verdict.duplicates,
            "replayed": self.replayed,
            "wall_s": round(self.wall_s, 2),
        }


class Demo:
    """One run in a fresh state folder."""

    def __init__(self, plan: Plan, settings: Settings, view: View) -> None:
        self._plan = plan
        self._view = view
        # One task per bolt runs here, and one shard per task packs best; nobody waits in real time.
        self._settings = replace(settings, shards=1, partitions=2, poll_wait_ms=0)
        self._schedule = _schedule(plan.sources)
        self._start_s = min(self._schedule)
        self._clock = SimulatedClock((self._start_s - 1) * 1000)
        self._rng = random.Random(plan.seed)
        self._ledger = Ledger()
        self._log = wiring.message_log(self._settings, self._clock)
        self._topologies: list[LocalTopology] = []
        self._next_moment_ms = self._start_s * 1000

    def run(self) -> Outcome:
        """Simulate to the end and judge; raises `TooShort` before anything is sent."""
        started = time.monotonic()
        faults = self._draw_faults()
        self._log.create_topics(self._settings.topics())
        fleet = build_fleet(
            self._plan.sources,
            gateways=self._plan.gateways,
            settings=self._settings,
            log=self._log,
            registry=wiring.registry(self._settings, self._clock),
            clock=self._clock,
            rng=self._rng,
        )
        try:
            conf = self._settings.to_storm_conf()
            for name in TOPOLOGIES:
                topology = load_topology(name)
                self._topologies.append(
                    LocalTopology(topology, name=name, conf=conf, clock=self._clock)
                )
            self._view.started(fleet)
            self._settle(fleet)
            traffic = Traffic(fleet, faults, self._rng)
            moments = sorted(self._schedule)
            for at_s, next_s in zip_longest(moments, moments[1:]):
                self._pace(started, at_s)
                self._next_moment_ms = FOR_EVER_MS if next_s is None else next_s * 1000
                self._moment(fleet, traffic, at_s)
            link = {
                "crc_errors": sum(site.input.counters.crc_errors for site in fleet.sites),
                "repeats": sum(site.input.counters.repeats for site in fleet.sites),
            }
        finally:
            for running in self._topologies:
                running.stop()
            fleet.close()
        verdict = self._judge(fleet)
        replayed = self._counter("replayed")
        return Outcome(
            self._plan.seed, self._ledger, link, verdict, replayed, time.monotonic() - started
        )

    def _draw_faults(self) -> Any:
        gateways = self._plan.gateways
        device_slots = [
            ((number, index), (number % gateways, at_s))
            for at_s, due in sorted(self._schedule.items())
            for number, index, _ in due
        ]
        gateway_slots = list(dict.fromkeys(moment for _, moment in device_slots))
        return plan_faults(self._plan.faults, device_slots, gateway_slots, self._rng)

    def _moment(self, fleet: Fleet, traffic: Traffic, at_s: int) -> None:
        self._clock.advance_to(at_s * 1000)
        traffic.set_gateways(at_s)
        due = self._schedule[at_s]
        transmissions = [
            transmission
            for number, index, sending in due
            for transmission in traffic.transmissions(
                number, index, sending, lambda: self._settle(fleet)
            )
        ]
        self._transmit(fleet, transmissions)
        heard = self._expect(fleet, transmissions, at_s)
        self._settle(fleet)
        for number, index, _ in due:
            traffic.after(number, index, lambda: self._settle(fleet))
        self._view.moved(self._progress(at_s), heard)

    def _transmit(self, fleet: Fleet, transmissions: list[Transmission]) -> None:
        owed: Counter[int] = Counter()
        for transmission in transmissions:
            fleet.sites[transmission.gateway].line.send(transmission.data)
            owed[transmission.gateway] += transmission.acks
        for number, acks in owed.items():
            site = fleet.sites[number]
            for _ in range(TRIES):
                acks -= len(site.line.exchange())
                if acks <= 0 and not site.line.is_waiting:
                    break
                if not site.input.step():
                    site.input.wait(0.01)
            else:
                raise Stuck(f"gateway {number + 1} owes {acks} acks")

    def _expect(
        self, fleet: Fleet, transmissions: list[Transmission], at_s: int
    ) -> list[tuple[Reading, str]]:
        heard = []
        for transmission in transmissions:
            site = fleet.sites[transmission.gateway]
            reason = transmission.reason
            if not reason and site.has_wrong_token:
                reason = "bad-gateway-token"
            self._ledger.repeats += transmission.repeats
            self._ledger.crc_errors += transmission.crc_errors
            for reading in transmission.readings:
                self._ledger.sent += 1
                self._ledger.expect(
                    reading,
                    reason,
                    received_s=at_s,
                    skew_s=site.clock.skew_ms // 1000,
                    published=site.uplink.times,
                )
                heard.append((reading, reason))
        return heard

    def _settle(self, fleet: Fleet) -> None:
        """Work until nothing waits anywhere, moving the clock only to what is waited for.

        A window still open when the next sending is due stays open: devices do not wait for it.
        """
        while True:
            while any([site.publish() for site in fleet.sites]) or any(
                [topology.step() for topology in self._topologies]
            ):
                pass
            if not any(topology.in_flight() for topology in self._topologies):
                break
            timers = [topology.next_timer_ms() for topology in self._topologies]
            timer_ms = min(timer for timer in timers if timer is not None)
            if timer_ms > self._next_moment_ms:
                break
            self._clock.advance_to(timer_ms)
        waiting = sum(site.output.pending() for site in fleet.sites)
        if waiting:
            raise Stuck(f"{waiting} messages are still in the outboxes")

    def _pace(self, started: float, at_s: int) -> None:
        if self._plan.speed:
            due = started + (at_s - self._start_s) / self._plan.speed
            time.sleep(max(0.0, due - time.monotonic()))

    def _judge(self, fleet: Fleet) -> Verdict:
        raw = wiring.raw_store(self._settings, self._clock)
        readings = wiring.reading_store(self._settings, self._clock)
        oracle = Oracle(self._ledger, self._settings, self._log, raw, readings)
        return oracle.judge([device.device_id for device in fleet.devices])

    def _progress(self, at_s: int) -> Progress:
        return Progress(
            at_s,
            self._start_s,
            max(self._schedule),
            self._ledger,
            self._counter("replayed"),
            self._counter("stored"),
            sum(self._counter(name) for name in self._rejection_counters()),
        )

    def _rejection_counters(self) -> list[str]:
        names: set[str] = set()
        for component in self._components():
            names.update(name for name in component.counters if name.startswith("rejected."))
        return sorted(names)

    def _counter(self, name: str) -> int:
        return sum(component.counters[name] for component in self._components())

    def _components(self) -> list[Any]:
        return [
            component
            for topology in self._topologies
            for name in topology.counters()
            for component in topology.components(name)
        ]


def _schedule(sources: Sequence[Source]) -> dict[int, list[tuple[int, int, Sending]]]:
    """Per moment (s): device number, index of its sending, and the sending."""
    schedule: dict[int, list[tuple[int, int, Sending]]] = defaultdict(list)
    for number, source in enumerate(sources):
        for index, sending in enumerate(source.sendings()):
            schedule[sending.at_s].append((number, index, sending))
    return schedule
