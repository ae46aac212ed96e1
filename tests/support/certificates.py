"""Client certificates as a server may meet them, good and bad, for matrices of who is let in."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.services.authority import Authority, Certificate
from qold.clock import SystemClock

BAD = ("none", "another authority's", "expired", "not yet valid")


def client_certificate(kind: str, authority: Authority, folder: Path) -> Certificate | None:
    """The certificate of a kind: one of `BAD`, or "ours"."""
    now = datetime.fromtimestamp(SystemClock().wall_ms() / 1000, UTC)
    match kind:
        case "none":
            return None
        case "ours":
            return authority.certificate("qold", unit="services")
        case "another authority's":
            return Authority(folder / "another").certificate("qold", unit="services")
        case "expired":
            period = (now - timedelta(days=9), now - timedelta(days=2))
        case "not yet valid":
            period = (now + timedelta(days=2), now + timedelta(days=90))
        case _:
            raise ValueError(kind)
    return authority.certificate("qold", unit="services", valid=period, file=kind.replace(" ", "-"))


def client_context(authority: Authority, certificate: Certificate | None) -> ssl.SSLContext:
    """TLS as a client with this certificate; the server's is checked against `authority`."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if certificate is not None:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context
