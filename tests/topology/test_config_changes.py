"""Records on `config` that are no change of the registry, in each topology that follows it."""

import pytest

from tests.support.pipeline import NOW_S, Site

CHANGE = b'{"v":1,"resource":"device","id":1,"time":%d}' % NOW_S


@pytest.mark.parametrize("name", ["authentication", "thresholds"])
def test_what_is_no_change_is_one_dead_letter_and_a_tombstone_is_none(tmp_path, name):
    """Tried: cut off, a newer version, too large, empty; a change before and behind them."""
    site = Site(tmp_path)
    site.log.reader(f"{name}.config_changes", "config", [0]).commit({0: 0})
    values = [CHANGE, b'{"v":1', b'{"v":2,"kind":"new"}', bytes(5 * 2**20), b"", CHANGE]
    site.log.append("config", [("device:1", value) for value in values])
    topology = site.topology(name)
    site.run(topology)
    topology.stop()
    letters = [(r["source"], r["reason"], r["topology"]) for r in site.records("config.dlq")]
    assert letters == [
        ("config:0:1", "malformed", name),
        ("config:0:2", "newer-version", name),
        ("config:0:3", "oversized", name),
    ]
    assert site.lag(f"{name}.config_changes", "config") == 0
