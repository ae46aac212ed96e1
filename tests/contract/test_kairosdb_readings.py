"""KairosDB's adapter when KairosDB misbehaves: away, refusing, forgetful, somebody else."""

import gzip
import http.server
import json
import socket
import ssl
import threading

import pytest

from local.services.authority import Authority
from local.simulator.clock import SimulatedClock
from qold import wiring
from qold.domain.read_back import EVERY_MS, LATE_MS, LOST_MS
from qold.ports import Point, Unavailable
from qold.settings import Settings, SettingsError

T = 1_795_456_000_000
NOTHING = (
    b'{"queries":[{"sample_size":0,"results":[{"name":"Temperature","tags":{},"values":[]}]}]}'
)


class Kairos(http.server.BaseHTTPRequestHandler):
    """Answers as the test says; keeps what was posted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._send(*self.server.answers.get(self.path, (204, b"")))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), body))
        self._send(*self.server.answers.get(self.path, (204, b"")))

    def _send(self, status, body):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def clock():
    return SimulatedClock(T)


@pytest.fixture
def kairos(tmp_path):
    """Something at a port with our certificate that says it is KairosDB."""
    authority = Authority(tmp_path / "secrets" / "certificates")
    own = authority.certificate("datapoints", unit="services")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.chain, own.key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kairos)
    server.daemon_threads = True
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.posted, server.answers = [], {"/api/v1/datapoints/query": (200, NOTHING)}
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def connect(tmp_path, port, clock, who="", rest=""):
    url = f"kairosdb+https://{who}127.0.0.1:{port}{rest}"
    return wiring.reading_store(Settings.load(tmp_path, {"QOLD_READINGS_URL": url}), clock)


@pytest.fixture
def store(kairos, tmp_path, clock):
    store = connect(tmp_path, kairos.server_port, clock)
    yield store
    store.close()


def test_a_window_is_one_gzip_body_grouped_by_device(store, kairos):
    store.write("Battery", [Point(1, T, 88), Point(2, T, 9), Point(1, T + 1, 87)])
    ((path, headers, body),) = kairos.posted
    assert (path, headers["Content-Encoding"]) == ("/api/v1/datapoints", "gzip")
    assert json.loads(gzip.decompress(body)) == [
        {"name": "Battery", "type": "long", "tags": {"device_id": "1"},
         "datapoints": [[T, 88], [T + 1, 87]]},
        {"name": "Battery", "type": "long", "tags": {"device_id": "2"}, "datapoints": [[T, 9]]},
    ]  # fmt: skip


def test_a_window_that_is_too_large_goes_in_parts(store, kairos):
    store.write("Battery", [Point(1, T + n, 88) for n in range(12_001)])
    sizes = [
        len(series["datapoints"])
        for _, _, body in kairos.posted
        for series in json.loads(gzip.decompress(body))
    ]
    assert sizes == [5000, 5000, 2001]


def test_a_prefix_keeps_its_metrics_apart(kairos, tmp_path, clock):
    store = connect(tmp_path, kairos.server_port, clock, rest="?prefix=demo.1.")
    store.write("Battery", [Point(1, T, 88)])
    assert store.query("Battery", 1, T, T + 1) == []
    (_, _, written), (_, _, asked) = kairos.posted
    assert [series["name"] for series in json.loads(gzip.decompress(written))] == ["demo.1.Battery"]
    assert [metric["name"] for metric in json.loads(asked)["metrics"]] == ["demo.1.Battery"]
    store.close()


NOT_TAKEN = {
    "forbidden": (403, b'{"errors":["not with this certificate"]}'),
    "too large": (413, b"{}"),
    "bad request": (400, b'{"errors":["no"]}'),
    "not found": (404, b"{}"),
    "too many": (429, b"{}"),
    "broken": (500, b"{}"),
    "nobody behind": (502, b"<html>"),
    "a portal": (200, b"<html>Welcome</html>"),
    "another service": (200, b"{}"),
    "moved": (302, b""),
}


@pytest.mark.parametrize("kind", NOT_TAKEN)
def test_whatever_is_not_a_204_is_unavailable_and_loses_nothing(store, kairos, kind):
    kairos.answers["/api/v1/datapoints"] = NOT_TAKEN[kind]
    with pytest.raises(Unavailable):
        store.write("Temperature", [Point(1, T, 4.5)])
    del kairos.answers["/api/v1/datapoints"]
    assert store.write("Temperature", [Point(1, T, 4.5)]) == []


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"queries":[{}]}', b'{"queries":[{"results":[{"values":[[1]]}]}]}']
)  # fmt: skip
def test_an_answer_that_is_no_result_is_unavailable(store, kairos, answer):
    kairos.answers["/api/v1/datapoints/query"] = (200, answer)
    with pytest.raises(Unavailable):
        store.query("Temperature", 1, T, T + 1)


def test_a_store_that_is_away_is_unavailable_in_every_call(tmp_path, clock):
    Authority(tmp_path / "secrets" / "certificates").certificate("datapoints", unit="services")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        store = connect(tmp_path, unheard.getsockname()[1], clock)
        for call in (
            lambda: store.write("Battery", [Point(1, T, 88)]),
            lambda: store.query("Battery", 1, T, T + 1),
            lambda: store.aggregate("Battery", 1, T, T + 1, bucket_ms=1, aggregator="avg"),
            lambda: store.count("Battery"),
            store.ping,
        ):
            with pytest.raises(Unavailable):
                call()
        assert store.verify() == {}


def test_a_missing_certificate_is_unavailable_and_named(kairos, tmp_path, clock):
    store = connect(tmp_path, kairos.server_port, clock, who="nobody@")
    with pytest.raises(Unavailable, match=r"nobody\.pem"):
        store.ping()


def test_a_server_of_another_authority_is_not_believed(kairos, tmp_path, clock):
    other = tmp_path / "other"
    Authority(other / "secrets" / "certificates").certificate("datapoints", unit="services")
    store = connect(other, kairos.server_port, clock)
    with pytest.raises(Unavailable, match="SSLError"):
        store.write("Battery", [Point(1, T, 88)])
    assert kairos.posted == []


@pytest.mark.parametrize(
    "rest", ["", "//", "//host?k=v", "//host?prefix=a b", "//host#f", "//host:port", "//a@b@c:0"]
)
def test_a_url_that_is_no_address_is_refused(tmp_path, clock, rest):
    settings = Settings.load(tmp_path, {"QOLD_READINGS_URL": f"kairosdb+https:{rest}"})
    with pytest.raises(SettingsError, match="readings_url"):
        wiring.reading_store(settings, clock)


def test_a_forgetful_store_is_found_out_and_given_nothing_more(store, kairos, clock, caplog):
    """It says 204 and keeps nothing: seen after a minute, told, and given up after a quarter hour."""
    store.write("Temperature", [Point(7, T, 4.5)])
    for late_ms in range(EVERY_MS, LATE_MS, EVERY_MS):
        clock.advance_to(T + late_ms)
        assert store.verify() == {}
    clock.advance_to(T + LATE_MS)
    with pytest.raises(Unavailable, match="cannot be read"):
        store.write("Temperature", [Point(8, T, 4.5)])
    assert store.verify() == {"late": 1}
    assert "verdict=late metric=Temperature device=7" in caplog.text
    clock.advance_to(T + LOST_MS)
    assert store.write("Temperature", [Point(8, T, 4.5)]) == []
    assert store.verify() == {"lost": 1}


def test_a_store_that_was_behind_is_written_to_again(store, kairos, clock):
    store.write("Temperature", [Point(7, T, 4.5)])
    clock.advance_to(T + LATE_MS)
    assert store.verify() == {"late": 1}
    found = {"queries": [{"results": [{"values": [[T, 4.5]]}]}]}
    kairos.answers["/api/v1/datapoints/query"] = (200, json.dumps(found).encode())
    clock.advance_to(T + LATE_MS + EVERY_MS)
    assert store.write("Temperature", [Point(8, T, 4.5)]) == []
    assert store.verify() == {"readable": 1}


def test_a_store_that_cannot_be_asked_counts_as_late_too(store, kairos, clock):
    store.write("Temperature", [Point(7, T, 4.5)])
    kairos.answers["/api/v1/datapoints/query"] = (500, b"{}")
    clock.advance_to(T + LATE_MS)
    assert store.verify() == {"late": 1}
