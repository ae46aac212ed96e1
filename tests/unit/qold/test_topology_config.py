"""Settings travel with a topology from the machine where it is submitted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qold.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json
from qold.topology_config import ORDERED, UNORDERED
ours = [{k: v for k, v in c.items() if k.startswith("qold.")} for c in (ORDERED, UNORDERED)]
print(json.dumps(ours))
"""


def submitted(**environ):
    """What a topology carries when `sparse` imports it; exit code and what went wrong."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QOLD_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**kept, "PYTHONPATH": f"{ROOT}/src", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout or "null"), done.stderr


def test_settings_of_the_state_folder_travel_with_the_topology(tmp_path):
    (tmp_path / "qold.toml").write_text('shards = 7\nlog_url = "sqlite:/data/log.db"\n', "utf-8")
    for conf in submitted(QOLD_STATE=str(tmp_path), QOLD_PARTITIONS="3")[0]:
        settings = Settings.from_storm_conf(conf)
        assert settings.state_dir == str(tmp_path)
        assert (settings.shards, settings.partitions) == (7, 3)
        assert settings.log_url == "sqlite:/data/log.db"


def test_without_a_state_folder_a_component_says_what_to_do():
    assert submitted()[0] == [{}, {}]
    with pytest.raises(SettingsError, match="QOLD_STATE"):
        Settings.from_storm_conf({"topology.name": "raw"})


def test_bad_settings_stop_the_submission(tmp_path):
    (tmp_path / "qold.toml").write_text("shards = -1\nshardz = 1\n", "utf-8")
    conf, said = submitted(QOLD_STATE=str(tmp_path))
    assert conf is None
    assert "shards: -1 is less than 0" in said
    assert "shardz: no such setting" in said
