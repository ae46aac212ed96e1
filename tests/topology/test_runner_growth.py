"""The runner for months: nothing stays behind of a tuple, whatever became of it."""

import gc
import tracemalloc

from streamparse import Bolt, Grouping, Spout, Topology

from local.runner import LocalTopology
from local.simulator.clock import SimulatedClock

TUPLES = 60_000
WARM_UP = 12_000
PERIOD_MS = 10


class EndlessSpout(Spout):
    """Ids never repeat; now and then a tuple without one."""

    outputs = ["n"]

    def initialize(self, storm_conf, context):
        self.count, self.limit = 0, 0

    def next_tuple(self):
        if self.count < self.limit:
            self.count += 1
            untracked = self.count % 50 == 0
            self.emit(
                [self.count], tup_id=None if untracked else str(self.count), need_task_ids=True
            )


class ForgetfulBolt(Bolt):
    """Fails every 7th tuple, finishes every 11th only after it has timed out, ignores its ticks."""

    auto_ack = False
    outputs = ["n"]

    def initialize(self, storm_conf, context):
        self.late = []

    def process(self, tup):
        if tup.values.n % 7 == 0:
            self.fail(tup)
        elif tup.values.n % 11 == 0:
            self.late.append(tup)
            if len(self.late) > 200:
                self.ack(self.late.pop(0))
        else:
            self.emit([tup.values.n])
            self.ack(tup)


class SinkBolt(Bolt):
    def process(self, tup):
        pass


class Endless(Topology):
    config = {"topology.message.timeout.secs": 1, "topology.tick.tuple.freq.secs": 1}
    source = EndlessSpout.spec()
    forgetful = ForgetfulBolt.spec(inputs={source: Grouping.fields("n")}, par=2)
    sink = SinkBolt.spec(inputs={forgetful: Grouping.ALL}, par=2)


def _run_to(topology, clock, limit):
    (source,) = topology.components("source")
    source.limit = limit
    while source.count < limit:
        topology.step()
        clock.advance_to(clock.wall_ms() + PERIOD_MS)
    clock.advance_to(clock.wall_ms() + 10_000)
    topology.run_until_idle()
    gc.collect()


def _sizes(topology):
    return {
        "queue": len(topology._collector.queue),
        "roots": len(topology._collector.tracker),
        "inputs": sum(len(task.inputs) for task in topology._tasks if hasattr(task, "inputs")),
        "task ids": sum(len(task.component._pending_task_ids) for task in topology._tasks),
    }


def test_two_hundred_thousand_deliveries_leave_nothing_behind():
    clock = SimulatedClock(wall_ms=0)
    topology = LocalTopology(Endless, name="endless", conf={}, clock=clock)
    tracemalloc.start()
    try:
        _run_to(topology, clock, WARM_UP)
        before, sizes = tracemalloc.get_traced_memory()[0], _sizes(topology)
        _run_to(topology, clock, TUPLES)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    counters = topology.counters()
    assert counters["source"]["timed_out"] > 3_000
    assert counters["source"]["failed"] > 10_000
    held = sum(len(bolt.late) for bolt in topology.components("forgetful"))
    assert _sizes(topology) == sizes
    assert sizes == {"queue": 0, "roots": 0, "inputs": held + 2 * 100, "task ids": 0}
    assert topology.in_flight() == 0
    assert grown < 20_000
