"""Tests on Storm compare alerts with a run in one process: repeated records must not blur it."""

from qold.settings import Settings
from tests.support.storm_site import StormSite, read_all


def test_readings_that_came_twice_change_no_alert(tmp_path):
    settings = Settings.load(tmp_path / "site", {"QOLD_POLL_WAIT_MS": "0"})
    site = StormSite(settings, seed=7)
    for _ in range(2):
        site.send(reports=40)
        read_all("authentication", settings, site.clock)
        again = [(each.key, each.value) for each in site.stored(settings.readings_topic)]
        site.log.append(settings.readings_topic, again)
    for name in ("raw", "thresholds"):
        read_all(name, settings, site.clock)
    expected = site.alerts_in_one_process(tmp_path / "reference")
    assert site.alerts() == expected
    assert expected
