"""A short soak: every topology on Storm, under traffic, while what they stand on is killed or attacked.

A few faults of each kind. `./qold soak` runs all of them; docs/faults.md has its last long run with its date.
"""

import json
import subprocess

import pytest

from tests.support.commands import command_line, environment
from tests.support.servers import needs_storm

FAULTS = (
    "redis-empty",
    "bolt-kill",
    "worker-kill",
    "everything",
    "poison",
    "flood",
)
MOST_S = 2700

pytestmark = [
    needs_storm,
    pytest.mark.timeout(MOST_S + 300),
    pytest.mark.flaky(reruns=0),  # it takes ten minutes, and a second try would take as long
]


def test_one_round_of_faults_loses_nothing_and_doubles_nothing(tmp_path):
    words = ("--rounds", "1", "--seed", "1", "--rate", "60", "--faults", ",".join(FAULTS))
    done = subprocess.run(
        command_line("soak", *words, "--state", tmp_path / "soak", "--json"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        timeout=MOST_S,
        check=False,
    )
    outcome = json.loads(done.stdout)
    assert (outcome["exact"], outcome["met"], done.returncode) == (True, True, 0), outcome
    assert sorted(each["fault"] for each in outcome["injections"]) == sorted(FAULTS)
    assert outcome["sent"] > 0
    assert outcome["findings"]["refused"] > 0
    assert outcome["findings"]["alerts"] > 0
    attacks = {each["fault"]: each["figures"] for each in outcome["injections"] if each["figures"]}
    assert attacks.keys() == {"poison", "flood"}
    assert attacks["poison"]["taken"] > 0
    assert attacks["poison"]["refused"] > 0
    assert outcome["findings"]["hostile"]["over-budget"] > 0
