"""A self-signed certificate for the sandbox, made when it is first needed and kept in memory."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from functools import lru_cache
from pathlib import Path

from mssql_pg_migrate.tds.tls import limit_to_prelogin

_LIFETIME = dt.timedelta(days=30)


@lru_cache(maxsize=1)
def certificate() -> tuple[bytes, bytes]:
    """Certificate and key as PEM, for localhost and 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def tls_context(*, strict: bool = False, alpn: str = "") -> ssl.SSLContext:
    """A server's context with that certificate; inside PRELOGIN packets (not `strict`) TLS 1.2 at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    public, private = certificate()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sandbox.pem"
        path.touch(0o600)
        path.write_bytes(public + private)
        context.load_cert_chain(path)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context if strict else limit_to_prelogin(context)
