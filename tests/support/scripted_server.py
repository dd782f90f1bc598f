"""A TDS server that says what a test wrote down: real sockets, real TLS, no SQL.

For the client's corners that no well-behaved server shows: refusals, redirections, broken streams.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mssql_pg_migrate.tds import tokens as k
from mssql_pg_migrate.tds.buffer import ProtocolError
from mssql_pg_migrate.tds.login7 import Login7
from mssql_pg_migrate.tds.packets import PacketStream, PacketType, Transport
from mssql_pg_migrate.tds.prelogin import Encryption, Prelogin
from mssql_pg_migrate.tds.rpc import decode_batch
from mssql_pg_migrate.tds.tls import TDS8_ALPN, SocketTransport, TlsTransport, limit_to_prelogin

OK = k.Done().encode()


def make_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate for a name and 127.0.0.1, and its key: (certificate, both in one file)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca_file, pem = folder / f"{name}.crt", folder / f"{name}.pem"
    ca_file.write_bytes(public)
    pem.write_bytes(private + public)
    return ca_file, pem


@dataclass
class Session:
    """One client, as the script sees it."""

    stream: PacketStream
    sock: socket.socket
    login: Login7 | None = None
    prelogin: Prelogin | None = None
    encrypted: bool = False

    def answer(self, *tokens: bytes) -> None:
        """Send a whole message."""
        self.stream.write_message(PacketType.TABULAR_RESULT, b"".join(tokens))


Script = Callable[[Session, str], None]


def silent(session: Session, _sql: str) -> None:
    """Every statement succeeds and returns nothing."""
    session.answer(OK)


@dataclass
class ScriptedServer:
    """Listens on 127.0.0.1. `login` answers a login (None: acknowledges), `script` every batch."""

    script: Script = silent
    login: Callable[[Session], bytes] | None = None
    encryption: Encryption = Encryption.NOT_SUPPORTED
    certificate: Path | None = None
    strict: bool = False
    old_tls: bool = False
    """TLS 1.0 only, as servers without updates have it."""
    packet_size: int = 32767
    batches: list[str] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    attentions: int = 0

    def __enter__(self) -> ScriptedServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for session in self.sessions:
            with contextlib.suppress(OSError):
                session.sock.shutdown(socket.SHUT_RDWR)
        for thread in [self._accepting, *self._threads]:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, ProtocolError):
            session = Session(PacketStream(SocketTransport(sock)), sock)
            self.sessions.append(session)
            self._greet(session)
            while (message := session.stream.read_message()) is not None:
                header, payload = message
                if header.type == PacketType.ATTENTION:
                    self.attentions += 1
                    session.answer(k.Done(k.DONE_ATTENTION).encode())
                    continue
                sql = decode_batch(payload)
                self.batches.append(sql)
                self.script(session, sql)

    def _tls(self, session: Session, in_prelogin: bool) -> Transport:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert self.certificate is not None
        context.load_cert_chain(self.certificate)
        if self.old_tls:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        elif in_prelogin:
            limit_to_prelogin(context)
        else:
            context.set_alpn_protocols([TDS8_ALPN])
        return TlsTransport(session.sock, context, server_side=True, in_prelogin=in_prelogin)

    def _greet(self, session: Session) -> None:
        plain = session.stream
        if self.strict:
            session.stream = PacketStream(self._tls(session, False))
            session.encrypted = True
        session.prelogin = Prelogin.decode(_next_payload(session.stream))
        session.answer(Prelogin((16, 0, 1000), self.encryption, fedauth_required=True).encode())
        wanted = session.prelogin.encryption
        if not self.strict and self.encryption != Encryption.NOT_SUPPORTED:
            session.stream = PacketStream(self._tls(session, True))
            session.encrypted = True
        session.login = Login7.decode(_next_payload(session.stream))
        if wanted == Encryption.OFF and self.encryption == Encryption.OFF:
            session.stream, session.encrypted = plain, False
        if self.login is not None:
            session.answer(self.login(session))
        else:
            session.answer(acknowledgement(self.packet_size))
        session.stream.packet_size = self.packet_size


def _next_payload(stream: PacketStream) -> bytes:
    message = stream.read_message()
    if message is None:
        raise ConnectionResetError("the client has gone")
    return message[1]


def acknowledgement(packet_size: int = 32767) -> bytes:
    """The tokens of a login that succeeded."""
    return (
        k.EnvChange(k.ENV_DATABASE, "db", "master").encode()
        + k.LoginAck("Microsoft SQL Server", (16, 0, 1000)).encode()
        + k.EnvChange(k.ENV_PACKET_SIZE, str(packet_size), "4096").encode()
        + OK
    )


def error(number: int, text: str, severity: int = 16) -> bytes:
    """An ERROR token."""
    return k.ServerMessage(number, 1, severity, text).encode()
