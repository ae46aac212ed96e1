"""What every LegacyApi promises: one request a reading, refused or away, never a second try."""

import json

import pytest

from qold.adapters.legacy.http import HttpLegacyApi
from qold.adapters.legacy.none import NoLegacyApi
from qold.ports import Rejected, Unavailable
from qold.settings import Settings
from tests.support.services import away, impatient, patient

BODY = Settings(state_dir="/var/lib/qold").legacy_body
READING = {"id": "123", "temperature": "4.21", "battery": "88", "t": "1795456000"}


class Nothing:
    def __init__(self):
        self.api = NoLegacyApi()

    def posted(self):
        return self.api.posted


class HwApi:
    def __init__(self, stand_in):
        self.stand_in = stand_in
        self.api = HttpLegacyApi(patient(stand_in, "/readings"), BODY)

    def posted(self):
        return len(self.stand_in.handed.readings)


@pytest.fixture(params=["none", "http"])
def site(request, stand_in):
    site = Nothing() if request.param == "none" else HwApi(stand_in)
    yield site
    site.api.close()


def test_every_reading_is_posted_repeats_as_well(site):
    site.api.ping()
    for _ in range(3):
        site.api.post(READING)
    site.api.close()
    site.api.post(READING)
    assert site.posted() == 4


def test_readings_arrive_as_they_are_and_in_order_over_one_connection(stand_in):
    api = HttpLegacyApi(patient(stand_in, "/readings"), BODY)
    readings = [{**READING, "t": str(n), "temperature": f"-{n}.5"} for n in range(50)]
    for reading in readings:
        api.post(reading)
    assert list(stand_in.handed.readings) == readings
    assert stand_in.connections == 1


@pytest.mark.parametrize("value", ['"', "\\", 'x","id":"9', "\n", "€", "$t", "${id}", "%s", ""])
def test_no_value_changes_the_shape_of_the_body(stand_in, value):
    reading = {**READING, "id": value}
    HttpLegacyApi(patient(stand_in, "/readings"), BODY).post(reading)
    assert list(stand_in.handed.readings) == [reading]


def test_the_body_is_a_template(stand_in):
    stand_in.behave("qold-hw-api", "status", status=204)
    body = '{"readings": [{"device": "fridge-$id", "c": "$temperature", "price": "$$1"}]}'
    service = patient(stand_in, "/readings")
    HttpLegacyApi(service, body).post(READING)
    assert json.loads(stand_in.body) == {
        "readings": [{"device": "fridge-123", "c": "4.21", "price": "$1"}]
    }


@pytest.mark.parametrize("body", ["", "id=$id", '{"id":$id', '{"id":"$device"}', '{"id":"$"}'])
def test_a_template_that_makes_no_json_is_refused_at_once(stand_in, body):
    with pytest.raises(ValueError, match="not JSON with id, temperature, battery, t"):
        HttpLegacyApi(patient(stand_in), body)


@pytest.mark.parametrize(("way", "how"), away())
def test_away_is_unavailable_and_at_most_one_request_is_doubled(stand_in, way, how):
    stand_in.behave("qold-hw-api", way, **how)
    with pytest.raises(Unavailable):
        HttpLegacyApi(impatient(stand_in, "/readings"), BODY).post(READING)
    assert stand_in.requests == 1, "the adapter tried again by itself"
    stand_in.behave("qold-hw-api", "well")
    HttpLegacyApi(patient(stand_in, "/readings"), BODY).post(READING)
    taken = way in ("silent", "cut", "trickle", "trickle-body")
    assert len(stand_in.handed.readings) == 1 + taken
    assert stand_in.handed.repeats["qold-hw-api"] == taken


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422, 451, 499])
def test_4xx_is_rejected_with_its_words(stand_in, status):
    stand_in.behave("qold-hw-api", "status", status=status)
    with pytest.raises(Rejected, match="told to") as refusal:
        HttpLegacyApi(patient(stand_in, "/readings"), BODY).post(READING)
    assert refusal.value.reason == f"http-{status}"


def test_a_slow_api_and_a_closed_port(stand_in):
    api = HttpLegacyApi(patient(stand_in, "/readings"), BODY)
    stand_in.behave("qold-hw-api", "slow")
    api.post(READING)
    stand_in.stop()
    for call in (api.ping, lambda: api.post(READING)):
        with pytest.raises(Unavailable):
            call()
    stand_in.start()
    api.post(READING)
    assert len(stand_in.handed.readings) == 2


def test_the_credential_is_sent_and_never_told(stand_in, tmp_path):
    """Neither the error of a refusal, nor of an absence, holds it, even where the service echoes it."""
    file = tmp_path / "qold-hw-api.credential"
    file.write_text("Bearer s3cret-t0ken\n")
    service = patient(stand_in, "/readings", credential=file)
    api = HttpLegacyApi(service, BODY)
    api.post(READING)
    assert stand_in.authorization == "Bearer s3cret-t0ken"
    echo = "you sent Bearer s3cret-t0ken"
    head = f"HTTP/1.1 400 Bad\r\nContent-Length: {len(echo)}\r\n\r\n"
    stand_in.behave("qold-hw-api", "garbage", content=head + echo)
    with pytest.raises(Rejected, match="you sent") as refusal:
        api.post(READING)
    stand_in.behave("qold-hw-api", "refuse")
    with pytest.raises(Unavailable) as absence:
        api.post(READING)
    for error in (refusal.value, absence.value):
        assert "s3cret" not in str(error)
