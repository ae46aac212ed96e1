"""What `sparse stats` asks answers clients of this machine, and no page of another server."""

import http.client
import json
import socket

import pytest

from local.services.place import Place
from local.services.storm_ui import StormUi
from tests.support.processes import processes, wait_until


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """The real server, of a cluster whose Nimbus is away: what it answers is 503."""
    folder = tmp_path_factory.mktemp("ui")
    place = Place(folder)
    place.port("storm-ui")  # not the one that people's shells expect
    server = StormUi(place)
    with processes(folder) as running:
        running.start("storm-ui", server.prepare(lambda text: None).command)
        wait_until(server.is_ready, "it answers")
        yield server


def ask(ui, *headers):
    connection = http.client.HTTPConnection("127.0.0.1", ui.port, timeout=10)
    connection.putrequest("GET", "/api/v1/cluster/summary", skip_host=True)
    for name, value in headers:
        connection.putheader(name, value.replace("PORT", str(ui.port)))
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read()), answer.headers["Access-Control-Allow-Origin"]
    connection.close()
    return found


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "127.0.0.1:PORT")],
        [("Host", "localhost:PORT")],
        [("Host", "LOCALHOST:PORT")],
        [("Host", "[::1]:PORT")],
        [("Host", "localhost:8081")],  # through a tunnel
        [("Host", "127.0.0.1:PORT"), ("Origin", "http://127.0.0.1:PORT")],
    ],
)
def test_clients_of_this_machine_are_answered(ui, headers):
    status, found, allowed = ask(ui, *headers)
    assert (status, allowed) == (503, None)
    assert "Nimbus" in found["errorMessage"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Host", "")],
        [("Host", "evil.example:PORT")],  # a name that was made to lead here
        [("Host", "127.0.0.1.evil.example")],
        [("Host", "localhost@evil.example")],
        [("Host", "192.0.2.2:PORT")],
        [("Host", "127.0.0.1:PORT"), ("Host", "evil.example")],
        [("Host", "127.0.0.1:PORT"), ("Origin", "http://evil.example")],
        [("Host", "127.0.0.1:PORT"), ("Origin", "https://127.0.0.1:PORT")],
        [("Host", "127.0.0.1:PORT"), ("Origin", "http://127.0.0.1:1")],
        [("Host", "127.0.0.1:PORT"), ("Origin", "null")],
    ],
)
def test_a_page_of_another_server_is_refused(ui, headers):
    """By Host, by Origin: none, another name, one that begins alike, two, a page in a file."""
    status, found, allowed = ask(ui, *headers)
    assert (status, found["error"], allowed) == (403, "Forbidden", None)


def test_a_request_without_headers_is_refused(ui):
    with socket.create_connection(("127.0.0.1", ui.port), timeout=10) as connection:
        connection.sendall(b"GET /api/v1/cluster/summary HTTP/1.0\r\n\r\n")
        assert b" 403 " in connection.recv(4096).partition(b"\r\n")[0]
