"""The client's role: connect, encrypt, log in, send statements; rows are left to the caller.

Blocking, one thread at a time, except `Client.abort`. A statement's answer is read here up to its COLMETADATA token;
the bytes behind it belong to whoever asked (`RowStream`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from . import tokens as k
from .browser import instance_port
from .buffer import ByteReader, NeedMoreData, ProtocolError
from .dial import connect_tcp
from .login7 import FEATURE_FEDAUTH, FEATURE_UTF8, FEATURE_VECTOR, Login7
from .metadata import ColumnMetadata
from .packets import DEFAULT_PACKET_SIZE, PacketStream, PacketType, Transport
from .prelogin import THREAD_ID, Encryption, Prelogin
from .rpc import encode_batch
from .tls import TDS8_ALPN, SocketTransport, TlsTransport, limit_to_prelogin
from .values import RowDecoder

DEFAULT_PORT = 1433
TDS_80 = 0x08000000

# Larger packets mean fewer headers; encrypted connections of TDS 7.4 take at most 16 KB.
_PACKET_SIZE = 32767
_ENCRYPTED_PACKET_SIZE = 16383
_MAX_ROUTES = 10
_SECURITY_TOKEN = 0x01
_FEATURE_UTF8_SUPPORTED = b"\x01"
_VECTOR_VERSION = b"\x01"

# As Microsoft's drivers: a peer that is gone without a word is noticed after half a minute.
_KEEP_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 10))


@dataclass(frozen=True)
class ClientSettings:
    """Whom to connect to, as whom, how encrypted. The repr shows no secret.

    ``port`` None asks SQL Server Browser for the port of ``instance``. ``encrypt`` is True (everything), False (the
    login only, where the server can), or ``strict`` (TDS 8.0: TLS before anything else, the certificate always
    checked). ``ca_file`` is a PEM file of trusted authorities instead of the system's. Times are in seconds.
    """

    host: str
    database: str = ""
    port: int | None = DEFAULT_PORT
    instance: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    access_token: str | None = field(default=None, repr=False)
    encrypt: bool | Literal["strict"] = True
    trust_server_cert: bool = False
    host_name_in_certificate: str | None = None
    ca_file: str | None = None
    application_name: str = "mssql-pg-migrate"
    login_timeout: float = 15.0
    read_timeout: float | None = None
    packet_size: int | None = None
    read_only: bool = False


class ServerFailure(Exception):
    """An ERROR token of the server; `error` is the first one, ``errors`` are all."""

    def __init__(self, errors: Sequence[k.ServerMessage]) -> None:
        self.error = errors[0]
        self.errors = tuple(errors)
        super().__init__(self.error.text)


class EncryptionFailure(Exception):
    """No encrypted connection as it was asked for; the message says what is missing."""


@dataclass(frozen=True)
class RowStream:
    """The answer to a statement, read up to its rows.

    ``payload`` is what is left of the last packet read, ``last`` whether that packet ends the message.
    """

    columns: tuple[ColumnMetadata, ...]
    payload: bytes
    last: bool


@dataclass(frozen=True)
class Answer:
    """A result of a batch, whole: values in the Python forms of `values`."""

    columns: tuple[ColumnMetadata, ...]
    rows: list[list[Any]]


@dataclass(frozen=True)
class _Route:
    """Where a server sends its clients on to (ENVCHANGE 20, Azure SQL)."""

    host: str
    port: int


class Client:
    """A logged-in connection.

    Raises (constructor):
        ServerFailure: the server refused the login.
        EncryptionFailure, ssl.SSLError: no encryption, or a certificate that is not trusted.
        OSError: no connection, or it ended (TimeoutError after `login_timeout`).
        ProtocolError: the peer does not speak TDS.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.packet_size = DEFAULT_PACKET_SIZE
        self.server_version = (0, 0, 0)
        self.database = settings.database
        self.encrypted = False
        self.infos: list[k.ServerMessage] = []
        self._closed = False
        self._socket: socket.socket
        self._stream: PacketStream
        self._connect(settings)

    # --- connecting ---------------------------------------------------------------------------------------------------

    def _connect(self, settings: ClientSettings) -> None:
        for _ in range(_MAX_ROUTES):
            route = self._attempt(settings)
            if route is None:
                return
            settings = replace(settings, host=route.host.split("\\", 1)[0], port=route.port)
        raise ProtocolError(f"the server sent its client on more than {_MAX_ROUTES} times")

    def _attempt(self, settings: ClientSettings) -> _Route | None:
        """Connect and log in; the place to go to instead where the server names one."""
        port = settings.port
        if port is None:
            port = instance_port(settings.host, settings.instance, timeout=min(settings.login_timeout, 3.0))
        self._socket = connect_tcp(settings.host, port, settings.login_timeout)
        try:
            _tune(self._socket)
            route = self._handshake(settings)
            self._socket.settimeout(settings.read_timeout)
        except BaseException:
            self.close()
            raise
        if route is not None:
            self._socket.close()
        return route

    def _handshake(self, settings: ClientSettings) -> _Route | None:
        plain: Transport = SocketTransport(self._socket)
        transport = plain
        strict = settings.encrypt == "strict"
        if strict:
            transport = self._tls(settings, in_prelogin=False)
        stream = PacketStream(transport)
        server = self._prelogin(stream, settings)
        mode = "all" if strict else _encryption_mode(bool(settings.encrypt), server.encryption)
        if mode != "none" and not strict:
            stream = PacketStream(self._tls(settings, in_prelogin=True))
        self.encrypted = mode == "all"
        self._send_login(stream, settings, server, mode)
        if mode == "login":
            stream = PacketStream(plain)
        self._stream = stream
        return self._read_login()

    def _tls(self, settings: ClientSettings, *, in_prelogin: bool) -> TlsTransport:
        # encrypt: false asks for no proof of who the server is; it only keeps the password from the wire.
        trusting = in_prelogin and (settings.trust_server_cert or not settings.encrypt)
        context = _tls_context(settings.ca_file, in_prelogin=in_prelogin, trusting=trusting)
        name = settings.host_name_in_certificate or settings.host
        transport = TlsTransport(self._socket, context, server_hostname=name, in_prelogin=in_prelogin)
        if not in_prelogin and transport.ssl.selected_alpn_protocol() not in (TDS8_ALPN, None):
            raise EncryptionFailure("the server does not speak TDS 8.0 (encrypt: strict)")
        return transport

    def _prelogin(self, stream: PacketStream, settings: ClientSettings) -> Prelogin:
        if settings.encrypt == "strict":
            wanted = Encryption.NOT_SUPPORTED  # it is on already; the server does not look at this
        else:
            wanted = Encryption.ON if settings.encrypt else Encryption.OFF
        hello = Prelogin(
            version=(17, 0, 0),
            encryption=wanted,
            fedauth_required=True if settings.access_token is not None else None,
            options={THREAD_ID: struct.pack(">I", threading.get_native_id() & 0xFFFFFFFF)},
        )
        stream.write_message(PacketType.PRELOGIN, hello.encode())
        return Prelogin.decode(_message(stream))

    def _send_login(self, stream: PacketStream, settings: ClientSettings, server: Prelogin, mode: str) -> None:
        # Servers pass over what they do not know; SQL Server 2025 then sends vectors in binary, not as text.
        features = {FEATURE_UTF8: _FEATURE_UTF8_SUPPORTED, FEATURE_VECTOR: _VECTOR_VERSION}
        if settings.access_token is not None:
            features[FEATURE_FEDAUTH] = _fedauth(settings.access_token, bool(server.fedauth_required))
        size = settings.packet_size or (_PACKET_SIZE if mode != "all" else _ENCRYPTED_PACKET_SIZE)
        login = Login7(
            user="" if settings.access_token is not None else settings.user,
            password="" if settings.access_token is not None else settings.password,
            database=settings.database,
            app_name=settings.application_name[:128],
            host_name=socket.gethostname()[:128],
            server_name=settings.host[:128],
            packet_size=size,
            tds_version=TDS_80 if settings.encrypt == "strict" else k.TDS_74,
            process_id=os.getpid(),
            read_only=settings.read_only,
            features=features,
        )
        stream.write_message(PacketType.LOGIN7, login.encode())

    def _read_login(self) -> _Route | None:
        route = None
        acknowledged = False
        errors = []
        for token in k.read_tokens(_message(self._stream)):
            if isinstance(token, k.ServerMessage) and token.is_error:
                errors.append(token)
            elif isinstance(token, k.LoginAck):
                acknowledged = True
                self.server_version = token.version
            elif isinstance(token, k.EnvChange) and token.kind == k.ENV_ROUTING:
                route = _read_route(token)
            else:
                self.note(token)
        if errors:
            raise ServerFailure(errors)
        if not acknowledged and route is None:
            raise ProtocolError("the server answered the login with neither an acknowledgement nor an error")
        return route

    def note(self, token: k.Token) -> None:
        """Take in what a token changes of the session; ERROR tokens are the caller's."""
        if isinstance(token, k.ServerMessage):
            self.infos.append(token)
            del self.infos[:-100]
        elif isinstance(token, k.EnvChange):
            if token.kind == k.ENV_PACKET_SIZE and isinstance(token.new, str) and token.new.isdigit():
                self.packet_size = self._stream.packet_size = int(token.new)
            elif token.kind == k.ENV_DATABASE and isinstance(token.new, str):
                self.database = token.new

    # --- statements ---------------------------------------------------------------------------------------------------

    def execute(self, sql: str) -> None:
        """Run statements that return no rows.

        Raises:
            ServerFailure: the server reported an error.
            OSError, ProtocolError: the connection is lost or out of step; close it.
        """
        stream = self.query(sql)
        if stream is not None:
            raise ProtocolError("a statement that was to return no rows returned some")

    def query(self, sql: str) -> RowStream | None:
        """Send a batch and read its answer up to the rows; None when it has none. Raises as `execute`."""
        self._stream.write_message(PacketType.SQL_BATCH, encode_batch(sql))
        errors: list[k.ServerMessage] = []
        for token, reader, last in self._tokens():
            if isinstance(token, k.Columns) and token.columns:
                return RowStream(token.columns, bytes(reader.data[reader.pos : reader.end]), last)
            if isinstance(token, k.ServerMessage) and token.is_error:
                errors.append(token)
            else:
                self.note(token)
        if errors:
            raise ServerFailure(errors)
        return None

    def fetch(self, sql: str) -> list[Answer]:
        """Run a batch and read its results whole; none when it returns no rows. For small results.

        Raises as `execute`, also when a statement in the midst of the batch failed.
        """
        stream = self.query(sql)
        if stream is None:
            return []
        data = bytearray(stream.payload)
        last = stream.last
        while not last:
            packet = self._stream.read_packet()
            if packet is None:
                raise ConnectionResetError("the server closed the connection")
            header, payload = packet
            last = header.is_last
            data += payload
        return self._results(ByteReader(data, complete=True), stream.columns)

    def _results(self, reader: ByteReader, columns: tuple[ColumnMetadata, ...]) -> list[Answer]:
        """Every result of an answer whose first COLMETADATA has been read."""
        results = [Answer(columns, [])]
        decoder = RowDecoder(columns)
        errors: list[k.ServerMessage] = []
        failed = False
        while reader.remaining:
            kind = reader.data[reader.pos]
            if kind in (k.ROW, k.NBCROW):
                reader.u8()
                results[-1].rows.append(decoder.row(reader) if kind == k.ROW else decoder.nbc_row(reader))
                continue
            token = k.read_token(reader)
            if isinstance(token, k.Columns) and token.columns:
                decoder = RowDecoder(token.columns)
                results.append(Answer(token.columns, []))
            elif isinstance(token, k.ServerMessage) and token.is_error:
                errors.append(token)
            elif isinstance(token, k.Done):
                failed = failed or token.failed
            else:
                self.note(token)
        if errors:
            raise ServerFailure(errors)
        if failed:
            raise ServerFailure([k.ServerMessage(0, 0, 16, "The statement failed without a message of the server.")])
        return results

    def _tokens(self) -> Iterator[tuple[k.Token, ByteReader, bool]]:
        """The tokens of the next message, each with the reader behind it and whether its packet is the last one."""
        pending = b""
        last = False
        while not last:
            packet = self._stream.read_packet()
            if packet is None:
                raise ConnectionResetError("the server closed the connection")
            header, payload = packet
            if header.type != PacketType.TABULAR_RESULT:
                raise ProtocolError(f"packet of type {header.type:#x} as an answer to a statement")
            last = header.is_last
            reader = ByteReader(pending + payload)
            while reader.remaining:
                start = reader.pos
                try:
                    token = k.read_token(reader)
                except NeedMoreData:
                    reader.pos = start
                    break
                yield token, reader, last
            pending = bytes(reader.data[reader.pos : reader.end])
        if pending:
            raise ProtocolError("the answer ends inside a token")

    # --- raw bytes for the row reader ---------------------------------------------------------------------------------

    def recv_into(self, buffer: memoryview) -> int:
        """Some bytes of the packets behind a `RowStream`, headers included.

        Raises:
            ConnectionResetError: the server closed the connection.
            OSError: the connection broke, or `read_timeout` passed without a byte (TimeoutError).
        """
        count = self._stream.transport.recv_into(buffer)
        if not count:
            raise ConnectionResetError("the server closed the connection")
        return count

    def send_attention(self) -> None:
        """Ask the server to end the statement; its acknowledgement is a DONE token with DONE_ATTENTION."""
        self._stream.write_message(PacketType.ATTENTION, b"")

    def set_timeout(self, seconds: float | None) -> None:
        """How long a read may wait for a byte."""
        self._socket.settimeout(seconds)

    def abort(self) -> None:
        """Break the connection, from any thread: a read under way ends with an error."""
        self._closed = True
        with contextlib.suppress(OSError):  # it may be closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._closed = True
        with contextlib.suppress(OSError, AttributeError):  # never connected
            self._socket.close()

    @property
    def closed(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closed


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):  # known to Python, not to this system
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


@lru_cache(maxsize=16)
def _tls_context(ca_file: str | None, *, in_prelogin: bool, trusting: bool) -> ssl.SSLContext:
    """What is the same for all connections; reading the system's authorities takes longer than a handshake."""
    if trusting:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=ca_file)
    if in_prelogin:
        limit_to_prelogin(context)
    else:
        context.set_alpn_protocols([TDS8_ALPN])
    return context


def _message(stream: PacketStream) -> bytes:
    message = stream.read_message()
    if message is None:
        raise ConnectionResetError("the server closed the connection")
    header, payload = message
    if header.type != PacketType.TABULAR_RESULT:
        raise ProtocolError(f"packet of type {header.type:#x} during the login")
    return payload


def _encryption_mode(wanted: bool, offered: Encryption) -> Literal["all", "login", "none"]:
    """What is encrypted, by the table in [MS-TDS] 2.2.6.5.

    Raises:
        EncryptionFailure: it is wanted and the server cannot.
    """
    if offered == Encryption.NOT_SUPPORTED:
        if wanted:
            raise EncryptionFailure("the server does not support encryption (encrypt: true)")
        return "none"
    if wanted or offered != Encryption.OFF:
        return "all"
    return "login"


def _fedauth(token: str, echo: bool) -> bytes:
    """The data of the FEDAUTH feature with a security token; `echo` repeats the server's FEDAUTHREQUIRED."""
    data = token.encode("utf-16-le")
    return struct.pack("<BI", _SECURITY_TOKEN << 1 | echo, len(data)) + data


def _read_route(token: k.EnvChange) -> _Route:
    """Raises ProtocolError when the token is malformed or names another protocol than TCP."""
    if not isinstance(token.new, bytes):
        raise ProtocolError("the server's redirection is malformed")
    reader = ByteReader(token.new, complete=True)
    reader.u16()
    protocol, port, host = reader.u8(), reader.u16(), reader.us_varchar()
    if protocol != 0 or not port:
        raise ProtocolError(f"the server's redirection to {host!r} is not for TCP")
    return _Route(host, port)
