"""Topologies with a dummy spout and injected test bolts, as the source tests them (8.1.5)."""

from collections import deque

from streamparse import Bolt, Grouping, Spout, Topology

from qold.rows import Entry, LogRow, pack, unpacker

NOW_MS = 1_795_456_000_000


def inject(topology_class, *, spouts=(), bolts=()):
    """The same topology with spouts exchanged by name, and bolts that listen in.

    `spouts` are (name, class) pairs, `bolts` (name, class, component listened to, stream).
    """
    specs = {spec.name: spec for spec in topology_class.specs}
    for name, spout in spouts:
        specs[name] = spout.spec(name=name)
    for name, bolt, component, stream in bolts:
        specs[name] = bolt.spec(name=name, inputs={specs[component][stream]: Grouping.SHUFFLE})
    return type(Topology)(
        f"Tested{topology_class.__name__}",
        (Topology,),
        {"config": topology_class.config, **specs},
    )


def dummy_spout(topic, *tuples):
    """A spout class of deterministic messages: each tuple is a list of record values."""

    class DummySpout(Spout):
        outputs = ["topic", "partition", "first", "last", "attempt", "records"]

        def initialize(self, storm_conf, context):
            self.acked, self.failed, self.flying = [], [], {}
            self.todo = deque()
            offset = 0
            for values in tuples:
                rows = [LogRow(offset + i, NOW_MS, value) for i, value in enumerate(values)]
                self.todo.append((offset, offset + len(values) - 1, 1, pack(rows)))
                offset += len(values)

        def next_tuple(self):
            if self.todo:
                first, last, attempt, records = self.todo.popleft()
                self.flying[first] = (first, last, attempt, records)
                self.emit([topic, 0, first, last, attempt, records], tup_id=first)

        def ack(self, tup_id):
            self.acked.append(tup_id)
            del self.flying[tup_id]

        def fail(self, tup_id):
            self.failed.append(tup_id)
            first, last, attempt, records = self.flying.pop(tup_id)
            self.todo.append((first, last, attempt + 1, records))

    return DummySpout


class SilentSpout(Spout):
    """Never has anything."""

    outputs = ["topic", "partition", "first", "last", "attempt", "records"]

    def next_tuple(self):
        pass


class ListeningBolt(Bolt):
    """Remembers the tuples it saw."""

    def initialize(self, storm_conf, context):
        self.tuples = []

    def process(self, tup):
        self.tuples.append(tup)


def failing_every(nth):
    """A bolt class that fails every nth tuple, whatever it holds."""

    class FailingBolt(Bolt):
        auto_ack = False

        def initialize(self, storm_conf, context):
            self.seen = 0
            self.failed = 0

        def process(self, tup):
            self.seen += 1
            if self.seen % nth:
                self.ack(tup)
            else:
                self.failed += 1
                self.fail(tup)

    return FailingBolt


entries_of = unpacker(Entry)
