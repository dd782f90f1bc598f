"""TLS the way TDS has it.

Up to TDS 7.4 the handshake travels inside PRELOGIN packets and the encrypted records then go bare over the socket;
TDS 8.0 ("strict") runs everything inside an ordinary TLS connection. Both are one class here, over `ssl.MemoryBIO`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from .buffer import ProtocolError
from .packets import PacketStream, PacketType

TDS8_ALPN = "tds/8.0"
_CHUNK = 1 << 16


class SocketTransport:
    """A plain socket as a `packets.Transport`."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def recv_into(self, buffer: memoryview) -> int:
        """Read some bytes; 0 at the end of the connection."""
        return self.socket.recv_into(buffer)

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes."""
        self.socket.sendall(data)


class TlsTransport:
    """A TLS session over a socket. One thread at a time may use it.

    `in_prelogin` wraps the handshake in PRELOGIN packets of at most `packet_size` bytes. TLS 1.3 does not fit there:
    it sends session tickets after the handshake, where the peer may have gone back to plain packets already.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        in_prelogin: bool = True,
        packet_size: int = 4096,
    ) -> None:
        self.socket = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._buffer = bytearray(_CHUNK)
        self._handshake(in_prelogin, packet_size)

    def _handshake(self, in_prelogin: bool, packet_size: int) -> None:
        stream = PacketStream(SocketTransport(self.socket), packet_size)
        while True:
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                self._send_handshake(stream, in_prelogin)
                self._receive_handshake(stream, in_prelogin)
                continue
            except ssl.SSLError:
                # The alert says why; the error is raised whether or not it can still be sent.
                with contextlib.suppress(OSError):
                    self._send_handshake(stream, in_prelogin)
                raise
            break
        self._send_handshake(stream, in_prelogin)

    def _send_handshake(self, stream: PacketStream, in_prelogin: bool) -> None:
        data = self._outgoing.read()
        if not data:
            return
        if in_prelogin:
            stream.write_message(PacketType.PRELOGIN, data)
        else:
            self.socket.sendall(data)

    def _receive_handshake(self, stream: PacketStream, in_prelogin: bool) -> None:
        if not in_prelogin:
            if not self._receive():
                raise ConnectionResetError("the connection ended during the TLS handshake")
            return
        packet = stream.read_packet()
        if packet is None:
            raise ConnectionResetError("the connection ended during the TLS handshake")
        header, payload = packet
        # Clients use PRELOGIN packets; a few servers answer in packets of tabular results.
        if header.type not in (PacketType.PRELOGIN, PacketType.TABULAR_RESULT):
            raise ProtocolError(f"packet of type {header.type:#x} during the TLS handshake")
        self._incoming.write(payload)

    def _receive(self) -> int:
        count = self.socket.recv_into(self._buffer)
        if count:
            self._incoming.write(memoryview(self._buffer)[:count])
        else:
            self._incoming.write_eof()
        return count

    def recv_into(self, buffer: memoryview) -> int:
        """Read some decrypted bytes; 0 at the end of the connection."""
        while True:
            try:
                return self.ssl.read(len(buffer), buffer)  # type: ignore[return-value]
            except ssl.SSLWantReadError:
                self._flush()
                if not self._receive():
                    return 0
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send all bytes."""
        view = memoryview(data)
        while len(view):
            view = view[self.ssl.write(view[: 1 << 20]) :]
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.socket.sendall(self._outgoing.read())

    @property
    def pending(self) -> bool:
        """Whether bytes that arrived from the socket wait to be read."""
        return bool(self._incoming.pending or self.ssl.pending())


def limit_to_prelogin(context: ssl.SSLContext) -> ssl.SSLContext:
    """Keep a context from TLS 1.3, which does not fit inside PRELOGIN packets. Returns the context."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
