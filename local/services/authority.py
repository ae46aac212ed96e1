"""The certificate authority of an installation, and the certificates that it gives out.

Everything lies in one folder of mode 700, keys in files of mode 600. Subjects are
`CN=<name>,OU=<unit>,O=Qold`; the units are gateways, services, brokers and servers.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qold.clock import Clock, SystemClock
from qold.private_files import check_file, close_folder, locked_folder, make_folder, write_private

ORGANIZATION = "Qold"
CA_DAYS, DAYS, RENEW_DAYS = 3650, 825, 30
LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of one certificate: `chain` and `key` (PKCS#8), `both` in one file, `ca` that signed it."""

    chain: Path
    key: Path
    both: Path
    ca: Path

    def carry_to(self, folder: Path, name: str) -> None:
        """Copy it as `ca.pem`, `<name>.pem` and `<name>.key`, as its owner's clients look for it."""
        make_folder(folder)
        write_private(folder / "ca.pem", self.ca.read_bytes())
        write_private(folder / f"{name}.pem", self.chain.read_bytes())
        write_private(folder / f"{name}.key", self.key.read_bytes())


class Authority:
    """Makes the authority at the first use, and certificates where they are missing or run out."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self._clock = clock or SystemClock()
        self.ca = folder / "ca.pem"
        self._ca_key = folder / "ca.key"
        close_folder(folder)
        for file in (self.ca, self._ca_key):
            check_file(file)
        if not self._has_ca():
            with locked_folder(folder):
                if not self._has_ca():
                    self._make_ca()

    def certificate(
        self,
        name: str,
        *,
        unit: str,
        hosts: Sequence[str] = LOOPBACK,
        valid: tuple[datetime, datetime] | None = None,
        file: str = "",
    ) -> Certificate:
        """The certificate of a name; made anew when it runs out within 30 days."""
        stem = file or name
        found = Certificate(
            self.folder / f"{stem}.pem",
            self.folder / f"{stem}.key",
            self.folder / f"{stem}.both.pem",
            self.ca,
        )
        for path in (found.chain, found.key, found.both):
            check_file(path)
        if not self._is_good(found.chain):
            with locked_folder(self.folder):
                if not self._is_good(found.chain):
                    self._issue(found, name, unit, hosts, valid)
        return found

    def key_store(self, certificate: Certificate, password: str) -> Path:
        """The certificate with its key as PKCS#12, for servers in Java."""
        path = certificate.chain.with_suffix(".p12")
        chain = x509.load_pem_x509_certificates(certificate.chain.read_bytes())
        key = load_pem_private_key(certificate.key.read_bytes(), None)
        content = pkcs12.serialize_key_and_certificates(
            certificate.chain.stem.encode(),
            key,  # type: ignore[arg-type]  # always of a kind that fits: we made it
            chain[0],
            [x509.load_pem_x509_certificate(self.ca.read_bytes())],
            BestAvailableEncryption(password.encode()),
        )
        write_private(path, content)
        return path

    def trust_store(self, password: str, *, only: Certificate | None = None) -> Path:
        """PKCS#12 for Java that trusts the authority, or `only` one certificate of it."""
        trusted = self.ca if only is None else only.chain
        path = self.folder / ("trust.p12" if only is None else f"{only.chain.stem}.trust.p12")
        found = pkcs12.PKCS12Certificate(
            x509.load_pem_x509_certificate(trusted.read_bytes()), b"qold"
        )
        encryption = BestAvailableEncryption(password.encode())
        write_private(path, pkcs12.serialize_java_truststore([found], encryption))
        return path

    def _has_ca(self) -> bool:
        return self.ca.exists() and self._ca_key.exists()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)

    def _is_good(self, path: Path) -> bool:
        if not path.exists():
            return False
        until = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        return self._now() < until - timedelta(days=RENEW_DAYS)

    def _make_ca(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Qold CA", "authority")
        now = self._now()
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        write_private(self._ca_key, _pkcs8(key))
        write_private(self.ca, certificate.public_bytes(Encoding.PEM))

    def _issue(
        self,
        files: Certificate,
        name: str,
        unit: str,
        hosts: Sequence[str],
        valid: tuple[datetime, datetime] | None,
    ) -> None:
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        signer = load_pem_private_key(self._ca_key.read_bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._now()
        start, end = valid or (now - timedelta(hours=1), now + timedelta(days=DAYS))
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(name, unit))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(h) for h in hosts]), critical=False
            )
            .sign(signer, hashes.SHA256())  # type: ignore[arg-type]  # our own EC key
        )
        chain = certificate.public_bytes(Encoding.PEM) + self.ca.read_bytes()
        write_private(files.key, _pkcs8(key))
        write_private(files.both, _pkcs8(key) + chain)
        write_private(files.chain, chain)  # last: it says that the others are there


def _name(common_name: str, unit: str) -> x509.Name:
    # In this order RFC 2253 prints CN=…,OU=…,O=…, which is what brokers match principals against.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
