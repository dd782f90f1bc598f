"""Reading of little-endian structures out of a byte buffer, every length checked before it is used."""

from __future__ import annotations

import struct

_U16 = struct.Struct("<H")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_U64 = struct.Struct("<Q")


class ProtocolError(Exception):
    """The peer sent bytes that are not TDS as this package knows it."""


class NeedMoreData(ProtocolError):
    """The buffer ends inside a structure: add bytes and read the structure again from its start."""


class ByteReader:
    """A cursor over a buffer.

    Reads past the end raise `NeedMoreData`, or `ProtocolError` when the buffer is `complete` and no more can come;
    either way `pos` stays where the failing read began.
    """

    __slots__ = ("complete", "data", "end", "pos")

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        pos: int = 0,
        end: int | None = None,
        *,
        complete: bool = False,
    ) -> None:
        self.data = memoryview(data)
        self.pos = pos
        self.end = len(self.data) if end is None else end
        self.complete = complete

    def _take(self, count: int) -> int:
        start = self.pos
        if count < 0 or count > self.end - start:
            message = f"{count} bytes wanted at offset {start}, {self.end - start} left"
            raise ProtocolError(message) if self.complete or count < 0 else NeedMoreData(message)
        self.pos = start + count
        return start

    @property
    def remaining(self) -> int:
        """Bytes left before the end."""
        return self.end - self.pos

    def sub(self, count: int) -> ByteReader:
        """A complete reader over the next `count` bytes, which this reader passes over."""
        return ByteReader(self.raw(count), complete=True)

    def raw(self, count: int) -> bytes:
        """The next `count` bytes, copied."""
        start = self._take(count)
        return bytes(self.data[start : start + count])

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        self._take(count)

    def u8(self) -> int:
        """Unsigned 1-byte integer."""
        return self.data[self._take(1)]

    def u16(self) -> int:
        """Unsigned 2-byte integer."""
        return int(_U16.unpack_from(self.data, self._take(2))[0])

    def i32(self) -> int:
        """Signed 4-byte integer."""
        return int(_I32.unpack_from(self.data, self._take(4))[0])

    def u32(self) -> int:
        """Unsigned 4-byte integer."""
        return int(_U32.unpack_from(self.data, self._take(4))[0])

    def i64(self) -> int:
        """Signed 8-byte integer."""
        return int(_I64.unpack_from(self.data, self._take(8))[0])

    def u64(self) -> int:
        """Unsigned 8-byte integer."""
        return int(_U64.unpack_from(self.data, self._take(8))[0])

    def utf16(self, units: int) -> str:
        """`units` UTF-16 code units as text; lone surrogates are kept as such."""
        return self.raw(units * 2).decode("utf-16-le", "surrogatepass")

    def b_varchar(self) -> str:
        """B_VARCHAR: text with its length in code units in one byte."""
        start = self.pos
        try:
            return self.utf16(self.u8())
        except NeedMoreData:
            self.pos = start
            raise

    def us_varchar(self) -> str:
        """US_VARCHAR: text with its length in code units in two bytes."""
        start = self.pos
        try:
            return self.utf16(self.u16())
        except NeedMoreData:
            self.pos = start
            raise

    def b_varbyte(self) -> bytes:
        """B_VARBYTE: bytes with their count in one byte."""
        return self.raw(self.u8())


def utf16(text: str) -> bytes:
    """Text as UTF-16 little-endian; lone surrogates pass."""
    return text.encode("utf-16-le", "surrogatepass")


def b_varchar(text: str) -> bytes:
    """Text as B_VARCHAR (at most 255 code units).

    Raises:
        ValueError: the text is longer than that.
    """
    data = utf16(text)
    if len(data) > 510:
        raise ValueError(f"text of {len(data) // 2} code units does not fit B_VARCHAR")
    return bytes((len(data) // 2,)) + data


def us_varchar(text: str) -> bytes:
    """Text as US_VARCHAR, cut to 65535 code units."""
    data = utf16(text)[: 65535 * 2]
    return _U16.pack(len(data) // 2) + data
