"""TDS packets: the 8-byte header, and messages cut into packets and put together again."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .buffer import ProtocolError

HEADER_SIZE = 8
DEFAULT_PACKET_SIZE = 4096
MIN_PACKET_SIZE = 512
MAX_PACKET_SIZE = 32767

STATUS_NORMAL = 0x00
STATUS_EOM = 0x01
STATUS_IGNORE = 0x02
STATUS_RESET_CONNECTION = 0x08
STATUS_RESET_CONNECTION_KEEP_TRANSACTION = 0x10

_HEADER = struct.Struct(">BBHHBB")


class PacketType(enum.IntEnum):
    """The first byte of every packet."""

    SQL_BATCH = 0x01
    RPC = 0x03
    TABULAR_RESULT = 0x04
    ATTENTION = 0x06
    BULK_LOAD = 0x07
    FEDAUTH_TOKEN = 0x08
    TRANSACTION_MANAGER = 0x0E
    LOGIN7 = 0x10
    SSPI = 0x11
    PRELOGIN = 0x12


class Transport(Protocol):
    """What a packet stream needs of a connection: a socket or a TLS tunnel over one."""

    def recv_into(self, buffer: memoryview) -> int:
        """Read some bytes into the buffer; 0 at the end of the connection."""

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send all bytes."""


@dataclass(frozen=True)
class PacketHeader:
    """The header of one packet. `length` counts the header itself."""

    type: int
    status: int
    length: int
    spid: int = 0
    packet_id: int = 0
    window: int = 0

    @property
    def is_last(self) -> bool:
        """Whether the packet ends its message."""
        return bool(self.status & STATUS_EOM)

    def encode(self) -> bytes:
        """The eight bytes."""
        return _HEADER.pack(self.type, self.status, self.length, self.spid, self.packet_id & 0xFF, self.window)

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> PacketHeader:
        """Read a header.

        Raises:
            ProtocolError: the length field is smaller than a header.
        """
        header = cls(*_HEADER.unpack_from(data, offset))
        if header.length < HEADER_SIZE:
            raise ProtocolError(f"packet length {header.length} is smaller than a packet header")
        return header


def split_message(
    packet_type: int, payload: bytes | memoryview, packet_size: int, *, status: int = 0, spid: int = 0
) -> Iterator[bytes]:
    """Cut a whole message into packets of at most `packet_size` bytes. An empty message is one packet.

    `status` is set on the first packet (connection reset), the last one carries end-of-message.
    """
    room = packet_size - HEADER_SIZE
    view = memoryview(payload)
    count = max(1, -(-len(view) // room))
    for index in range(count):
        part = view[index * room : (index + 1) * room]
        flags = (status if index == 0 else 0) | (STATUS_EOM if index == count - 1 else 0)
        header = PacketHeader(packet_type, flags, len(part) + HEADER_SIZE, spid, index + 1)
        yield header.encode() + part


class PacketStream:
    """Packets over a transport, blocking. One thread at a time may read and one may write."""

    def __init__(self, transport: Transport, packet_size: int = DEFAULT_PACKET_SIZE) -> None:
        self.transport = transport
        self.packet_size = packet_size
        self.spid = 0
        self._header = bytearray(HEADER_SIZE)

    def _read_exactly(self, view: memoryview) -> int:
        """Fill the buffer; returns the bytes read, fewer only at the end of the connection."""
        done = 0
        while done < len(view):
            count = self.transport.recv_into(view[done:])
            if not count:
                break
            done += count
        return done

    def read_packet(self) -> tuple[PacketHeader, bytes] | None:
        """The next packet and its payload; None when the peer closed the connection between packets.

        Raises:
            ProtocolError: the header is malformed.
            ConnectionError: the connection ended inside a packet.
        """
        got = self._read_exactly(memoryview(self._header))
        if got == 0:
            return None
        if got < HEADER_SIZE:
            raise ConnectionResetError("the connection ended inside a packet header")
        header = PacketHeader.decode(self._header)
        payload = bytearray(header.length - HEADER_SIZE)
        if self._read_exactly(memoryview(payload)) < len(payload):
            raise ConnectionResetError("the connection ended inside a packet")
        return header, bytes(payload)

    def read_message(self, limit: int = 1 << 30) -> tuple[PacketHeader, bytes] | None:
        """The next message: the header of its first packet and the payloads joined; None at the end.

        Raises:
            ProtocolError: packets of another type are mixed in, or the message is longer than `limit` bytes.
            ConnectionError: the connection ended inside the message.
        """
        packet = self.read_packet()
        if packet is None:
            return None
        first, payload = packet
        if first.is_last:
            return first, payload
        parts = [payload]
        size = len(payload)
        while True:
            packet = self.read_packet()
            if packet is None:
                raise ConnectionResetError("the connection ended inside a message")
            header, payload = packet
            if header.type == PacketType.ATTENTION:
                return header, payload
            if header.type != first.type:
                raise ProtocolError(f"packet of type {header.type:#x} inside a message of type {first.type:#x}")
            parts.append(payload)
            size += len(payload)
            if size > limit:
                raise ProtocolError(f"message longer than {limit} bytes")
            if header.is_last:
                if header.status & STATUS_IGNORE:
                    return self.read_message(limit)
                return first, b"".join(parts)

    def write_message(self, packet_type: int, payload: bytes | memoryview, *, status: int = 0) -> None:
        """Send a whole message."""
        packets = split_message(packet_type, payload, self.packet_size, status=status, spid=self.spid)
        self.transport.sendall(b"".join(packets))
