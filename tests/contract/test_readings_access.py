"""Who may do what at nginx, by certificate; that KairosDB answers nginx only, and no web page."""

import http.client
import json
import socket
import ssl
import threading
from pathlib import Path

import pytest

from local.services.authority import Authority
from local.services.kairosdb import authorization
from local.services.nginx import Nginx
from tests.support.certificates import BAD, client_certificate, client_context
from tests.support.doors import loopback_ports
from tests.support.servers import Servers
from tests.support.stranger import as_stranger, needs_root

HOST = "127.0.0.1"
POINT = {
    "name": "Temperature", "type": "double", "tags": {"device_id": "2147483647"},
    "datapoints": [[1_795_456_000_000, 4.5]],
}  # fmt: skip
QUERY = {"start_absolute": 0, "metrics": [{"name": "Temperature", "tags": {"device_id": ["1"]}}]}
API = "/api/v1"
OPERATIONS = {
    "write": ("POST", f"{API}/datapoints", POINT),
    "query": ("POST", f"{API}/datapoints/query", QUERY),
    "tags": ("POST", f"{API}/datapoints/query/tags", QUERY),
    "names": ("GET", f"{API}/metricnames", None),
    "health": ("GET", f"{API}/health/check", None),
    "delete points": ("POST", f"{API}/datapoints/delete", QUERY),
    "delete by query": ("DELETE", f"{API}/datapoints/query", QUERY),
    "delete a metric": ("DELETE", f"{API}/metric/Temperature", None),
    "roll up": ("POST", f"{API}/rollups", []),
    "store metadata": ("POST", f"{API}/metadata/s/k/v", {}),
    "read metadata": ("GET", f"{API}/metadata/s", None),
    "the root": ("GET", "/", None),
    "a detour": ("POST", f"{API}/datapoints/query/../delete", QUERY),
    "an escaped detour": ("POST", f"{API}/datapoints/query/%2e%2e/delete", QUERY),
    "a double slash": ("POST", f"{API}/datapoints//delete", QUERY),
}
READS = {"query", "tags", "names", "health"}
MAY = {"datapoints": READS | {"write"}, "qold-app": READS}
NOT_OURS = "not with this certificate"
SAYS = {"none": "a client certificate is needed"} | dict.fromkeys(
    (*BAD[1:], "self-signed"), "this certificate is not valid here"
)


def ask(port, context, operation, headers=None):
    """Status and body of an operation over a connection of its own."""
    method, path, document = OPERATIONS[operation]
    body = None if document is None else json.dumps(document)
    connection = http.client.HTTPSConnection(HOST, port, context=context, timeout=30)
    try:
        connection.request(
            method, path, body, {"Content-Type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["datapoints", "qold-app"])
def test_a_known_certificate_may_do_what_it_is_for(nginx, servers, name, operation):
    authority = servers.place.authority
    own = authority.certificate(name, unit="services")
    status, body = ask(nginx.port, client_context(authority, own), operation)
    if operation in MAY[name]:
        assert status in (200, 204), body
    else:
        assert (status, NOT_OURS in body) == (403, True), body


@pytest.mark.parametrize("operation", ["write", "query", "health", "delete points", "the root"])
@pytest.mark.parametrize(
    ("name", "unit"),
    [("gateway-1", "gateways"), ("datapoints", "gateways"), ("qold-app", "servers"),
     ("kairosdb", "services"), ("datapoints,OU=services", "gateways")],
)  # fmt: skip
def test_another_certificate_of_ours_may_do_nothing(nginx, servers, name, unit, operation):
    """A gateway's, ones that only look like the right ones, and a server's."""
    authority = servers.place.authority
    other = authority.certificate(name, unit=unit, file=f"{unit}-{name}")
    status, body = ask(nginx.port, client_context(authority, other), operation)
    assert (status, NOT_OURS in body) == (403, True), body


@pytest.mark.parametrize("operation", ["write", "query", "health", "delete points"])
@pytest.mark.parametrize("kind", SAYS)
def test_a_bad_certificate_may_do_nothing(nginx, servers, tmp_path, kind, operation):
    authority = servers.place.authority
    if kind == "self-signed":
        context = client_context(authority, None)
        own = Authority(tmp_path / "self").ca
        context.load_cert_chain(own, own.with_name("ca.key"))
    else:
        context = client_context(authority, client_certificate(kind, authority, tmp_path))
    status, body = ask(nginx.port, context, operation)
    assert (status, SAYS[kind] in body) == (403, True), body


def test_old_tls_is_refused(nginx, servers):
    authority = servers.place.authority
    own = authority.certificate("datapoints", unit="services")
    context = client_context(authority, own)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        ask(nginx.port, context, "health")


def test_http_without_tls_is_refused(nginx):
    connection = http.client.HTTPConnection(HOST, nginx.port, timeout=30)
    connection.request("GET", f"{API}/health/check")
    assert connection.getresponse().status == 400
    connection.close()


def test_a_body_without_end_is_refused(nginx, servers):
    authority = servers.place.authority
    own = authority.certificate("datapoints", unit="services")
    context = client_context(authority, own)
    connection = http.client.HTTPSConnection(HOST, nginx.port, context=context, timeout=30)
    connection.putrequest("POST", f"{API}/datapoints")
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# Paths that KairosDB's own basic authentication lets through without a password.
BESIDE_THE_PASSWORD = {
    "health": ("GET", f"{API}/health/check"),
    "status": ("GET", f"{API}/health/status"),
    "write metadata below health": ("POST", f"{API}/metadata/s/k/..%2f..%2f..%2fhealth%2fx"),
    "read metadata below health": ("GET", f"{API}/metadata/s/k/..%2f..%2f..%2fhealth%2fx"),
    "delete a metric below health": ("DELETE", f"{API}/metric/..%2fhealth%2fx"),
    "a preflight": ("OPTIONS", f"{API}/metric/Temperature"),
    "running queries": ("GET", f"{API}/admin/runningqueries"),
    "kill a query": ("GET", f"{API}/admin/killquery/1"),
    "trace": ("TRACE", f"{API}/version"),
}
AT_ITS_OWN_PORT = {
    **{name: OPERATIONS[name][:2] for name in OPERATIONS if name != "the root"},
    **BESIDE_THE_PASSWORD,
}
FOREIGN = {
    "another Host": ({"Host": "evil.example"}, 421, "this Host is not served here"),
    "a Host that begins like ours": ({"Host": f"{HOST}.evil.example"}, 421, "this Host is not"),
    "a page's Origin": ({"Origin": "http://evil.example"}, 403, "not from a web page"),
    "a page without Origin": ({"Origin": "null"}, 403, "not from a web page"),
    "a page of this machine": ({"Origin": f"http://{HOST}:8080"}, 403, "not from a web page"),
}


@pytest.fixture
def anybody(servers):
    """TLS of a client without a certificate."""
    return client_context(servers.place.authority, None)


def ask_directly(port, context, method, path, headers):
    """Status and body of KairosDB itself, for a POST as a browser sends it without asking first."""
    body = json.dumps(QUERY) if method == "POST" else None
    connection = http.client.HTTPSConnection(HOST, port, timeout=30, context=context)
    try:
        connection.request(method, path, body, {"Content-Type": "text/plain", **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@needs_root
@pytest.mark.parametrize("operation", AT_ITS_OWN_PORT)
def test_another_user_of_the_machine_can_do_nothing_at_kairosdb(kairosdb, anybody, operation):
    method, path = AT_ITS_OWN_PORT[operation]
    status, body = as_stranger(lambda: ask_directly(kairosdb.port, anybody, method, path, {}))
    assert (status, json.loads(body)["errors"]) == (401, ["only nginx may use this port"])


@pytest.mark.parametrize("sent", ["", "Basic", "Basic bmdpbng6", "Bearer x", "short", "long"])
def test_kairosdb_refuses_any_other_authorization(kairosdb, servers, anybody, sent):
    right = authorization(servers.place)
    value = {"short": right[:-1], "long": right + "="}.get(sent, sent)
    headers = {"Authorization": value}
    status, _ = ask_directly(kairosdb.port, anybody, "GET", f"{API}/metricnames", headers)
    assert status == 401


@pytest.mark.parametrize("path", ["/", "/index.html", "//api/v1/version"])
def test_outside_of_its_api_kairosdb_serves_nothing(kairosdb, anybody, path):
    assert ask_directly(kairosdb.port, anybody, "GET", path, {})[0] == 404


def test_kairosdb_speaks_tls_only(kairosdb):
    with socket.create_connection((HOST, kairosdb.port), timeout=30) as plain:
        plain.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert plain.recv(64)[:1] in (b"", b"\x15"), "at most TLS's alert"


def test_nginx_keeps_its_password_from_another_process_at_kairosdbs_port(tmp_path):
    """One that took the port while KairosDB was down, with a certificate of its own making."""
    own = Authority(tmp_path / "other").certificate("kairosdb", unit="services")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.chain, own.key)
    received = []

    def take_one():
        connection, _ = taken.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                received.append(secure.recv(4096))
        except OSError as exc:
            received.append(exc)

    with socket.create_server((HOST, 0)) as taken:
        thread = threading.Thread(target=take_one)
        thread.start()
        servers = Servers(tmp_path)
        try:
            nginx = servers.use(lambda place: Nginx(place, kairosdb_port=taken.getsockname()[1]))
            authority = servers.place.authority
            writer = authority.certificate("datapoints", unit="services")
            status, _ = ask(nginx.port, client_context(authority, writer), "write")
        finally:
            servers.close()
        thread.join()
    assert status == 502
    assert isinstance(received[0], ssl.SSLError) or received == [b""]


@pytest.mark.parametrize("operation", ["query", "delete points", "delete a metric", "names"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_kairosdb_serves_no_web_page_whatever_it_knows(kairosdb, servers, anybody, kind, operation):
    """With the right password, so that the Host or Origin alone is what is refused."""
    headers, expected, says = FOREIGN[kind]
    method, path, _ = OPERATIONS[operation]
    headers = {"Authorization": authorization(servers.place), **headers}
    status, body = ask_directly(kairosdb.port, anybody, method, path, headers)
    assert (status, says in json.loads(body)["errors"][0]) == (expected, True)


@pytest.mark.parametrize("operation", ["write", "query", "names", "delete points", "the root"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_nginx_serves_no_web_page(nginx, servers, kind, operation):
    """The certificate that may write: a browser presents what its user has installed."""
    headers, expected, says = FOREIGN[kind]
    own = servers.place.authority.certificate("datapoints", unit="services")
    status, body = ask(nginx.port, client_context(servers.place.authority, own), operation, headers)
    assert (status, says in json.loads(body)["errors"][0]) == (expected, True)


def test_nginx_presents_its_own_password_and_lets_no_page_read_the_answer(nginx, servers):
    """Whatever Authorization a client sends, and though KairosDB allows every Origin."""
    own = servers.place.authority.certificate("datapoints", unit="services")
    context = client_context(servers.place.authority, own)
    connection = http.client.HTTPSConnection(HOST, nginx.port, context=context, timeout=30)
    connection.request("GET", f"{API}/metricnames", headers={"Authorization": "Basic bmdpbng6"})
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("Access-Control-Allow-Origin") is None
    connection.close()


def test_every_socket_of_the_stores_is_known_and_on_loopback(
    servers, cassandra, redis, kairosdb, nginx
):
    """Cassandra has none for JMX."""
    place = servers.place
    expected = {
        "cassandra": {cassandra.port, place.port("cassandra.storage")},
        "redis": {redis.port},
        "kairosdb": {kairosdb.port},
        "nginx": {nginx.port},
    }
    assert {name: loopback_ports(servers.pid(name)) for name in expected} == expected


def test_no_password_shows_in_the_process_list_and_files_are_our_own(servers, kairosdb, nginx):
    secret = [servers.place.password(name) for name in ("cassandra.kairosdb", "kairosdb.stores")]
    secret += [servers.place.password("trust"), servers.place.password("kairosdb.nginx")]
    secret.append(authorization(servers.place).removeprefix("Basic "))
    for name in ("kairosdb", "nginx"):
        command = Path(f"/proc/{servers.pid(name)}/cmdline").read_text()
        logged = (servers.logs / f"{name}.log").read_text()
        assert not [word for word in secret if word in command or word in logged]
    folders = [servers.place.folder(name) for name in ("kairosdb", "nginx")]
    files = [folders[0] / "conf" / "kairosdb.conf", folders[1] / "nginx.conf"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (*folders, *files))
