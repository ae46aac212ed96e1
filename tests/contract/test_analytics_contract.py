"""What every Analytics promises: an event is there once under its id, or it is said why not."""

import json
import math

import pytest

from qold.adapters.analytics.file import FileAnalytics
from qold.adapters.analytics.http import HttpAnalytics
from qold.domain.model import Alert
from qold.ports import Rejected, Unavailable
from qold.records import to_builtins
from tests.support.services import away, impatient, patient

ALERT = to_builtins(Alert("a1", "temperature.high", "device:7", 2_000, 1_000, value=9.5, limit=8.0))


class File:
    def __init__(self, tmp_path):
        self.path = tmp_path / "analytics.jsonl"
        self.analytics = FileAnalytics(self.path)

    def events(self, collection):
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        rows = map(json.loads, lines)
        return [row["event"] for row in rows if row["collection"] == collection]


class Keen:
    def __init__(self, stand_in):
        self.stand_in = stand_in
        self.analytics = HttpAnalytics(patient(stand_in))

    def events(self, collection):
        return list(self.stand_in.handed.events.get(collection, {}).values())


@pytest.fixture(params=["file", "http"])
def site(request, tmp_path, stand_in):
    site = File(tmp_path) if request.param == "file" else Keen(stand_in)
    yield site
    site.analytics.close()


def test_events_are_kept_whole_in_order_and_by_collection(site):
    site.analytics.ping()
    second = {"id": "a2", "text": "ã€\n", "nested": {"list": [1, None, 0.5]}}
    site.analytics.record("alerts", [ALERT, second])
    site.analytics.record("other events/é", [second])
    site.analytics.record("alerts", [])
    assert site.events("alerts") == [ALERT, second]
    assert site.events("other events/é") == [second]


def test_the_same_id_again_is_the_same_event(site):
    for event in (ALERT, ALERT, {**ALERT, "value": 10.0}):
        site.analytics.record("alerts", [event, event])
    site.analytics.close()
    site.analytics.record("alerts", [ALERT, {"id": "a2"}])
    assert site.events("alerts") == [ALERT, {"id": "a2"}]


@pytest.mark.parametrize(
    "event",
    [{}, {"id": ""}, {"id": None}, {"id": "x", "value": math.nan}, {"id": "x", "value": math.inf},
     {"id": "x", "value": object()}, {"id": "x", "value": {1, 2}}, {"id": "x", "bytes": b""}],
)  # fmt: skip
def test_what_is_no_event_is_rejected_before_anything_is_recorded(site, event):
    with pytest.raises(Rejected):
        site.analytics.record("alerts", [ALERT, event])
    assert site.events("alerts") == []


def test_events_of_a_file_outlive_the_process(tmp_path):
    File(tmp_path).analytics.record("alerts", [ALERT])
    again = File(tmp_path)
    again.analytics.record("alerts", [ALERT])
    assert again.events("alerts") == [ALERT]


@pytest.mark.parametrize(("way", "how"), away())
def test_keen_away_is_unavailable_and_nothing_is_recorded_twice(stand_in, way, how):
    analytics = HttpAnalytics(impatient(stand_in))
    stand_in.behave("keen", way, **how)
    with pytest.raises(Unavailable):
        analytics.record("alerts", [ALERT, {"id": "a2"}])
    assert stand_in.requests == 1, "the adapter tried again by itself"
    stand_in.behave("keen", "well")
    HttpAnalytics(patient(stand_in)).record("alerts", [ALERT, {"id": "a2"}])
    assert list(stand_in.handed.events["alerts"].values()) == [ALERT, {"id": "a2"}]


def test_a_failure_in_the_middle_is_made_good_by_the_same_call(stand_in):
    analytics = HttpAnalytics(patient(stand_in))
    events = [{"id": f"a{n}"} for n in range(5)]
    analytics.record("alerts", events[:3])
    stand_in.behave("keen", "status", status=503, times=1)
    with pytest.raises(Unavailable):
        analytics.record("alerts", events)
    analytics.record("alerts", events)
    assert list(stand_in.handed.events["alerts"].values()) == events


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_what_keen_refuses_is_rejected(stand_in, status):
    stand_in.behave("keen", "status", status=status)
    with pytest.raises(Rejected) as refusal:
        HttpAnalytics(patient(stand_in)).record("alerts", [ALERT])
    assert refusal.value.reason == f"http-{status}"


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_no_event_is_lost_to_a_wrong_address_or_key(stand_in, status):
    stand_in.behave("keen", "status", status=status)
    with pytest.raises(Unavailable):
        HttpAnalytics(patient(stand_in)).record("alerts", [ALERT])


def test_a_slow_keen_and_a_closed_port(stand_in):
    analytics = HttpAnalytics(patient(stand_in))
    stand_in.behave("keen", "slow")
    analytics.record("alerts", [ALERT, {"id": "a2"}])
    stand_in.stop()
    with pytest.raises(Unavailable):
        analytics.record("alerts", [ALERT])
    stand_in.start()
    analytics.record("alerts", [ALERT])


def test_many_slow_events_do_not_add_up_beyond_one_call(stand_in):
    stand_in.behave("keen", "slow", seconds=0.1)
    with pytest.raises(Unavailable):
        HttpAnalytics(impatient(stand_in, connect_s=0.2)).record(
            "alerts", [{"id": str(n)} for n in range(10_000)]
        )
