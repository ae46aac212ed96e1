"""A demo in one process: the clock moves only when nothing waits anywhere, so one seed has one result."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.output.uplink.sqlite import SqliteUplink
from local.demo_outcome import Plan
from local.demo_world import SHOWN_ALERTS, TOPOLOGIES, Counts, Published, Stuck
from local.pipeline import Pipeline
from local.simulator.clock import SimulatedClock
from local.simulator.fleet import Fleet
from local.simulator.ledger import Ledger
from qold import wiring
from qold.settings import Settings

FOR_EVER_MS = 2**53
LOOK_EVERY_MS = 15_000
# Whoever can fall silent has by then, and what waits for the morning is told.
IDLE_MS = 26 * 3_600_000


class EmbeddedWorld:
    """SQLite stores in a fresh state folder."""

    slack_s = 0
    is_settled = True
    patience_s = 0.0

    def __init__(self, plan: Plan, settings: Settings) -> None:
        # One task per bolt runs here, and one shard per task packs best; nobody waits in real time.
        self.settings = replace(
            settings,
            shards=1,
            partitions=2,
            poll_wait_ms=0,
            notifier_url="file:notifications.jsonl",
        )
        self.clock = SimulatedClock((plan.start_s - 1) * 1000)
        self.may_repeat = "restart" in plan.faults
        self._start_s, self._speed = plan.start_s, plan.speed

    def open(self) -> None:
        self._started = time.monotonic()
        self._alert_log = wiring.alert_log(self.settings, self.clock)
        wiring.message_log(self.settings, self.clock).create_topics(self.settings.topics())

    def uplink_to(self, gateway_id: int) -> SqliteUplink:
        return SqliteUplink(Path(self.settings.state_dir) / "log.db", self.clock)

    def start(self, fleet: Fleet, publish: Callable[[], bool]) -> None:
        self._fleet, self._publish = fleet, publish
        self._pipeline = Pipeline(TOPOLOGIES, self.settings, self.clock)
        self.settle(self._start_s)

    def reach(self, at_s: int, idle: Callable[[], None]) -> None:
        if self._speed:
            due = self._started + (at_s - self._start_s) / self._speed
            time.sleep(max(0.0, due - time.monotonic()))
        self.clock.advance_to(at_s * 1000)

    def settle(self, next_s: int | None) -> None:
        """Moves the clock only to what is waited for.

        A window still open when the next sending is due stays open: devices do not wait for it.
        """
        next_ms = FOR_EVER_MS if next_s is None else next_s * 1000
        while True:
            self.catch_up()
            timers = [site.next_look_ms() for site in self._fleet.sites]
            timers.append(self._pipeline.next_timer_ms())
            timer_ms = min((ms for ms in timers if ms is not None), default=None)
            if timer_ms is None or timer_ms > next_ms:
                return
            if timer_ms < self.clock.monotonic_ms():
                raise Stuck("messages are still in the outboxes")
            self.clock.advance_to(timer_ms)

    def catch_up(self) -> None:
        """Whatever can be done at this moment."""
        while self._publish() or self._pipeline.step():
            pass

    def kill(self, name: str, steps: int) -> None:
        self._publish()
        self._pipeline.kill(name, steps)

    def published(self, sent: Published, ledger: Ledger) -> None:
        ledger.expect(
            sent.reading,
            sent.reason,
            gateway=sent.gateway_id,
            received_s=self.clock.wall_ms() // 1000,
            skew_s=sent.skew_s,
            published=sent.times,
        )

    def look_until(self, until_ms: int) -> None:
        """What watches the clock looks every 15 s."""
        now_ms = self.clock.wall_ms()
        if until_ms - now_ms > 2 * IDLE_MS:
            self._look(now_ms, now_ms + IDLE_MS)
            now_ms = until_ms - IDLE_MS
        self._look(now_ms, until_ms)

    def counts(self) -> Counts:
        pipeline = self._pipeline
        return Counts(
            pipeline.count_named("replayed"),
            pipeline.count("raw.stored"),
            pipeline.count_all("authentication.rejected."),
            sum(map(pipeline.count_all, ("thresholds.alerts.", "alert.told."))),
            partial(self._alert_log.alerts, limit=SHOWN_ALERTS),
        )

    def finish(self, ledger: Ledger) -> None:
        self._pipeline.stop()

    def _look(self, from_ms: int, until_ms: int) -> None:
        first_ms = from_ms // LOOK_EVERY_MS * LOOK_EVERY_MS + LOOK_EVERY_MS
        for at_ms in range(first_ms, until_ms, LOOK_EVERY_MS):
            self.clock.advance_to(at_ms)
            self._pipeline.look()
