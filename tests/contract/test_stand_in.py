"""The stand-in services as a process of their own: handed things, told to misbehave, attacked."""

import json
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from local.services.server import CONTROL, MAX_CONNECTIONS
from tests.support.doors import loopback_ports
from tests.support.processes import wait_until


@pytest.fixture
def services():
    """The URL of the stand-in, started as a command; Ctrl-C ends it with 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.services"], stderr=subprocess.PIPE, text=True
    )
    with process:
        url = re.search(r"http://\S+", process.stderr.readline())[0]
        assert loopback_ports(process.pid) == {int(url.rpartition(":")[2])}
        yield url
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
        (CONTROL, '"way"'), pytest.param(CONTROL, "[" * 900_000, id="deep control"), (CONTROL, {"service": [], "way": "slow"}),
        (CONTROL, {"service": "keen"}), (CONTROL, {"service": "keen", "way": ["slow"]}),
        (CONTROL, {"service": "keen", "way": "slow", "seconds": "x"}),
        (CONTROL, {"service": "keen", "way": "slow", "seconds": 1e300}),
        (CONTROL, '{"service": "keen", "way": "slow", "seconds": NaN}'),
        (CONTROL, {"service": "keen", "way": "status", "status": "200 OK\r\nX-Y: z"}),
        (CONTROL, {"service": "keen", "way": "status", "location": "/\r\nX-Y: z"}),
        (CONTROL, {"service": "keen", "way": "status", "status": True}),
        (CONTROL, {"service": "keen", "way": "slow", "times": -1}), pytest.param("/readings", "[" * 900_000, id="deep"),
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


FOREIGN = {
    "another Host": ({"Host": "evil.example"}, 421),
    "a Host that begins like ours": ({"Host": "127.0.0.1.evil.example:80"}, 421),
    "no Host": ({"Host": ""}, 421),
    "a page's Origin": ({"Origin": "http://evil.example"}, 403),
    "a page without Origin": ({"Origin": "null"}, 403),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_no_web_page_is_served(stand_in, kind):
    """With the content type for which a browser asks nothing before it sends."""
    headers, status = FOREIGN[kind]
    url, told = f"http://{stand_in.netloc}", {"service": "qold-sms", "way": "hang"}
    headers = {"Content-Type": "text/plain", **headers}
    for method, path, content in (
        ("POST", CONTROL, told), ("POST", "/sms", SMS), ("POST", "/readings", READING),
        ("GET", CONTROL, None), ("GET", f"{CONTROL}/readings", None), ("GET", "/devices/1", None),
    ):  # fmt: skip
        body = content and json.dumps(content)
        with requests.request(method, url + path, data=body, headers=headers, timeout=9) as answer:
            assert answer.status_code == status
    with requests.post(f"{url}/sms", json=SMS, timeout=9) as answer:
        assert answer.status_code == 200, "the page has changed nothing"
    assert len(stand_in.handed.sms) == 1
    assert not stand_in.handed.readings


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nContent-Length: 40\r\n", b"Content-Length: \xb2\r\n", b"",
        b"Content-Length: -1\r\n", b"Content-Length: 1048577\r\n", b"Content-Length: " + b"9" * 5000 + b"\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ],
    ids=["two", "no digit", "none", "negative", "large", "huge", "chunked"],
)  # fmt: skip
def test_a_body_of_unsound_length_is_refused(stand_in, head):
    host, port = stand_in.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=9) as connection:
        connection.sendall(b"POST /sms HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n{}")
        assert connection.recv(64).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("head", [b"X: " + b"a" * 70_000, b"X: a\r\n" * 200], ids=["long", "many"])
def test_headers_without_end_are_refused(stand_in, head):
    host, port = stand_in.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=9) as connection:
        connection.sendall(b"GET /staff HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head)
        assert connection.recv(64).startswith(b"HTTP/1.1 431 ")


def test_connections_are_bounded_and_room_is_made_again(stand_in):
    """Clients that send half a request and wait; one too many is closed at once."""
    host, port = stand_in.netloc.split(":")
    slow = []
    for _ in range(MAX_CONNECTIONS):
        slow.append(socket.create_connection((host, int(port)), timeout=9))
        slow[-1].sendall(b"POST /sms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{")
    with socket.create_connection((host, int(port)), timeout=9) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in slow:
        connection.close()
    wait_until(lambda: _answers(stand_in.netloc), "there is room again")
    assert stand_in.handed.sms == {}


def _answers(netloc):
    try:
        with requests.get(f"http://{netloc}{CONTROL}", timeout=9) as answer:
            return answer.status_code == 200
    except requests.ConnectionError:
        return False


def test_what_is_kept_is_bounded(stand_in):
    stand_in.handed.bytes_left = 2 * 10**5
    url = f"http://{stand_in.netloc}/events/alerts"
    answers = []
    for number in range(4):
        event = {"id": f"e{number}", "pad": "x" * 90_000}
        with requests.post(url, json=event, timeout=9) as answer:
            answers.append(answer.status_code)
    assert answers == [201, 201, 507, 507]
    assert list(stand_in.handed.events["alerts"]) == ["e0", "e1"]


def test_an_id_of_thousands_of_digits_is_unknown(stand_in):
    with requests.get(f"http://{stand_in.netloc}/devices/{'9' * 5000}", timeout=9) as answer:
        assert answer.status_code == 404
