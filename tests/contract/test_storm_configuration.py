"""What `./qold up` tells Storm, and docs/operations.md whoever sets up a cluster."""

import json
import re
from pathlib import Path

import pytest

from local.services import storm
from local.services.place import Place

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "supervisor.worker.timeout.secs",
    "supervisor.worker.start.timeout.secs",
    "nimbus.task.timeout.secs",
    "nimbus.task.launch.secs",
)
RESTARTED_S = 300  # source 8.2.2.6


def ours(folder):
    place = Place(folder)
    storm.home_folder(place).mkdir(parents=True)
    storm.configure_node(place, 2)
    return json.loads((storm.conf_folder(place, 2) / "storm.yaml").read_text("ascii"))


def documented():
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    return {name: int(re.search(rf"{re.escape(name)}: (\d+)", text)[1]) for name in NAMES}


@pytest.mark.parametrize("which", ["ours", "documented"])
def test_nimbus_moves_nothing_that_a_supervisor_is_starting_again(tmp_path, which):
    """Both at once left a worker behind that nobody knew, on the port that its successor wanted."""
    found = ours(tmp_path) if which == "ours" else documented()
    silent_s, start_s, lost_s, launch_s = (found[name] for name in NAMES)
    assert silent_s + 60 < lost_s < RESTARTED_S
    assert start_s < RESTARTED_S < launch_s
