"""`./qold query` reads KairosDB as it reads an embedded store: values, buckets, refusals."""

import json

import pytest

from qold import wiring
from qold.clock import SystemClock
from qold.ports import METRICS, Point
from qold.settings import Settings
from tests.support.commands import json_lines, qold
from tests.support.processes import wait_until

HOUR_S = 3600
START_S = 1_795_456_000 // HOUR_S * HOUR_S
DEVICE = 5000  # which no other test of this group writes
TEMPERATURES = [4.21, 4.33, -18.5, 0.0, 7.75]


@pytest.fixture
def stores(nginx, servers, tmp_path):
    """URLs of an embedded store and of KairosDB, which hold the same of a device."""
    urls = {"sqlite": "sqlite:readings.db", "kairosdb": nginx.readings_url}
    certificates = tmp_path / "secrets" / "certificates"
    certificates.parent.mkdir(mode=0o700)
    certificates.symlink_to(servers.place.authority.folder)
    points = {
        "Temperature": [
            Point(DEVICE, (START_S + n * HOUR_S // 2) * 1000, value)
            for n, value in enumerate(TEMPERATURES)
        ],
        "Battery": [Point(DEVICE, (START_S + n * HOUR_S) * 1000, 90 - n) for n in range(4)],
    }
    for url in urls.values():
        settings = Settings.load(tmp_path, {"QOLD_READINGS_URL": url})
        store = wiring.reading_store(settings, SystemClock())
        for metric in METRICS:
            store.write(metric, points[metric])
            wait_until(
                lambda store=store, metric=metric: (
                    store.query(metric, DEVICE, 0, 2**53) == points[metric]
                ),
                f"{url} shows what was written",
            )
        store.close()
    return urls


@pytest.fixture
def query(stores, tmp_path):
    qold("device", "create", "--count", DEVICE, "--state", tmp_path)

    def query(kind, *words, code=0):
        return qold("query", *words, "--state", tmp_path, code=code, QOLD_READINGS_URL=stores[kind])

    return query


WORDS = {
    "all": (),
    "battery": ("--metric", "battery"),
    "a range": ("--from", START_S + 1800, "--to", START_S + 2 * HOUR_S),
    "hours": ("--agg", "1h:avg"),
    "half hours from within one": ("--from", START_S + 60, "--agg", "1h:max"),
    "a day": ("--agg", "1d:min"),
    "the sum of the battery": ("--metric", "battery", "--agg", "2h:sum"),
    "how many": ("--agg", "1h:count"),
    "first": ("--agg", "1h:first"),
    "last": ("--agg", "1h:last"),
    "nothing": ("--from", START_S + 10**6),
}


def test_both_stores_answer_alike(query):
    for name, words in WORDS.items():
        embedded, real = (
            json_lines(query(kind, DEVICE, *words, "--format", "json").stdout)
            for kind in ("sqlite", "kairosdb")
        )
        assert real == embedded, name
        assert json.dumps(real) == json.dumps(embedded), name
        assert bool(real) != (name == "nothing"), name


def test_a_store_that_is_away_is_said_with_exit_code_1(query, stores):
    stores["kairosdb"] = "kairosdb+https://127.0.0.1:1"
    done = query("kairosdb", DEVICE, code=1)
    assert (done.stdout, "127.0.0.1:1" in done.stderr) == ("", True)


def test_a_certificate_that_may_not_is_said_with_exit_code_1(query, stores, servers):
    servers.place.authority.certificate("gateway-9", unit="gateways")
    stores["kairosdb"] = stores["kairosdb"].replace("https://", "https://gateway-9@")
    assert "not with this certificate" in query("kairosdb", DEVICE, code=1).stderr
