"""The runner against small real streamparse components: what Storm does, it does."""

import json
import logging
from collections import Counter

import pytest
from streamparse import (
    BatchingBolt,
    Bolt,
    Grouping,
    JavaBolt,
    ReliableSpout,
    Spout,
    Stream,
    TicklessBatchingBolt,
    Topology,
)

from local.collector import ProtocolViolation
from local.runner import LocalTopology, TopologyDied
from local.simulator.clock import SimulatedClock


class NumberSpout(Spout):
    """Emits 0, 1, 2 ... `test.count` times under the number as id; replays what failed."""

    outputs = ["n"]

    def initialize(self, storm_conf, context):
        self.todo = list(range(storm_conf.get("test.count", 10)))
        self.acked, self.failed, self.calls = [], [], []

    def next_tuple(self):
        if self.todo:
            number = self.todo.pop(0)
            self.emit([number], tup_id=number)

    def ack(self, tup_id):
        self.acked.append(tup_id)

    def fail(self, tup_id):
        self.failed.append(tup_id)
        self.todo.append(tup_id)

    def activate(self):
        self.calls.append("activate")

    def deactivate(self):
        self.calls.append("deactivate")


class PassBolt(Bolt):
    outputs = ["n"]

    def process(self, tup):
        self.emit([tup.values.n])


class SeeBolt(Bolt):
    """Remembers what it saw."""

    def initialize(self, storm_conf, context):
        self.tuples = []

    def process(self, tup):
        self.tuples.append(tup)

    @property
    def numbers(self):
        return [tup.values.n for tup in self.tuples]


class HoldBolt(SeeBolt):
    """The test acknowledges its tuples."""

    auto_ack = False
    outputs = ["n"]


def start(topology_class, **conf):
    clock = SimulatedClock(wall_ms=0)
    return LocalTopology(topology_class, name="test", conf=conf, clock=clock), clock


def one_bolt(bolt, spout=NumberSpout, **kwargs):
    """A topology of one spout `source` and one bolt `bolt`."""
    source = spout.spec()
    return type(Topology)(
        "One", (Topology,), {"source": source, "bolt": bolt.spec(inputs=[source], **kwargs)}
    )


def numbers_of(topology, name="bolt"):
    return [component.numbers for component in topology.components(name)]


# -- setting up


class EnvironmentTopology(Topology):
    source = NumberSpout.spec(par={"prod": 3, "local": 1})
    bolt = SeeBolt.spec(inputs=[source], par={"prod": 4, "local": 2})


@pytest.mark.parametrize(
    ("environment", "spouts", "bolts"), [("prod", 3, 4), ("local", 1, 2), ("elsewhere", 1, 1)]
)
def test_parallelism_per_environment(environment, spouts, bolts):
    """An environment that is not listed has no hint; Storm then starts one task."""
    topology = LocalTopology(
        EnvironmentTopology, name="t", conf={}, clock=SimulatedClock(0), environment=environment
    )
    assert len(topology.components("source")) == spouts
    assert len(topology.components("bolt")) == bolts
    assert EnvironmentTopology.source.par == {"prod": 3, "local": 1}


def test_components_know_what_the_handshake_tells():
    class T(Topology):
        config = {"a": "topology", "b": "topology", "c": "topology"}
        source = NumberSpout.spec()
        bolt = SeeBolt.spec(inputs=[source], par=2, config={"c": "component"})

    clock = SimulatedClock(0)
    NumberSpout.clock = None
    try:
        topology = LocalTopology(T, name="shop", conf={"b": "conf", "c": "conf"}, clock=clock)
    finally:
        del NumberSpout.clock
    bolt, second = topology.components("bolt")
    assert bolt.topology_name == "shop"
    assert (bolt.component_name, bolt.task_id, second.task_id) == ("bolt", 1, 2)
    assert bolt.debug is False
    assert [bolt.storm_conf[key] for key in "abc"] == ["topology", "conf", "component"]
    assert bolt.context["task->component"] == {"1": "bolt", "2": "bolt", "3": "source"}
    assert bolt.context["source->stream->fields"] == {"source": {"default": ["n"]}}
    assert bolt.context["componentid"] == "bolt"
    assert topology.components("source")[0].clock is clock
    assert not hasattr(bolt, "clock")
    json.dumps([bolt.storm_conf, bolt.context])  # as it would cross the pipe


def test_no_handler_is_left_on_the_root_logger():
    before = list(logging.getLogger().handlers)
    start(one_bolt(SeeBolt))
    assert logging.getLogger().handlers == before


def test_on_start_sees_every_component_initialised_before_any_is_activated():
    seen = []
    LocalTopology(
        EnvironmentTopology,
        name="t",
        conf={},
        clock=SimulatedClock(0),
        on_start=lambda component: seen.append((component.component_name, str(vars(component)))),
    )
    assert [name for name, _ in seen] == ["bolt", "bolt", "source"]
    assert all("'tuples': []" in state or "'calls': []" in state for _, state in seen)


def test_a_component_that_cannot_initialise_ends_the_topology():
    class Broken(SeeBolt):
        def initialize(self, storm_conf, context):
            raise KeyError("setting")

    with pytest.raises(TopologyDied, match="bolt: KeyError") as died:
        start(one_bolt(Broken))
    assert died.value.component == "bolt"


def test_what_only_a_jvm_can_run_is_refused():
    class T(Topology):
        source = NumberSpout.spec()
        java = JavaBolt.spec(full_class_name="x.Y", args_list=[], inputs=[source])

    with pytest.raises(ValueError, match="java: JavaBolt is not a Python component"):
        start(T)


def test_a_bolt_with_a_thread_of_its_own_is_refused():
    with pytest.raises(ValueError, match="thread"):
        start(one_bolt(TicklessBatchingBolt))


def test_direct_streams_and_groupings_are_refused():
    class DirectSpout(NumberSpout):
        outputs = [Stream(["n"], direct=True)]

    class T(Topology):
        source = NumberSpout.spec()
        bolt = SeeBolt.spec(inputs={source: Grouping.DIRECT})

    with pytest.raises(ValueError, match="direct stream default"):
        start(one_bolt(SeeBolt, spout=DirectSpout))
    with pytest.raises(ValueError, match=r"source\[default\] to bolt: direct grouping"):
        start(T)


# -- the way of a tuple


def test_every_tuple_arrives_and_is_acked():
    topology, _ = start(one_bolt(SeeBolt), **{"test.count": 10})
    topology.run_until_idle()
    assert numbers_of(topology) == [list(range(10))]
    assert topology.components("source")[0].acked == list(range(10))
    assert topology.in_flight() == 0
    assert topology.counters() == {
        "bolt": {"emitted": 0, "acked": 10, "failed": 0, "executed": 10, "timed_out": 0},
        "source": {"emitted": 10, "acked": 10, "failed": 0, "executed": 0, "timed_out": 0},
    }


def test_a_tuple_says_where_it_comes_from():
    topology, _ = start(one_bolt(SeeBolt), **{"test.count": 1})
    topology.run_until_idle()
    (tup,) = topology.components("bolt")[0].tuples
    assert (tup.component, tup.stream, tup.task) == ("source", "default", 2)
    assert isinstance(tup.id, str)


def test_groupings_decide_the_task():
    class T(Topology):
        source = NumberSpout.spec()
        shuffled = SeeBolt.spec(inputs=[source], par=2)
        by_field = SeeBolt.spec(inputs={source: Grouping.fields("n")}, par=2)
        everyone = SeeBolt.spec(inputs={source: Grouping.ALL}, par=2)
        one = SeeBolt.spec(inputs={source: Grouping.GLOBAL}, par=2)

    topology, _ = start(T, **{"test.count": 4})
    source = topology.components("source")[0]
    source.todo = [0, 1, 2, 3, 0, 1, 2, 3]
    topology.run_until_idle()
    assert [len(numbers) for numbers in numbers_of(topology, "shuffled")] == [4, 4]
    one, other = numbers_of(topology, "by_field")
    assert not set(one) & set(other)
    assert Counter(one + other) == dict.fromkeys(range(4), 2)
    assert numbers_of(topology, "everyone") == [source.acked, source.acked]
    assert numbers_of(topology, "one") == [source.acked, []]


def test_named_streams_go_their_own_ways():
    class Split(Bolt):
        outputs = [Stream(["n"], name="even"), Stream(["n", "why"], name="odd")]

        def process(self, tup):
            if tup.values.n % 2:
                self.emit([tup.values.n, "odd"], stream="odd")
            else:
                self.emit([tup.values.n], stream="even")

    class T(Topology):
        source = NumberSpout.spec()
        split = Split.spec(inputs=[source])
        even = SeeBolt.spec(inputs=[split["even"]])
        odd = SeeBolt.spec(inputs=[split["odd"]])
        both = SeeBolt.spec(inputs=[split["odd"], split["even"]])

    topology, _ = start(T, **{"test.count": 5})
    topology.run_until_idle()
    assert numbers_of(topology, "even") == [[0, 2, 4]]
    assert numbers_of(topology, "odd") == [[1, 3]]
    assert {tup.values.why for tup in topology.components("odd")[0].tuples} == {"odd"}
    assert numbers_of(topology, "both") == [[0, 1, 2, 3, 4]]


def test_the_task_ids_of_an_emit_are_returned():
    class Asking(Spout):
        outputs = ["n"]
        answers = []

        def next_tuple(self):
            if len(self.answers) < 2:
                self.answers.append(self.emit([1], need_task_ids=True))

    class T(Topology):
        source = Asking.spec()
        bolt = SeeBolt.spec(inputs={source: Grouping.ALL}, par=2)

    topology, _ = start(T)
    topology.run_until_idle()
    assert Asking.answers == [[1, 2], [1, 2]]
    assert not topology.components("source")[0]._pending_task_ids


def test_a_spout_tuple_that_nobody_reads_is_acked():
    class T(Topology):
        source = NumberSpout.spec()

    topology, _ = start(T, **{"test.count": 3})
    topology.run_until_idle()
    assert topology.components("source")[0].acked == [0, 1, 2]
    assert topology.in_flight() == 0


def test_a_spout_tuple_without_id_is_not_tracked():
    class Careless(NumberSpout):
        def next_tuple(self):
            if self.todo:
                self.emit([self.todo.pop(0)])

    topology, _ = start(one_bolt(HoldBolt, spout=Careless), **{"test.count": 3})
    topology.run_until_idle()
    bolt = topology.components("bolt")[0]
    assert topology.in_flight() == 0
    for tup in bolt.tuples:
        bolt.fail(tup)
    topology.run_until_idle()
    assert topology.components("source")[0].failed == []


# -- ack trees


def test_a_tree_waits_for_its_last_leaf():
    class T(Topology):
        source = NumberSpout.spec()
        passing = PassBolt.spec(inputs=[source])
        bolt = HoldBolt.spec(inputs={passing: Grouping.ALL}, par=2)

    topology, _ = start(T, **{"test.count": 1})
    topology.run_until_idle()
    source, (one, other) = topology.components("source")[0], topology.components("bolt")
    one.ack(one.tuples[0])
    topology.run_until_idle()
    assert source.acked == []
    assert topology.in_flight() == 1
    other.ack(other.tuples[0])
    topology.run_until_idle()
    assert source.acked == [0]


def test_a_window_anchored_to_many_holds_them_all():
    class T(Topology):
        source = NumberSpout.spec()
        window = HoldBolt.spec(inputs=[source])
        bolt = HoldBolt.spec(inputs=[window])

    topology, _ = start(T, **{"test.count": 3})
    topology.run_until_idle()
    source, window = topology.components("source")[0], topology.components("window")[0]
    window.emit([7], anchors=[*window.tuples[:2], window.tuples[0]])
    for tup in window.tuples:
        window.ack(tup)
    topology.run_until_idle()
    assert source.acked == [2]
    bolt = topology.components("bolt")[0]
    bolt.fail(bolt.tuples[0])
    topology.run_until_idle()
    assert sorted(source.failed) == [0, 1]


@pytest.mark.parametrize("depth", [1, 2])
def test_what_fails_is_replayed_until_it_is_through(depth):
    """Every third tuple fails, in the first bolt or in one behind it."""

    class EveryThird(PassBolt):
        auto_ack = False
        count = 0

        def process(self, tup):
            type(self).count += 1
            if self.count % 3 == 0:
                self.fail(tup)
            else:
                self.emit([tup.values.n])
                self.ack(tup)

    class T(Topology):
        source = NumberSpout.spec()
        first = (EveryThird if depth == 1 else PassBolt).spec(inputs=[source])
        second = (EveryThird if depth == 2 else PassBolt).spec(inputs=[first])
        bolt = SeeBolt.spec(inputs=[second])

    topology, _ = start(T, **{"test.count": 50})
    topology.run_until_idle()
    source = topology.components("source")[0]
    assert len(source.failed) >= 16
    assert sorted(source.acked) == list(range(50))
    assert sorted(topology.components("bolt")[0].numbers) == list(range(50))
    assert topology.counters()["source"]["failed"] == len(source.failed)


def test_streamparse_own_reliable_spout_runs_too():
    """It gives up after three failures, which is why ours does not use it."""

    class Stubborn(ReliableSpout):
        outputs = ["n"]
        todo = [1]

        def next_tuple(self):
            if self.todo:
                self.emit([self.todo.pop()], tup_id="a")

    class Failing(SeeBolt):
        auto_ack = False

        def process(self, tup):
            super().process(tup)
            self.fail(tup)

    topology, _ = start(one_bolt(Failing, spout=Stubborn))
    topology.run_until_idle()
    assert numbers_of(topology) == [[1, 1, 1, 1]]
    assert topology.components("source")[0].unacked_tuples == {}


def test_a_tuple_that_nobody_finishes_times_out_by_the_clock():
    conf = {"test.count": 2, "topology.message.timeout.secs": 60}
    topology, clock = start(one_bolt(HoldBolt), **conf)
    topology.run_until_idle()
    source, bolt = topology.components("source")[0], topology.components("bolt")[0]
    assert topology.next_timer_ms() == 60_000
    clock.advance_to(59_999)
    topology.run_until_idle()
    assert source.failed == []
    clock.advance_to(60_000)
    topology.run_until_idle()
    assert source.failed == [0, 1]
    assert topology.counters()["source"]["timed_out"] == 2
    assert bolt.numbers == [0, 1, 0, 1]
    for tup in bolt.tuples:  # the late acks of the first attempt are of no matter
        bolt.ack(tup)
    topology.run_until_idle()
    assert source.acked == [0, 1]
    assert topology.next_timer_ms() is None


def test_message_timeouts_can_be_off():
    topology, clock = start(
        one_bolt(HoldBolt), **{"test.count": 1, "topology.enable.message.timeouts": False}
    )
    topology.run_until_idle()
    clock.advance_to(10**9)
    topology.run_until_idle()
    assert topology.components("source")[0].failed == []
    assert topology.next_timer_ms() is None


def test_no_more_than_max_spout_pending_are_in_flight():
    topology, _ = start(one_bolt(HoldBolt), **{"topology.max.spout.pending": 3})
    topology.run_until_idle()
    bolt = topology.components("bolt")[0]
    assert bolt.numbers == [0, 1, 2]
    assert topology.in_flight() == 3
    bolt.ack(bolt.tuples[1])
    topology.run_until_idle()
    assert bolt.numbers == [0, 1, 2, 3]


# -- ticks


class TickBolt(SeeBolt):
    def initialize(self, storm_conf, context):
        super().initialize(storm_conf, context)
        self.ticks = []

    def process_tick(self, tup):
        self.ticks.append(tup)


EVERY_TWO_SECONDS = {"topology.tick.tuple.freq.secs": 2}


def test_ticks_come_by_the_clock_and_once_after_a_jump():
    topology, clock = start(one_bolt(TickBolt, config=EVERY_TWO_SECONDS), **{"test.count": 0})
    bolt = topology.components("bolt")[0]
    seen = []
    for now_ms in [0, 1_999, 2_000, 3_999, 4_000, 11_000, 11_999, 12_000]:
        clock.advance_to(now_ms)
        topology.run_until_idle()
        seen.append(len(bolt.ticks))
    assert seen == [0, 0, 1, 1, 2, 3, 3, 4]
    assert topology.next_timer_ms() == 14_000
    tick = bolt.ticks[0]
    assert (tick.component, tick.stream, tick.task) == ("__system", "__tick", -1)
    assert tick.values == (2,)
    assert topology.counters()["bolt"] == dict.fromkeys(topology.counters()["bolt"], 0)


def test_the_topology_may_tick_all_bolts_and_no_spout():
    topology, clock = start(one_bolt(TickBolt, par=2), **EVERY_TWO_SECONDS)
    clock.advance_to(2_000)
    topology.run_until_idle()
    assert [len(bolt.ticks) for bolt in topology.components("bolt")] == [1, 1]


def test_what_a_tick_emits_is_not_tracked():
    class Loud(TickBolt):
        outputs = ["n"]

        def process_tick(self, tup):
            self.emit([1])

    class T(Topology):
        source = NumberSpout.spec()
        loud = Loud.spec(inputs=[source], config=EVERY_TWO_SECONDS)
        bolt = HoldBolt.spec(inputs=[loud])

    topology, clock = start(T, **{"test.count": 0})
    clock.advance_to(2_000)
    topology.run_until_idle()
    assert numbers_of(topology) == [[1]]
    assert topology.in_flight() == 0


def test_streamparse_own_batching_bolt_runs_too():
    class Sums(BatchingBolt):
        outputs = ["n"]
        ticks_between_batches = 0

        def process_batch(self, key, tups):
            self.emit([sum(tup.values.n for tup in tups)])

    class T(Topology):
        source = NumberSpout.spec()
        sums = Sums.spec(inputs=[source], config=EVERY_TWO_SECONDS)
        bolt = SeeBolt.spec(inputs=[sums])

    topology, clock = start(T, **{"test.count": 4})
    topology.run_until_idle()
    assert topology.in_flight() == 4
    clock.advance_to(2_000)
    topology.run_until_idle()
    assert numbers_of(topology) == [[6]]
    assert topology.in_flight() == 0


# -- what ends a Storm worker


def test_a_crash_fails_the_tuple_and_ends_the_topology(caplog):
    class Crashing(SeeBolt):
        def process(self, tup):
            raise RuntimeError("no such column")

    topology, _ = start(one_bolt(Crashing), **{"test.count": 2})
    with pytest.raises(TopologyDied, match="bolt: RuntimeError: no such column") as died:
        topology.run_until_idle()
    assert isinstance(died.value.cause, RuntimeError)
    assert topology.counters()["bolt"]["failed"] == 1
    assert "no such column" in caplog.text
    with pytest.raises(TopologyDied):
        topology.step()
    topology.stop()
    assert topology.components("source")[0].calls == ["activate"]


def test_a_component_may_choose_to_outlive_its_exceptions():
    class Tough(SeeBolt):
        exit_on_exception = False

        def process(self, tup):
            super().process(tup)
            if len(self.tuples) == 1:
                raise RuntimeError("once")

    topology, _ = start(one_bolt(Tough), **{"test.count": 2})
    topology.run_until_idle()
    assert topology.components("source")[0].failed == [0]
    assert sorted(topology.components("source")[0].acked) == [0, 1]


def _ack_twice(bolt, tup):
    bolt.ack(tup)
    bolt.ack(tup)


def _fail_after_ack(bolt, tup):
    bolt.ack(tup)
    bolt.fail(tup)


def _anchor_after_ack(bolt, tup):
    bolt.ack(tup)
    bolt.emit([1], anchors=[tup])


def _anchor_one_of_two_after_ack(bolt, tup):
    bolt.ack(tup)
    bolt.emit([1], anchors=[tup, tup])


def _ack_unknown(bolt, tup):
    bolt.ack("4711")


def _swallow(bolt, tup):
    try:
        bolt.ack("4711")
    except ProtocolViolation:
        bolt.ack(tup)


def _emit_direct(bolt, tup):
    bolt.emit([1], direct_task=1)


def _metric(bolt, tup):
    bolt.report_metric("rate", 1)


@pytest.mark.parametrize(
    "act",
    [
        _ack_twice,
        _fail_after_ack,
        _anchor_after_ack,
        _anchor_one_of_two_after_ack,
        _ack_unknown,
        _swallow,
        _emit_direct,
        _metric,
    ],
)
def test_what_storm_would_die_of_ends_the_topology(act):
    class Bad(HoldBolt):
        process = act

    topology, _ = start(one_bolt(Bad), **{"test.count": 1})
    with pytest.raises(TopologyDied) as died:
        topology.run_until_idle()
    assert died.value.component == "bolt"
    assert isinstance(died.value.cause, ProtocolViolation)


@pytest.mark.parametrize(
    "value",
    ["text", "Kühlschrank \U0001f9ca", "", 0, -(2**63), 2**63 - 1, True, 4.21, -18.5, 1e300, None],
)
def test_values_that_storm_accepts(value):
    class Emitting(PassBolt):
        def process(self, tup):
            self.emit([value])

    class T(Topology):
        source = NumberSpout.spec()
        emitting = Emitting.spec(inputs=[source])
        bolt = SeeBolt.spec(inputs=[emitting])

    topology, _ = start(T, **{"test.count": 1})
    topology.run_until_idle()
    assert numbers_of(topology) == [[value]]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["\ud800"], id="lone surrogate"),
        pytest.param([2**63], id="65 bits"),
        pytest.param([-(2**63) - 1], id="negative 65 bits"),
        pytest.param([0.1 + 0.2], id="a literal that becomes a BigDecimal"),
        pytest.param([float("nan")], id="NaN"),
        pytest.param([float("-inf")], id="infinity"),
        pytest.param([b"bytes"], id="bytes"),
        pytest.param([[1]], id="nested list"),
        pytest.param([{"a": 1}], id="dict"),
        pytest.param([(1,)], id="tuple"),
        pytest.param([{1}], id="set"),
        pytest.param([], id="too few values"),
        pytest.param([1, 2], id="too many values"),
    ],
)
@pytest.mark.parametrize("emitter", ["bolt", "spout"])
def test_values_that_storm_refuses(emitter, values):
    class BadBolt(PassBolt):
        def process(self, tup):
            self.emit(values)

    class BadSpout(NumberSpout):
        def next_tuple(self):
            self.emit(values, tup_id=1)

    if emitter == "bolt":
        topology, _ = start(one_bolt(BadBolt))
    else:
        topology, _ = start(one_bolt(SeeBolt, spout=BadSpout))
    with pytest.raises(TopologyDied) as died:
        topology.run_until_idle()
    assert died.value.component == {"bolt": "bolt", "spout": "source"}[emitter]
    assert isinstance(died.value.cause, (TypeError, ValueError, ProtocolViolation))


@pytest.mark.parametrize("tup_id", [1.5, True, ("a", 1), b"a", "\ud800", 2**63])
def test_ids_that_storm_refuses(tup_id):
    class BadSpout(NumberSpout):
        def next_tuple(self):
            self.emit([1], tup_id=tup_id)

    topology, _ = start(one_bolt(SeeBolt, spout=BadSpout))
    with pytest.raises(TopologyDied) as died:
        topology.step()
    assert isinstance(died.value.cause, (TypeError, ValueError))


def test_an_undeclared_stream_is_refused():
    class Bad(PassBolt):
        def process(self, tup):
            self.emit([1], stream="elsewhere")

    topology, _ = start(one_bolt(Bad))
    with pytest.raises(TopologyDied, match="stream elsewhere is not declared"):
        topology.run_until_idle()


def test_a_list_changed_after_its_emit_does_not_change_the_tuple():
    """Storm has serialised it by then."""

    class Reusing(PassBolt):
        def process(self, tup):
            values = [tup.values.n]
            self.emit(values)
            values[0] = -1

    class T(Topology):
        source = NumberSpout.spec()
        reusing = Reusing.spec(inputs=[source])
        bolt = SeeBolt.spec(inputs=[reusing])

    topology, _ = start(T, **{"test.count": 2})
    topology.run_until_idle()
    assert numbers_of(topology) == [[0, 1]]


def test_log_commands_go_to_python_logging(caplog):
    class Talking(SeeBolt):
        def process(self, tup):
            self.log("a shop is warm", level="warn")

    topology, _ = start(one_bolt(Talking), **{"test.count": 1})
    topology.run_until_idle()
    assert ("pystorm.component.bolt", logging.WARNING, "a shop is warm") in caplog.record_tuples


# -- running and stopping


def test_a_quiet_spout_is_asked_seldom_while_another_works():
    """It may block in its poll; it is asked before the runner is idle, and soon anyway."""

    class QuietSpout(NumberSpout):
        asked = 0

        def next_tuple(self):
            self.asked += 1

    class T(Topology):
        quiet = QuietSpout.spec()
        source = NumberSpout.spec()
        bolt = SeeBolt.spec(inputs=[quiet, source])

    topology, _ = start(T, **{"test.count": 160})
    (quiet,) = topology.components("quiet")
    topology.run_until_idle()
    assert len(numbers_of(topology)[0]) == 160
    assert 10 <= quiet.asked <= 15
    asked = quiet.asked
    topology.step()
    assert quiet.asked == asked + 1


def test_an_idle_runner_waits_and_a_busy_one_does_not():
    topology, _ = start(one_bolt(SeeBolt), **{"test.count": 3})
    source, waits = topology.components("source")[0], []

    def wait():
        waits.append(list(source.acked))

    topology.run(lambda: len(waits) == 2, wait)
    assert waits == [[0, 1, 2], [0, 1, 2]]


def test_stop_delivers_what_is_queued_then_deactivates():
    topology, _ = start(one_bolt(SeeBolt))
    topology.step()
    source = topology.components("source")[0]
    assert (source.acked, topology.in_flight()) == ([], 1)
    topology.stop()
    assert source.calls == ["activate", "deactivate"]
    assert source.acked == [0]
    assert numbers_of(topology) == [[0]]


def test_stop_ends_although_a_spout_answers_every_failure_with_an_emit():
    class Eager(NumberSpout):
        def fail(self, tup_id):
            self.emit([tup_id], tup_id=tup_id)

    class Failing(SeeBolt):
        auto_ack = False

        def process(self, tup):
            self.fail(tup)

    topology, _ = start(one_bolt(Failing, spout=Eager))
    topology.step()
    topology.stop()
    assert topology.components("source")[0].calls == ["activate", "deactivate"]
