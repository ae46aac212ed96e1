"""A demo in real time, on the servers of a state folder: Kafka, Storm, Cassandra, KairosDB, Redis.

The broker's clock is the clock, `scale` times as fast: everything that a rule measures in wall time
lasts so much shorter, while windows, back-off and patience stay those of real machines. Devices and
gateways stand at the moment of a sending until all of it is on the log, so that they stamp what they
would have stamped at once; the log's own times say when it came.
"""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable

from gateway.output.uplink import Uplink
from local.demo_installation import PREFIX, DemoInstallation
from local.demo_outcome import Plan
from local.demo_world import SHOWN_ALERTS, TOPOLOGIES, Counts, Published, Stuck
from local.log_records import records_of
from local.simulator.clock import SimulatedClock
from local.simulator.fleet import Fleet
from local.simulator.ledger import Ledger
from local.storm_cluster import ClusterAway, NoSuchTopology
from local.topologies import lag
from qold import wiring
from qold.ports import MessageLog, PortError

PATIENCE_S = 600.0
LOOK_S = 0.25
IDLE_S, COUNT_S = 1.0, 3.0
TOLD_S = 60.0
EVERYTHING = 2**31
HEALTH_KEY = "system:health"

SLACK_S = 60
"""So many real seconds late, at most, somebody may be found silent: what was late on its way to the
log is known from the log; a look after that waits for what is under way, and after a gap of five
scaled minutes between looks for twenty more."""

Sighting = tuple[int, int, int, int]
"""gateway, device, sequence, time (s) of a reading in a report."""


class FullWorld:
    """The servers behind an installation."""

    is_settled = False
    may_repeat = True
    patience_s = 60.0

    def __init__(self, plan: Plan, installation: DemoInstallation, *, scale: int) -> None:
        self._installation, self._scale = installation, scale
        self.clock = SimulatedClock((plan.start_s - 1) * 1000)
        self.slack_s = SLACK_S * scale
        self._sent: list[Published] = []
        self._counts, self._count_at = Counts(), 0.0

    def open(self) -> None:
        self.settings, self._scaled = self._installation.create(
            scale=self._scale, wall_ms=self.clock.wall_ms()
        )
        self._log: MessageLog = wiring.message_log(self.settings, self._scaled)
        self._alert_log = wiring.alert_log(self.settings, self._scaled)

    def uplink_to(self, gateway_id: int) -> Uplink:
        return self._installation.uplink_to(self.settings, gateway_id)

    def start(self, fleet: Fleet, publish: Callable[[], bool]) -> None:
        self._fleet, self._publish = fleet, publish
        self._installation.submit(self.settings, TOPOLOGIES)
        self._installation.tell("waiting for the topologies")
        for what, is_there in (
            ("every topology runs", self._all_run),
            ("authentication and thresholds hear of changes", self._hear_of_changes),
            ("every device is watched", self._all_are_watched),
            ("the health of everything is known", self._health_is_known),
        ):
            self._wait(what, is_there)
        self._scaled.start()

    def reach(self, at_s: int, idle: Callable[[], None]) -> None:
        while (left_s := self._scaled.left_s(at_s * 1000)) > 0:
            time.sleep(min(left_s, IDLE_S))
            if left_s > IDLE_S:
                self.clock.advance_to(min(self._scaled.wall_ms(), at_s * 1000))
                idle()
        self.clock.advance_to(self._scaled.wall_ms())

    def settle(self, next_s: int | None) -> None:
        def is_published() -> bool:
            self._publish()
            self.clock.advance_to(self._scaled.wall_ms())  # for what backs off
            return all(site.next_look_ms() is None for site in self._fleet.sites)

        self._wait("everything is on the log", is_published, look_s=0.02)

    def catch_up(self) -> None:
        """Moves no clock: frames may be under way."""
        topics = {
            "reports": self.settings.reports_topic,
            "config_changes": self.settings.config_topic,
        }
        ends = {name: self._log.offsets(topic) for name, topic in topics.items()}

        def is_done() -> bool:
            return all(
                self._log.committed(f"{PREFIX}authentication.{name}", topic).get(partition, 0)
                >= end.next
                for name, topic in topics.items()
                for partition, end in ends[name].items()
                if end.next > end.first
            )

        self._wait("authentication has caught up", is_done)

    def kill(self, name: str, steps: int) -> None:
        raise NotImplementedError  # no plan of faults for real time has it

    def published(self, sent: Published, ledger: Ledger) -> None:
        self._sent.append(sent)

    def look_until(self, until_ms: int) -> None:
        """They look by themselves."""

    def counts(self) -> Counts:
        """As they were a few seconds ago at most; while something is away, longer."""
        if time.monotonic() >= self._count_at:
            with contextlib.suppress(PortError, ClusterAway, NoSuchTopology):
                self._counts = self._count()
            self._count_at = time.monotonic() + COUNT_S
        return self._counts

    def finish(self, ledger: Ledger) -> None:
        tell = self._installation.tell
        tell("waiting until everything is worked off and told")
        self._wait("everything is worked off", self._all_is_worked_off)
        give_up_at = time.monotonic() + TOLD_S
        while not self._all_is_told() and time.monotonic() < give_up_at:
            time.sleep(LOOK_S)
        self._count_at = 0.0
        self.counts()
        self.clock.advance_to(self._scaled.wall_ms())
        self._installation.kill()
        tell("comparing what is stored with what was sent")
        self._complete(ledger)

    def _complete(self, ledger: Ledger) -> None:
        """What must have become of everything that was sent, by the times at which the log got it."""
        sightings = self._sightings()
        came = []
        for number, sent in enumerate(self._sent):
            reading = sent.reading
            at_s = reading.measurement.at_s + sent.skew_s
            seen = sightings[sent.gateway_id, reading.device_id, reading.sequence, at_s]
            came.append((min(seen, default=self.clock.wall_ms()), number, len(seen)))
        for received_ms, number, count in sorted(came):
            sent = self._sent[number]
            ledger.expect(
                sent.reading,
                sent.reason,
                gateway=sent.gateway_id,
                received_s=received_ms // 1000,
                skew_s=sent.skew_s,
                # A gateway whose answer was lost sends again: at least once is what it promises.
                published=max(count, sent.times),
            )

    def _sightings(self) -> dict[Sighting, list[int]]:
        """When each reading came to the log, each time it did."""
        topic, consumer = self.settings.reports_topic, f"{PREFIX}sightings"
        found: dict[Sighting, list[int]] = defaultdict(list)
        for record in records_of(self._log, topic, consumer=consumer):
            report = json.loads(record.value)
            for batch in report["batches"]:
                for reading in batch["readings"]:
                    where = report["gateway"]["id"], batch["device"]["id"]
                    sighting = (*where, reading["seq"], reading["time"])
                    found[sighting].append(record.appended_at_ms)
        return found

    def _count(self) -> Counts:
        stored = self._log.committed(f"{PREFIX}raw.readings", self.settings.readings_topic)
        refused = self._log.offsets(self.settings.rejected_topic)
        spouts = [
            component
            for name in TOPOLOGIES
            for component in self._installation.storm.topology(PREFIX + name).components
            if component.kind == "spout"
        ]
        alerts = self._alert_log.alerts(limit=EVERYTHING)
        return Counts(
            sum(spout.failed for spout in spouts),
            sum(stored.values()),
            sum(end.next for end in refused.values()),
            len(alerts),
            lambda: alerts[:SHOWN_ALERTS],
        )

    def _all_run(self) -> bool:
        found = [self._installation.storm.topology(PREFIX + name) for name in TOPOLOGIES]
        return all(one.workers and one.components for one in found)

    def _hear_of_changes(self) -> bool:
        """Tells a change that changes nothing until it is heard: they read what is told from now on."""
        topic = self.settings.config_topic
        self._fleet.provisioning.change_device(self._fleet.devices[0].device_id, active=True)
        time.sleep(IDLE_S)
        consumers = (f"{PREFIX}{name}.config_changes" for name in ("authentication", "thresholds"))
        return all(self._log.committed(consumer, topic) for consumer in consumers)

    def _all_are_watched(self) -> bool:
        ids = [device.device_id for device in self._fleet.devices]
        last_seen = wiring.last_seen(self.settings, self._scaled)
        return len(last_seen.get(ids)) == len(ids)

    def _health_is_known(self) -> bool:
        states = wiring.state_store(self.settings, self._scaled)
        return bool(states.load([HEALTH_KEY], now_ms=self._scaled.wall_ms()))

    def _all_is_worked_off(self) -> bool:
        return not any(lag(self._log, self.settings, name) for name in TOPOLOGIES)

    def _all_is_told(self) -> bool:
        return all(
            story.deliveries and all(d.status == "delivered" for d in story.deliveries)
            for story in self._alert_log.alerts(limit=EVERYTHING)
            if story.alert.is_live
        )

    def _wait(self, what: str, is_done: Callable[[], bool], *, look_s: float = LOOK_S) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        reason = ""
        while True:
            try:
                if is_done():
                    return
            except (PortError, ClusterAway, NoSuchTopology) as exc:
                reason = f": {exc}"
            if time.monotonic() > give_up_at:
                raise Stuck(f"not so within {PATIENCE_S:.0f} s: {what}{reason}")
            time.sleep(look_s)
