"""The demo: a simulated fleet through the real gateway, log, topologies and stores, and its oracle.

What moves the clock, and how what was sent is worked off, is the world's matter: one process
(`local/demo_embedded.py`), or the servers of a state folder (`local/demo_full.py`).
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import zip_longest

from local.demo_outcome import Outcome, Plan, Progress, View
from local.demo_world import TOPOLOGIES, Published, Stuck, World
from local.simulator.alert_verdict import judge_alerts
from local.simulator.alerts_file import told_alerts
from local.simulator.device import Reading
from local.simulator.faults import FaultPlan, plan_faults
from local.simulator.fleet import GatewaySite, build_fleet
from local.simulator.ledger import Ledger
from local.simulator.oracle import Oracle, Verdict
from local.simulator.refrigerator import Sending, Source
from local.simulator.spans import Sender
from local.simulator.traffic import Traffic, Transmission
from qold import wiring
from qold.ports import Unavailable

TRIES = 10_000
DIGESTED_MS = 90_000
LOOK_S = 1.0


class Demo:
    """One run in a world that was made for it."""

    def __init__(self, plan: Plan, world: World, view: View) -> None:
        self._plan, self._world, self._view = plan, world, view
        self._schedule = _schedule(plan.sources)
        self._start_s, self._end_s = min(self._schedule), max(self._schedule)
        self._rng = random.Random(plan.seed)
        self._ledger = Ledger()

    def run(self) -> Outcome:
        """Simulate to the end and judge; raises `TooShort` before anything is made."""
        started = time.monotonic()
        faults = self._draw_faults()
        self._world.open()
        self._settings, self._clock = self._world.settings, self._world.clock
        self._log = wiring.message_log(self._settings, self._clock)
        self._alert_log = wiring.alert_log(self._settings, self._clock)
        self._fleet = fleet = build_fleet(
            self._plan.sources,
            gateways=self._plan.gateways,
            settings=self._settings,
            log=self._log,
            registry=wiring.registry(self._settings, self._clock),
            contacts=wiring.contact_book(self._settings, self._clock),
            clock=self._clock,
            rng=self._rng,
            uplink_to=self._world.uplink_to,
        )
        try:
            self._view.started(fleet)
            self._world.start(fleet, self._publish)
            traffic = Traffic(fleet, faults, self._rng)
            moments = sorted(self._schedule)
            for at_s, next_s in zip_longest(moments, moments[1:]):
                self._world.reach(at_s, self._show)
                self._moment(traffic, faults, at_s, next_s)
                self._world.look_until(
                    self._clock.wall_ms() + DIGESTED_MS if next_s is None else next_s * 1000
                )
            link = {
                "crc_errors": sum(site.input.counters.crc_errors for site in fleet.sites),
                "repeats": sum(site.input.counters.repeats for site in fleet.sites),
            }
            self._world.finish(self._ledger)
        finally:
            fleet.close()
        verdict = self._judge()
        alerts = judge_alerts(
            self._ledger,
            {device.device_id: device.source.bounds for device in fleet.devices},
            self._alert_log,
            start_s=self._start_s - 1,
            end_s=self._clock.wall_ms() // 1000,
            has_silence="alert" in TOPOLOGIES,
            rejected_topic=self._settings.rejected_topic,
            slack_s=self._world.slack_s,
        )
        return Outcome(
            self._plan.seed,
            self._ledger,
            link,
            verdict,
            alerts,
            told_alerts(
                self._alert_log,
                {device.device_id: device.source.unit for device in fleet.devices},
            ),
            self._world.counts().replayed,
            time.monotonic() - started,
        )

    def _draw_faults(self) -> FaultPlan:
        senders = [
            Sender(
                number % self._plan.gateways,
                source.bounds.interval_s,
                [sending.at_s for sending in source.sendings()],
            )
            for number, source in enumerate(self._plan.sources)
        ]
        return plan_faults(self._plan.faults, senders, TOPOLOGIES, self._rng)

    def _moment(self, traffic: Traffic, faults: FaultPlan, at_s: int, next_s: int | None) -> None:
        traffic.begin(at_s, self._clock.wall_ms() // 1000)
        for site in self._fleet.sites:
            if site.clock.skew_ms:
                self._ledger.jumped.setdefault(site.gateway_id, at_s)
        due = self._schedule[at_s]
        transmissions = [
            transmission
            for number, index, sending in due
            for transmission in traffic.transmissions(number, index, sending, self._world.catch_up)
        ]
        self._transmit(transmissions)
        heard = self._await(transmissions)
        for name, steps in faults.restarts.get(at_s, ()):
            self._world.kill(name, steps)
        self._world.settle(next_s)
        for number, index, _ in due:
            traffic.after(number, index, self._world.catch_up)
        self._show(heard, at_s)

    def _transmit(self, transmissions: list[Transmission]) -> None:
        owed: Counter[int] = Counter()
        for transmission in transmissions:
            self._fleet.sites[transmission.gateway].line.send(transmission.data)
            owed[transmission.gateway] += transmission.acks
        for number, acks in owed.items():
            site = self._fleet.sites[number]
            for _ in range(TRIES):
                acks -= len(site.line.exchange())
                if acks <= 0 and not site.line.is_waiting:
                    break
                if not site.input.step():
                    site.input.wait(0.01)
            else:
                raise Stuck(f"gateway {number + 1} owes {acks} acks")

    def _await(self, transmissions: list[Transmission]) -> list[tuple[Reading, str]]:
        """Note what the gateways have acknowledged and will publish."""
        heard = []
        for transmission in transmissions:
            site = self._fleet.sites[transmission.gateway]
            self._ledger.sent += len(transmission.readings)
            if transmission.is_lost:
                continue
            reason = transmission.reason
            if not reason and site.has_wrong_token:
                reason = "bad-gateway-token"
            self._ledger.repeats += transmission.repeats
            self._ledger.crc_errors += transmission.crc_errors
            self._ledger.acknowledged += len(transmission.readings)
            site.awaited += [(reading, reason) for reading in transmission.readings]
            heard += [(reading, reason) for reading in transmission.readings]
        return heard

    def _publish(self) -> bool:
        """Send what the gateways hold; True when something was."""
        return any([self._publish_from(site) for site in self._fleet.sites])

    def _publish_from(self, site: GatewaySite) -> bool:
        has_published = site.publish()
        if has_published:
            skew_s, times = site.clock.skew_ms // 1000, site.uplink.times
            for reading, reason in site.awaited:
                sent = Published(reading, reason, site.gateway_id, skew_s, times)
                self._world.published(sent, self._ledger)
            site.awaited.clear()
        return has_published

    def _judge(self) -> Verdict:
        raw = wiring.raw_store(self._settings, self._clock)
        readings = wiring.reading_store(self._settings, self._clock)
        oracle = Oracle(
            self._ledger,
            self._settings,
            self._log,
            raw,
            readings,
            may_repeat=self._world.may_repeat,
        )
        ids = [device.device_id for device in self._fleet.devices]
        give_up_at = time.monotonic() + self._world.patience_s
        while True:
            is_over = time.monotonic() >= give_up_at
            try:
                verdict = oracle.judge(ids)
            except Unavailable:
                if is_over:
                    raise
            else:
                if verdict.is_exact or is_over:
                    return verdict
            time.sleep(LOOK_S)

    def _show(self, heard: Sequence[tuple[Reading, str]] = (), at_s: int | None = None) -> None:
        counts = self._world.counts()
        lost = max(0, len(self._ledger.raw) - counts.stored) if self._world.is_settled else None
        progress = Progress(
            self._clock.wall_ms() // 1000 if at_s is None else at_s,
            self._start_s,
            self._end_s,
            self._ledger,
            counts,
            lost,
        )
        self._view.moved(progress, heard)


def _schedule(sources: Sequence[Source]) -> dict[int, list[tuple[int, int, Sending]]]:
    """Per moment (s): device number, index of its sending, and the sending."""
    schedule: dict[int, list[tuple[int, int, Sending]]] = defaultdict(list)
    for number, source in enumerate(sources):
        for index, sending in enumerate(source.sendings()):
            schedule[sending.at_s].append((number, index, sending))
    return schedule
