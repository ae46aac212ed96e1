"""What every HTTP adapter stands on: a call ends in time, and nothing is said to strangers."""

import datetime
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from qold.adapters import http_service
from qold.adapters.http_service import HttpService
from qold.adapters.notifier.http import HttpNotifier
from qold.ports import Unavailable
from tests.support.services import impatient, patient


def test_a_call_has_less_than_ten_seconds():
    assert http_service.CONNECT_S + http_service.ANSWER_S < 10


def test_one_connection_serves_many_calls_and_a_closed_one_is_replaced(stand_in):
    service = patient(stand_in)
    for _ in range(20):
        assert service.get("/staff").status == 404
    assert stand_in.connections == 1
    stand_in.stop()
    stand_in.start()
    assert service.get("/staff").status == 404
    assert stand_in.connections == 2
    service.close()


def test_ping_wants_any_answer_but_5xx(stand_in):
    patient(stand_in).ping()
    patient(stand_in, "/staff").ping()
    stand_in.behave("qold-app", "status", status=302, location="/login")
    patient(stand_in, "/staff").ping()
    for way, how in (("status", {"status": 500}), ("garbage", {}), ("refuse", {}), ("hang", {})):
        stand_in.behave("qold-app", way, **how)
        with pytest.raises(Unavailable):
            impatient(stand_in, "/staff").ping()


def test_a_redirect_is_not_followed(stand_in):
    stand_in.behave("qold-app", "status", status=302, location=f"http://{stand_in.netloc}/sms")
    with pytest.raises(Unavailable, match="302"):
        patient(stand_in).get("/staff")
    assert stand_in.requests == 1


def test_neither_proxies_nor_netrc_come_from_the_environment(stand_in, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert patient(stand_in).get("/staff").status == 404
    assert stand_in.authorization is None


def test_the_credential_is_one_line_of_a_file_and_read_again_after_401(stand_in, tmp_path):
    file = tmp_path / "keen.credential"
    service = patient(stand_in, credential=file)
    service.get("/staff")
    assert stand_in.authorization is None
    file.write_text("Bearer old\n")
    stand_in.behave("qold-app", "status", status=401)
    assert service.get("/staff").status == 401
    service.get("/staff")
    assert stand_in.authorization == "Bearer old"
    file.write_text("Bearer new\n")
    service.get("/staff")
    stand_in.behave("qold-app", "well")
    service.get("/staff")
    assert stand_in.authorization == "Bearer new"


@pytest.mark.parametrize("content", [b"two\nlines", b"\xff", b"a\r\nX-Injected: 1", b"a\x00b"])
def test_a_credential_that_is_not_one_line_is_unavailable_and_not_quoted(
    stand_in, tmp_path, content
):
    file = tmp_path / "keen.credential"
    file.write_bytes(content)
    with pytest.raises(Unavailable, match=r"keen\.credential") as away:
        patient(stand_in, credential=file).get("/staff")
    assert "lines" not in str(away.value)
    assert stand_in.requests == 0


def test_a_name_that_is_never_looked_up_and_a_host_that_never_accepts(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: released.wait() and [])
    service = HttpService("http://qold.example", connect_s=0.1, answer_s=0.1)
    with pytest.raises(Unavailable, match=r"http://qold\.example"):
        service.get("/staff")
    released.set()
    service.close()


def test_a_name_that_does_not_exist_is_unavailable():
    with pytest.raises(Unavailable):
        HttpService("http://qold.invalid", connect_s=0.5).get("/staff")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_tls_is_verified(stand_in, certificate, monkeypatch):
    """A stranger's certificate and another host's are refused; the right one is spoken to."""
    port = stand_in.netloc.partition(":")[2]
    stand_in.stop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stand_in.start(tls=context)
    message = {"message_id": "a1", "to": "+351911111111", "text": "hello"}
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(Unavailable, match="SSLError"):
        HttpNotifier(HttpService(f"https://localhost:{port}")).send(**message)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with pytest.raises(Unavailable, match="SSLError"):
        HttpNotifier(HttpService(f"https://127.0.0.1:{port}")).send(**message)
    assert stand_in.handed.sms == {}
    service = HttpService(f"https://localhost:{port}", answer_s=0.3)
    HttpNotifier(service).send(**message)
    assert list(stand_in.handed.sms) == ["a1"]
    for way in ("trickle", "trickle-body", "hang"):
        stand_in.behave("qold-sms", way)
        with pytest.raises(Unavailable):
            HttpNotifier(service).send(**message)
    service.close()


def test_a_handshake_that_never_comes_ends():
    """The port accepts and says nothing, in plain and in TLS."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for scheme in ("http", "https"):
            url = f"{scheme}://127.0.0.1:{mute.getsockname()[1]}"
            with pytest.raises(Unavailable):
                HttpService(url, connect_s=0.2, answer_s=0.2).get("/staff")
