"""The PRELOGIN message: versions, and what of the conversation is encrypted."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field

from .buffer import ByteReader, ProtocolError

VERSION = 0x00
ENCRYPTION = 0x01
INSTANCE = 0x02
THREAD_ID = 0x03
MARS = 0x04
TRACE_ID = 0x05
FEDAUTH_REQUIRED = 0x06
NONCE = 0x07
_TERMINATOR = 0xFF


class Encryption(enum.IntEnum):
    """Values of the ENCRYPTION option. OFF still encrypts the LOGIN7 message where both sides can."""

    OFF = 0
    ON = 1
    NOT_SUPPORTED = 2
    REQUIRED = 3


@dataclass(frozen=True)
class Prelogin:
    """A PRELOGIN message of either side. `version` is (major, minor, build); `options` keeps all other options."""

    version: tuple[int, int, int] = (0, 0, 0)
    encryption: Encryption = Encryption.OFF
    mars: bool = False
    fedauth_required: bool | None = None
    options: dict[int, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message's payload."""
        major, minor, build = self.version
        options: dict[int, bytes] = {
            VERSION: struct.pack(">BBHH", major, minor, build, 0),
            ENCRYPTION: bytes((self.encryption,)),
            INSTANCE: b"\x00",
            THREAD_ID: b"",
            MARS: bytes((self.mars,)),
        }
        if self.fedauth_required is not None:
            options[FEDAUTH_REQUIRED] = bytes((self.fedauth_required,))
        options.update(self.options)
        offset = len(options) * 5 + 1
        head = bytearray()
        for key, data in options.items():
            head += struct.pack(">BHH", key, offset, len(data))
            offset += len(data)
        return bytes(head) + bytes((_TERMINATOR,)) + b"".join(options.values())

    @classmethod
    def decode(cls, payload: bytes) -> Prelogin:
        """Read a message.

        Raises:
            ProtocolError: an option points outside the message, or the encryption value is unknown.
        """
        found: dict[int, bytes] = {}
        head = ByteReader(payload, complete=True)
        while (key := head.u8()) != _TERMINATOR:
            offset, length = struct.unpack(">HH", head.raw(4))
            found[key] = ByteReader(payload, offset, complete=True).raw(length)
        version = (found.pop(VERSION, b"") + bytes(4))[:4]
        try:
            encryption = Encryption((found.pop(ENCRYPTION, b"") or b"\x02")[0] & 0x0F)
        except ValueError as error:
            raise ProtocolError(f"unknown encryption option: {error}") from None
        fedauth = found.pop(FEDAUTH_REQUIRED, None)
        return cls(
            (version[0], version[1], version[2] << 8 | version[3]),
            encryption,
            found.pop(MARS, b"\x00") == b"\x01",
            None if fedauth is None else fedauth[:1] == b"\x01",
            found,
        )
