"""The stand-in services as a process of their own: handed things, told to misbehave, asked."""

import json
import re
import signal
import subprocess
import sys

import pytest
import requests

from local.services.server import CONTROL


@pytest.fixture
def services():
    """The URL of the stand-in, started as a command; Ctrl-C ends it with 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.services"], stderr=subprocess.PIPE, text=True
    )
    with process:
        yield re.search(r"http://\S+", process.stderr.readline())[0]
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0


SMS = {"id": "a1", "to": "+351911111111", "message": "hello"}
READING = {"id": "1", "temperature": "4.2", "battery": "88", "t": "1"}


def test_what_is_handed_over_is_told_to_other_processes(services):
    with requests.Session() as session:
        for _ in range(2):
            assert session.post(f"{services}/sms", json=SMS).status_code == 200
            assert session.post(f"{services}/events/alerts", json={"id": "e1"}).status_code == 201
            assert session.post(f"{services}/readings", json=READING).status_code == 201
        told = {"service": "qold-sms", "way": "status", "status": 503, "times": 1}
        assert session.post(services + CONTROL, json=told).status_code == 200
        answers = [session.post(f"{services}/sms", json=SMS).status_code for _ in range(2)]
        assert answers == [503, 200]
        assert session.get(services + CONTROL).json() == {
            "sms": [SMS],
            "events": {"alerts": [{"id": "e1"}]},
            "readings": 2,
            "repeats": {"qold-sms": 2, "keen": 1, "qold-hw-api": 1},
        }


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/sms", {**SMS, "to": "911"}), ("/sms", {**SMS, "id": ""}), ("/sms", {**SMS, "message": 1}),
        ("/sms", []), ("/sms", "{"), ("/events/alerts", {}), ("/events/alerts", {"id": 7}),
        ("/readings", {**READING, "t": 1}), ("/readings", {**READING, "token": "x"}), ("/readings", {}),
        (CONTROL, {"service": "qold-sms", "way": "politely"}), (CONTROL, {"service": "pigeon"}),
        (CONTROL, {"service": "keen", "way": "slow", "colour": "red"}), (CONTROL, []), (CONTROL, "["),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_refused(stand_in, path, content):
    body = content if isinstance(content, str) else json.dumps(content)
    with requests.post(f"http://{stand_in.netloc}{path}", data=body, timeout=9) as answer:
        assert answer.status_code == 400
    assert (stand_in.handed.sms, stand_in.handed.events, len(stand_in.handed.readings)) == (
        {},
        {},
        0,
    )
