"""A soak without servers: reports through every topology in one process, and the verdict on them."""

import sqlite3
from contextlib import contextmanager

from local.runner import LocalTopology
from local.simulator.clock import SimulatedClock
from local.soak.progress import Progress
from local.soak.traffic import LEAST_RATE, Traffic
from local.soak.verdict import Findings, judge
from local.topologies import load_topology, topology_names
from qold import wiring
from qold.settings import Settings
from tests.support.pipeline import NOW_S

RATE = 2 * LEAST_RATE
GATEWAYS = RATE // 10
REPORTS = 6 * GATEWAYS


class Soaked:
    """Reports through every topology in one process."""

    def __init__(self, folder, *, seed=3, environ=None):
        self.folder = folder
        quick = {"QOLD_POLL_WAIT_MS": "0", "QOLD_WINDOW_MS": "1"}
        self.settings = Settings.load(folder, quick | (environ or {}))
        self.clock = SimulatedClock(NOW_S * 1000)
        self.log = wiring.message_log(self.settings, self.clock)
        self.traffic = Traffic(self.settings, self.clock, rate=RATE, seed=seed)
        self.progress = Progress(self.settings, self.log, self.clock)

    def send(self, reports=REPORTS):
        for _ in range(reports):
            self.clock.advance_to(max(self.clock.wall_ms(), round(self.traffic.due_s() * 1000)))
            self.log.append(self.settings.reports_topic, [self.traffic.report()])

    def work(self, tick_ms=0):
        for name in sorted(topology_names(), key=lambda name: name != "authentication"):
            topology = LocalTopology(
                load_topology(name),
                name=name,
                conf=self.settings.to_storm_conf(),
                clock=self.clock,
            )
            # The Loader recalls, and enrols, a few pages at a time; refusals are counted each minute.
            for step_ms in [*[500] * 10, tick_ms]:
                topology.run_until_idle()
                self.clock.advance_to(self.clock.wall_ms() + step_ms)
            topology.run_until_idle()
            topology.stop()

    def findings(self):
        findings = Findings()
        judge(self.settings, self.clock, self.traffic, findings)
        return findings

    def execute(self, name, statement, *values):
        with sqlite3.connect(self.folder / f"{name}.db") as file:
            return file.execute(statement, values)

    @contextmanager
    def changed(self, name):
        """A connection to a store, whose content is restored afterwards."""
        with (
            sqlite3.connect(self.folder / f"{name}.db") as file,
            sqlite3.connect(":memory:") as kept,
        ):
            file.backup(kept)
            yield file
            kept.backup(file)
