"""The LOGIN7 message: who connects, to which database, with which features."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from .buffer import ByteReader, ProtocolError, utf16
from .tokens import TDS_74

FEATURE_SESSION_RECOVERY = 0x01
FEATURE_FEDAUTH = 0x02
FEATURE_COLUMN_ENCRYPTION = 0x04
FEATURE_GLOBAL_TRANSACTIONS = 0x05
FEATURE_AZURE_SQL = 0x08
FEATURE_DATA_CLASSIFICATION = 0x09
FEATURE_UTF8 = 0x0A
FEATURE_JSON = 0x0D
FEATURE_VECTOR = 0x0E

_FEDAUTH_SECURITY_TOKEN = 0x01
_FIXED_SIZE = 94
_FEATURES_END = 0xFF

# OptionFlags1: fUseDB, fDatabase (fail when it cannot be opened), fSetLang.
_FLAGS1 = 0xE0
# OptionFlags2: fLanguage (fail when it cannot be set), fODBC: ANSI defaults are set and no row limit is.
_FLAGS2 = 0x03
_FLAGS2_INTEGRATED = 0x80
# OptionFlags3: fUnknownCollationHandling, fExtension.
_FLAGS3 = 0x08
_FLAGS3_EXTENSION = 0x10
# TypeFlags: fReadOnlyIntent.
_READ_ONLY_INTENT = 0x20


@dataclass(frozen=True)
class Login7:
    """A login. `password` and `access_token` are left out of its repr.

    `features` maps feature numbers to their data; FEDAUTH is made from `access_token` when that is given.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    app_name: str = ""
    host_name: str = ""
    server_name: str = ""
    library: str = "mssql-pg-migrate"
    language: str = ""
    packet_size: int = 4096
    tds_version: int = TDS_74
    process_id: int = 0
    lcid: int = 0x0409
    read_only: bool = False
    access_token: str | None = field(default=None, repr=False)
    features: dict[int, bytes] = field(default_factory=dict, repr=False)
    integrated: bool = False

    def encode(self) -> bytes:
        """The message's payload."""
        features = dict(self.features)
        if self.access_token is not None:
            token = utf16(self.access_token)
            features[FEATURE_FEDAUTH] = struct.pack("<BI", _FEDAUTH_SECURITY_TOKEN << 1, len(token)) + token
        texts = [
            utf16(self.host_name),
            utf16(self.user),
            scramble(utf16(self.password)),
            utf16(self.app_name),
            utf16(self.server_name),
            None,
            utf16(self.library),
            utf16(self.language),
            utf16(self.database),
        ]
        head = bytearray()
        body = bytearray()
        for text in texts:
            if text is None:
                # The extension: an offset to the features, which come last in the message.
                head += struct.pack("<HH", _FIXED_SIZE + len(body), 4 if features else 0)
                extension_at = len(body)
                body += bytes(4) if features else b""
            else:
                head += struct.pack("<HH", _FIXED_SIZE + len(body), len(text) // 2)
                body += text
        end = _FIXED_SIZE + len(body)
        head += bytes(6) + struct.pack("<HHHHHHI", end, 0, end, 0, end, 0, 0)
        if features:
            struct.pack_into("<I", body, extension_at, end)
            for key, data in features.items():
                body += struct.pack("<BI", key, len(data)) + data
            body.append(_FEATURES_END)
        fixed = struct.pack(
            "<IIIIIBBBBiI",
            self.tds_version,
            self.packet_size,
            0x01000000,
            self.process_id,
            0,
            _FLAGS1,
            _FLAGS2,
            _READ_ONLY_INTENT if self.read_only else 0,
            _FLAGS3 | (_FLAGS3_EXTENSION if features else 0),
            0,
            self.lcid,
        )
        return struct.pack("<I", _FIXED_SIZE + len(body)) + fixed + bytes(head) + bytes(body)

    @classmethod
    def decode(cls, payload: bytes) -> Login7:
        """Read a login.

        Raises:
            ProtocolError: a field points outside the message.
        """
        reader = ByteReader(payload, complete=True)
        reader.skip(4)
        tds_version, packet_size, _, process_id, _ = (reader.u32() for _ in range(5))
        _, flags2, type_flags, flags3 = (reader.u8() for _ in range(4))
        reader.skip(4)
        lcid = reader.u32()
        places = [(reader.u16(), reader.u16()) for _ in range(9)]

        def text(index: int) -> str:
            offset, length = places[index]
            return ByteReader(payload, offset, complete=True).utf16(length) if length else ""

        offset, length = places[2]
        hidden = ByteReader(payload, offset, complete=True).raw(length * 2) if length else b""
        features = _read_features(payload, places[5]) if flags3 & _FLAGS3_EXTENSION else {}
        return cls(
            user=text(1),
            password=unscramble(hidden).decode("utf-16-le", "surrogatepass"),
            database=text(8),
            app_name=text(3),
            host_name=text(0),
            server_name=text(4),
            library=text(6),
            language=text(7),
            packet_size=packet_size,
            tds_version=tds_version,
            process_id=process_id,
            lcid=lcid,
            read_only=bool(type_flags & _READ_ONLY_INTENT),
            access_token=_access_token(features.get(FEATURE_FEDAUTH)),
            features=features,
            integrated=bool(flags2 & _FLAGS2_INTEGRATED),
        )


def _read_features(payload: bytes, place: tuple[int, int]) -> dict[int, bytes]:
    offset, length = place
    if length < 4:
        return {}
    reader = ByteReader(payload, ByteReader(payload, offset, complete=True).u32(), complete=True)
    features: dict[int, bytes] = {}
    while (key := reader.u8()) != _FEATURES_END:
        features[key] = reader.raw(reader.u32())
    return features


def _access_token(data: bytes | None) -> str | None:
    if not data or data[0] >> 1 != _FEDAUTH_SECURITY_TOKEN:
        return None
    reader = ByteReader(data, 1, complete=True)
    token = reader.raw(reader.u32())
    if len(token) % 2:
        raise ProtocolError("the access token is not UTF-16")
    return token.decode("utf-16-le", "surrogatepass")


_SWAP = bytes(((b << 4 | b >> 4) & 0xFF) ^ 0xA5 for b in range(256))
_UNSWAP = bytes(((b ^ 0xA5) << 4 | (b ^ 0xA5) >> 4) & 0xFF for b in range(256))


def scramble(data: bytes) -> bytes:
    """A password's bytes as LOGIN7 carries them: half-bytes swapped, then XOR 0xA5. Not encryption."""
    return data.translate(_SWAP)


def unscramble(data: bytes) -> bytes:
    """The reverse of `scramble`."""
    return data.translate(_UNSWAP)
