"""SQL Server collations: their five bytes on the wire, their names and their code pages.

The five bytes are a Windows LCID (20 bits), comparison flags, a version, and the sort id of a SQL collation
([MS-TDS] 2.2.5.1.2). Code pages of LCIDs follow [MS-LCID] and those of sort ids the table of SQL collations in
SQL Server's documentation.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

IGNORE_CASE = 1 << 20
IGNORE_ACCENT = 1 << 21
IGNORE_KANA = 1 << 22
IGNORE_WIDTH = 1 << 23
BINARY = 1 << 24
BINARY2 = 1 << 25
UTF8 = 1 << 26

DEFAULT_NAME = "SQL_Latin1_General_CP1_CI_AS"

_CODE_PAGE_OF_LCID: dict[int, int] = {
    **dict.fromkeys((0x0405, 0x040E, 0x0415, 0x0418, 0x041A, 0x041B, 0x041C, 0x0424, 0x0442), 1250),
    **dict.fromkeys((0x081A, 0x101A, 0x104E, 0x141A, 0x241A), 1250),
    **dict.fromkeys((0x0402, 0x0419, 0x0422, 0x0423, 0x042F, 0x043F, 0x0440, 0x0444, 0x0450), 1251),
    **dict.fromkeys((0x046D, 0x0C1A, 0x082C, 0x0843, 0x0485, 0x201A, 0x0428, 0x1C1A), 1251),
    0x0408: 1253,
    **dict.fromkeys((0x041F, 0x042C, 0x0443), 1254),
    0x040D: 1255,
    **dict.fromkeys((0x0401, 0x0420, 0x0429, 0x0480, 0x048C), 1256),
    **dict.fromkeys((0x0425, 0x0426, 0x0427, 0x0827), 1257),
    0x042A: 1258,
    0x041E: 874,
    **dict.fromkeys((0x0411, 0x10411, 0x40411), 932),
    **dict.fromkeys((0x0804, 0x1004, 0x20804, 0x50804), 936),
    **dict.fromkeys((0x0412, 0x10412), 949),
    **dict.fromkeys((0x0404, 0x0C04, 0x1404, 0x30404, 0x40404, 0x21404), 950),
}
_UNICODE_ONLY_LCIDS = frozenset((0x0437, 0x0439, 0x0461, 0x044D, 0x044E, 0x0445, 0x0454, 0x0453, 0x045A, 0x0451))

_CODE_PAGE_OF_SORT_ID: tuple[tuple[range, int], ...] = (
    (range(30, 36), 437),
    (range(40, 50), 850),
    (range(50, 55), 1252),
    (range(55, 62), 850),
    (range(71, 76), 1252),
    (range(80, 99), 1250),
    (range(104, 109), 1251),
    (range(112, 125), 1253),
    (range(128, 131), 1254),
    (range(136, 139), 1255),
    (range(144, 147), 1256),
    (range(152, 161), 1257),
    (range(183, 187), 1252),
    (range(192, 194), 932),
    (range(194, 196), 949),
    (range(196, 198), 950),
    (range(198, 200), 936),
    (range(200, 201), 932),
    (range(201, 202), 949),
    (range(202, 203), 950),
    (range(203, 204), 936),
    (range(204, 207), 874),
    (range(210, 218), 1252),
)

_LCID_OF_PREFIX: dict[str, int] = {
    "latin1_general": 0x0409,
    "albanian": 0x041C,
    "arabic": 0x0401,
    "chinese_prc": 0x0804,
    "chinese_taiwan_stroke": 0x0404,
    "croatian": 0x041A,
    "cyrillic_general": 0x0419,
    "czech": 0x0405,
    "danish_norwegian": 0x0406,
    "danish_greenlandic": 0x0406,
    "estonian": 0x0425,
    "finnish_swedish": 0x040B,
    "french": 0x040C,
    "german_phonebook": 0x10407,
    "greek": 0x0408,
    "hebrew": 0x040D,
    "hungarian": 0x040E,
    "icelandic": 0x040F,
    "indic_general": 0x0439,
    "japanese": 0x0411,
    "japanese_xjis": 0x0411,
    "korean": 0x0412,
    "korean_wansung": 0x0412,
    "latvian": 0x0426,
    "lithuanian": 0x0427,
    "modern_spanish": 0x0C0A,
    "polish": 0x0415,
    "romanian": 0x0418,
    "slovak": 0x041B,
    "slovenian": 0x0424,
    "thai": 0x041E,
    "traditional_spanish": 0x040A,
    "turkish": 0x041F,
    "ukrainian": 0x0422,
    "vietnamese": 0x042A,
}
_VERSIONS = {"": 0, "90": 1, "100": 2, "140": 3}

_SORT_ID_OF_NAME: dict[str, tuple[int, int]] = {
    # name -> (LCID, sort id)
    "sql_latin1_general_cp437_bin": (0x0409, 30),
    "sql_latin1_general_cp437_cs_as": (0x0409, 31),
    "sql_latin1_general_cp437_ci_as": (0x0409, 32),
    "sql_latin1_general_cp850_bin": (0x0409, 40),
    "sql_latin1_general_cp850_cs_as": (0x0409, 41),
    "sql_latin1_general_cp850_ci_as": (0x0409, 42),
    "sql_latin1_general_cp1_cs_as": (0x0409, 51),
    "sql_latin1_general_cp1_ci_as": (0x0409, 52),
    "sql_latin1_general_pref_cp1_ci_as": (0x0409, 53),
    "sql_latin1_general_cp1_ci_ai": (0x0409, 54),
    "sql_latin1_general_cp1250_cs_as": (0x0409, 81),
    "sql_latin1_general_cp1250_ci_as": (0x0409, 82),
    "sql_latin1_general_cp1251_cs_as": (0x0419, 105),
    "sql_latin1_general_cp1251_ci_as": (0x0419, 106),
    "sql_latin1_general_cp1253_cs_as": (0x0408, 113),
    "sql_latin1_general_cp1253_ci_as": (0x0408, 114),
    "sql_latin1_general_cp1254_cs_as": (0x041F, 129),
    "sql_latin1_general_cp1254_ci_as": (0x041F, 130),
    "sql_latin1_general_cp1255_cs_as": (0x040D, 137),
    "sql_latin1_general_cp1255_ci_as": (0x040D, 138),
    "sql_latin1_general_cp1256_cs_as": (0x0401, 145),
    "sql_latin1_general_cp1256_ci_as": (0x0401, 146),
    "sql_latin1_general_cp1257_cs_as": (0x0425, 153),
    "sql_latin1_general_cp1257_ci_as": (0x0425, 154),
}

_NAME = re.compile(
    r"(?P<prefix>[a-z0-9_]+?)(?:_(?P<version>90|100|140))?"
    r"_(?:(?P<binary>bin2?)|(?P<case>c[is])_(?P<accent>a[is])(?P<kana>_ks)?(?P<width>_ws)?(?:_sc|_vss)*)"
    r"(?P<utf8>_utf8)?"
)


@dataclass(frozen=True)
class Collation:
    """A collation taken apart. `code_page` is 65001 for UTF-8 and 0 for collations without one (Unicode only)."""

    lcid: int
    flags: int = IGNORE_CASE | IGNORE_KANA | IGNORE_WIDTH
    version: int = 0
    sort_id: int = 0

    @classmethod
    def decode(cls, data: bytes) -> Collation:
        """Take the five bytes apart.

        Raises:
            ValueError: there are not five bytes.
        """
        if len(data) != 5:
            raise ValueError(f"a collation has 5 bytes, not {len(data)}")
        info = int.from_bytes(data[:4], "little")
        return cls(info & 0xFFFFF, info & 0x0FF00000, info >> 28, data[4])

    @classmethod
    def from_name(cls, name: str) -> Collation:
        """The collation of a name such as `Latin1_General_100_BIN2`.

        Raises:
            ValueError: the name is not that of a collation known here.
        """
        lowered = name.lower()
        match = _NAME.fullmatch(lowered)
        if match is None:
            raise ValueError(f"unknown collation {name!r}")
        lcid, sort_id = _SORT_ID_OF_NAME.get(lowered, (None, 0))
        if lcid is None:
            lcid = _LCID_OF_PREFIX.get(match["prefix"])
        if lcid is None:
            raise ValueError(f"unknown collation {name!r}")
        if match["binary"]:
            flags = BINARY2 if match["binary"] == "bin2" else BINARY
        else:
            flags = 0 if match["kana"] else IGNORE_KANA
            flags |= 0 if match["width"] else IGNORE_WIDTH
            flags |= IGNORE_CASE if match["case"] == "ci" else 0
            flags |= IGNORE_ACCENT if match["accent"] == "ai" else 0
        if match["utf8"]:
            flags |= UTF8
        return cls(lcid, flags, _VERSIONS[match["version"] or ""], sort_id)

    def encode(self) -> bytes:
        """The five bytes."""
        info = self.lcid | self.flags | self.version << 28
        return info.to_bytes(4, "little") + bytes((self.sort_id,))

    @property
    def is_binary(self) -> bool:
        """Whether strings compare by their code values."""
        return bool(self.flags & (BINARY | BINARY2))

    @property
    def ignore_case(self) -> bool:
        """Whether `a` equals `A`."""
        return bool(self.flags & IGNORE_CASE)

    @property
    def ignore_accent(self) -> bool:
        """Whether `a` equals `á`."""
        return bool(self.flags & IGNORE_ACCENT)

    @property
    def code_page(self) -> int:
        """The code page of char, varchar and text under this collation."""
        if self.flags & UTF8:
            return 65001
        if self.sort_id:
            for ids, page in _CODE_PAGE_OF_SORT_ID:
                if self.sort_id in ids:
                    return page
        if self.lcid in _UNICODE_ONLY_LCIDS:
            return 0
        return _CODE_PAGE_OF_LCID.get(self.lcid, 1252)

    @property
    def codec(self) -> str:
        """The name of Python's codec for `code_page`."""
        page = self.code_page
        return "utf-8" if page == 65001 else f"cp{page or 1252}"


@lru_cache(maxsize=256)
def codec_of(collation: bytes | None) -> str:
    """Python's codec for char data under the five bytes of a collation (cp1252 without one)."""
    return Collation.decode(collation).codec if collation else "cp1252"


# What Windows makes of bytes that Python's tables leave free, beyond the C1 controls: characters of the private use
# area ("Undefined -> EUDC" of the WindowsBestFit tables that Microsoft gave to Unicode, bestfit874.txt and so on), and
# the euro of code page 936.
_WINDOWS_ONLY: dict[str, dict[int, int]] = {
    "cp874": {**{0xDB + i: 0xF8C1 + i for i in range(4)}, **{0xFC + i: 0xF8C5 + i for i in range(4)}},
    "cp936": {0x80: 0x20AC, 0xFF: 0xF8F5},
    "cp1253": {0xAA: 0xF8F9, 0xD2: 0xF8FA, 0xFF: 0xF8FB},
    "cp1255": {
        0xCA: 0x05BA,
        **{0xD9 + i: 0xF88D + i for i in range(7)},
        0xFB: 0xF894,
        0xFC: 0xF895,
        0xFF: 0xF896,
    },
    "cp1257": {0xA1: 0xF8FC, 0xA5: 0xF8FD},
}
HOLES = "mssql_pg_migrate.windows_holes"
"""Name of the codec error handler for code pages that have no characters of Windows' own."""


def _handler(codec: str) -> Callable[[UnicodeError], tuple[str | bytes, int]]:
    characters = _WINDOWS_ONLY.get(codec, {})
    numbers = {character: byte for byte, character in characters.items()}

    def handle(error: UnicodeError) -> tuple[str | bytes, int]:
        """Windows' way with the holes of its code pages: byte 0x81 is U+0081 and back; `?` for the rest."""
        if isinstance(error, UnicodeDecodeError):
            data = error.object[error.start : error.end]
            return "".join(chr(characters.get(byte, byte)) for byte in data), error.end
        if isinstance(error, UnicodeEncodeError):
            codes = map(ord, error.object[error.start : error.end])
            return bytes(numbers.get(c, c if 0x80 <= c <= 0x9F else 0x3F) for c in codes), error.end
        raise error

    return handle


codecs.register_error(HOLES, _handler(""))
for _codec in _WINDOWS_ONLY:
    codecs.register_error(f"{HOLES}.{_codec}", _handler(_codec))


def holes_of(codec: str) -> str:
    """The name of the codec error handler with which a codec of Python converts as Windows does."""
    return f"{HOLES}.{codec}" if codec in _WINDOWS_ONLY else HOLES


def decode_char(data: bytes, collation: bytes | None) -> str:
    """char, varchar and text bytes as text, as SQL Server converts them to Unicode."""
    codec = codec_of(collation)
    return data.decode(codec, holes_of(codec))


def encode_char(text: str, collation: bytes | None) -> bytes:
    """Text in a collation's code page; characters it lacks become `?`, as SQL Server stores them."""
    codec = codec_of(collation)
    if codec == "cp936" and "\N{EURO SIGN}" in text:
        # Python's table has the euro where GBK has it, Windows' at 0x80.
        return b"\x80".join(part.encode(codec, holes_of(codec)) for part in text.split("\N{EURO SIGN}"))
    return text.encode(codec, "replace" if codec == "utf-8" else holes_of(codec))
