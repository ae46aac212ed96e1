"""Who may do what at nginx, by certificate; and that KairosDB is heard on loopback only."""

import http.client
import json
import ssl
from pathlib import Path

import pytest

from local.services.authority import Authority
from tests.support.certificates import BAD, client_certificate, client_context

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


def ask(port, context, operation):
    """Status and body of an operation over a connection of its own."""
    method, path, document = OPERATIONS[operation]
    body = None if document is None else json.dumps(document)
    connection = http.client.HTTPSConnection(HOST, port, context=context, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
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


def test_kairosdb_and_nginx_are_heard_on_loopback_only(servers, kairosdb, nginx):
    """Every listening socket of their processes, as the kernel has it."""
    ours = {kairosdb.port, nginx.port}
    addresses = {
        (local.rsplit(":", 1)[0], int(local.rsplit(":", 1)[1], 16))
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for local, state in [(line.split()[1], line.split()[3])]
        if state == "0A"
    }
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert {port for host, port in addresses if host in loopback} >= ours
    assert not {port for host, port in addresses if host not in loopback} & ours


def test_no_password_shows_in_the_process_list_and_files_are_our_own(servers, kairosdb, nginx):
    command = Path(f"/proc/{servers.pid('kairosdb')}/cmdline").read_text()
    for name in ("cassandra.kairosdb", "kairosdb.stores", "trust"):
        assert servers.place.password(name) not in command
    for folder in (servers.place.folder("kairosdb"), servers.place.folder("nginx")):
        assert folder.stat().st_mode & 0o077 == 0
