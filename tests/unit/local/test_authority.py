"""Certificates: what is in them, who may read them, when they are made anew."""

import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from local.services.authority import DAYS, RENEW_DAYS, Authority
from local.simulator.clock import SimulatedClock

NOW_MS = 1_795_456_000_000
DAY_MS = 86_400_000


@pytest.fixture
def clock():
    return SimulatedClock(NOW_MS)


def leaf(certificate):
    return x509.load_pem_x509_certificates(certificate.chain.read_bytes())[0]


def test_a_certificate_names_its_holder_and_is_signed_by_the_authority(tmp_path, clock):
    authority = Authority(tmp_path, clock)
    certificate = authority.certificate("gateway-7", unit="gateways")
    found = leaf(certificate)
    assert found.subject.rfc4514_string() == "CN=gateway-7,OU=gateways,O=Qold"
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(certificate.ca.read_bytes()))
    key = load_pem_private_key(certificate.key.read_bytes(), None)
    assert key.public_key() == found.public_key()
    assert certificate.key.read_text().startswith("-----BEGIN PRIVATE KEY-----")  # PKCS#8


def test_nobody_else_may_read_a_key(tmp_path, clock):
    authority = Authority(tmp_path / "certificates", clock)
    certificate = authority.certificate("broker", unit="brokers")
    authority.key_store(certificate, "secret")
    authority.trust_store("secret")
    assert stat.S_IMODE((tmp_path / "certificates").stat().st_mode) == 0o700
    files = list((tmp_path / "certificates").iterdir())
    assert len(files) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_certificate_stays_until_it_is_about_to_run_out(tmp_path, clock):
    first = leaf(Authority(tmp_path, clock).certificate("redis", unit="servers"))
    clock.advance_to(NOW_MS + (DAYS - RENEW_DAYS - 1) * DAY_MS)
    assert leaf(Authority(tmp_path, clock).certificate("redis", unit="servers")) == first
    clock.advance_to(NOW_MS + (DAYS - RENEW_DAYS + 1) * DAY_MS)
    assert leaf(Authority(tmp_path, clock).certificate("redis", unit="servers")) != first


def test_one_that_has_run_out_can_be_made_for_tests(tmp_path, clock):
    past = datetime.fromtimestamp(NOW_MS / 1000, UTC) - timedelta(days=2)
    certificate = Authority(tmp_path, clock).certificate(
        "gateway-1", unit="gateways", valid=(past, past + timedelta(days=1)), file="expired"
    )
    assert leaf(certificate).not_valid_after_utc < past + timedelta(days=2)
    assert certificate.chain.name == "expired.pem"


def test_stores_for_java_hold_the_key_and_the_authority(tmp_path, clock):
    authority = Authority(tmp_path, clock)
    certificate = authority.certificate("cassandra", unit="servers")
    store = pkcs12.load_pkcs12(authority.key_store(certificate, "s3cret").read_bytes(), b"s3cret")
    assert store.cert.certificate == leaf(certificate)
    assert store.key is not None
    trusted = pkcs12.load_pkcs12(authority.trust_store("s3cret").read_bytes(), b"s3cret")
    assert [entry.certificate.subject.rfc4514_string() for entry in trusted.additional_certs] == [
        "CN=Qold CA,OU=authority,O=Qold"
    ]
