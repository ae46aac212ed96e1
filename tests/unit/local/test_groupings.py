import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamparse import Grouping

from local.groupings import chooser, stable_hash

FIELDS = ["device_shard", "rows"]
TASKS = [7, 5, 6]

values = st.lists(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()), max_size=4
)


@pytest.mark.parametrize("grouping", [Grouping.SHUFFLE, Grouping.NONE, Grouping.LOCAL_OR_SHUFFLE])
def test_shuffle_gives_every_task_the_same_share(grouping):
    choose = chooser(grouping, FIELDS, TASKS)
    assert Counter(choose((0, "")) for _ in range(30)) == {(5,): 10, (6,): 10, (7,): 10}


def test_all_reaches_every_task():
    assert chooser(Grouping.ALL, FIELDS, TASKS)((1, "")) == (5, 6, 7)


def test_global_reaches_the_lowest_task():
    assert chooser(Grouping.GLOBAL, FIELDS, TASKS)((1, "")) == (5,)


def test_neighbouring_shards_are_spread_evenly():
    """Two shards per task must not meet at one task by the luck of a hash."""
    choose = chooser(Grouping.fields("device_shard"), FIELDS, TASKS)
    assert Counter(choose((shard, "")) for shard in range(6)) == {(5,): 2, (6,): 2, (7,): 2}


@given(shard=st.integers(), one=st.text(), other=st.text())
def test_fields_grouping_looks_at_its_fields_only(shard, one, other):
    choose = chooser(Grouping.fields("device_shard"), FIELDS, TASKS)
    assert choose((shard, one)) == choose((shard, other))


@given(row=st.text(), shard=st.integers(), shuffled=st.permutations(TASKS))
def test_fields_grouping_does_not_depend_on_the_order_of_the_tasks(row, shard, shuffled):
    grouping = Grouping.fields("rows", "device_shard")
    choose, other = chooser(grouping, FIELDS, TASKS), chooser(grouping, FIELDS, shuffled)
    assert choose((shard, row)) == other((shard, row))


@given(values)
def test_equal_values_have_equal_hashes(row):
    assert stable_hash(row) == stable_hash(list(row))


def test_the_hash_is_the_same_in_another_process():
    """Python's own hash of a string is salted per process."""
    row = ["device:123", 4.21, None, True, 2**62, "Kühlschrank"]
    code = f"from local.groupings import stable_hash; print(stable_hash({row!r}))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": "1"},
    )
    assert int(other.stdout) == stable_hash(row)


@pytest.mark.parametrize(
    "grouping", [Grouping.DIRECT, Grouping.custom_object("org.example.Mine", [1])]
)
def test_what_only_storm_could_do_is_refused(grouping):
    with pytest.raises(ValueError, match=r"direct|Java"):
        chooser(grouping, FIELDS, TASKS)
