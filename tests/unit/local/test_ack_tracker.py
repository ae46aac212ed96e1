"""Ack trees against a naive model that keeps every tuple of every tree."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from local.ack_tracker import AckTracker, Root

TIMEOUT_MS = 1000


def test_a_tree_is_done_when_its_last_tuple_is():
    tracker = AckTracker(TIMEOUT_MS)
    root = tracker.open(1, "m", 1, now_ms=0)
    child = tracker.anchor((root,), 2)
    assert tracker.ack((root,)) == []
    assert tracker.ack(child) == []
    assert tracker.ack(child) == [root]
    assert len(tracker) == 0


def test_a_tree_of_no_tuples_is_done_at_once():
    tracker = AckTracker(TIMEOUT_MS)
    assert not tracker.open(1, "m", 0, now_ms=0).is_open
    assert len(tracker) == 0


def test_one_failed_tuple_fails_the_tree_and_the_rest_of_it_no_longer_counts():
    tracker = AckTracker(TIMEOUT_MS)
    root = tracker.open(1, "m", 3, now_ms=0)
    assert tracker.fail((root,)) == [root]
    assert tracker.fail((root,)) == []
    assert tracker.ack((root,)) == []
    assert tracker.anchor((root,), 1) == ()
    assert len(tracker) == 0


def test_a_tuple_anchored_to_two_trees_holds_both():
    tracker = AckTracker(TIMEOUT_MS)
    one, other = tracker.open(1, "a", 1, now_ms=0), tracker.open(1, "b", 1, now_ms=0)
    joined = tracker.anchor((one, other), 1)
    assert tracker.ack((one,)) == []
    assert tracker.ack((other,)) == []
    assert tracker.ack(joined) == [one, other]


@pytest.mark.parametrize(("now_ms", "expired"), [(999, []), (1000, ["a"]), (1500, ["a", "b"])])
def test_the_message_timeout_counts_from_the_emit(now_ms, expired):
    tracker = AckTracker(TIMEOUT_MS)
    tracker.open(1, "a", 1, now_ms=0)
    tracker.open(1, "b", 1, now_ms=500)
    assert tracker.next_expiry_ms() == 1000
    assert [root.message_id for root in tracker.expire(now_ms)] == expired
    assert len(tracker) == 2 - len(expired)


def test_without_a_timeout_nothing_expires():
    tracker = AckTracker(None)
    tracker.open(1, "a", 1, now_ms=0)
    assert tracker.next_expiry_ms() is None
    assert tracker.expire(10**12) == []


@dataclass(eq=False)
class ModelTree:
    root: Root
    expires_at_ms: int
    open_tuples: set[int] = field(default_factory=set)
    outcome: str = ""


@dataclass(eq=False)
class ModelTuple:
    number: int
    trees: list[ModelTree]
    roots: tuple[Root, ...]


class AckTrees(RuleBasedStateMachine):
    """Storm in slow motion: bolts emit, ack and fail the tuples they hold, in any order."""

    def __init__(self):
        super().__init__()
        self.tracker = AckTracker(TIMEOUT_MS)
        self.now_ms = 0
        self.trees: list[ModelTree] = []
        self.held: list[ModelTuple] = []
        self.numbers = 0

    def hold(self, trees, roots, copies):
        for _ in range(copies):
            self.numbers += 1
            self.held.append(ModelTuple(self.numbers, trees, roots))
            for tree in trees:
                tree.open_tuples.add(self.numbers)

    def close(self, trees, outcome):
        for tree in trees:
            tree.outcome = outcome
        return [tree.root for tree in trees]

    @rule(copies=st.integers(0, 3))
    def spout_emits(self, copies):
        root = self.tracker.open(1, len(self.trees), copies, self.now_ms)
        tree = ModelTree(root, self.now_ms + TIMEOUT_MS)
        self.trees.append(tree)
        self.hold([tree], (root,), copies)
        if not copies:
            self.close([tree], "acked")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), copies=st.integers(0, 3))
    def bolt_emits(self, data, copies):
        picks = data.draw(st.sets(st.integers(0, len(self.held) - 1), min_size=1, max_size=3))
        anchors = [self.held[pick] for pick in sorted(picks)]
        roots = list(dict.fromkeys(root for anchor in anchors for root in anchor.roots))
        trees = list(dict.fromkeys(tree for anchor in anchors for tree in anchor.trees))
        open_trees = [tree for tree in trees if not tree.outcome]
        still_open = self.tracker.anchor(roots, copies)
        assert set(still_open) == {tree.root for tree in open_trees}
        self.hold(open_trees, still_open, copies)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def bolt_acks(self, data):
        held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        for tree in held.trees:
            tree.open_tuples.discard(held.number)
        done = [tree for tree in held.trees if not tree.outcome and not tree.open_tuples]
        assert self.tracker.ack(held.roots) == self.close(done, "acked")

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def bolt_fails(self, data):
        held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        failed = [tree for tree in held.trees if not tree.outcome]
        assert self.tracker.fail(held.roots) == self.close(failed, "failed")

    @rule(elapsed_ms=st.integers(0, 700))
    def time_passes(self, elapsed_ms):
        self.now_ms += elapsed_ms
        late = [t for t in self.trees if not t.outcome and t.expires_at_ms <= self.now_ms]
        assert self.tracker.expire(self.now_ms) == self.close(late, "timed out")

    @invariant()
    def only_open_trees_are_kept(self):
        open_trees = [tree for tree in self.trees if not tree.outcome]
        assert len(self.tracker) == len(open_trees)
        assert self.tracker.next_expiry_ms() == min(
            (tree.expires_at_ms for tree in open_trees), default=None
        )


TestAckTrees = AckTrees.TestCase
TestAckTrees.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
