"""A second, slow transcoder in plain Python, and a harness that feeds the compiled one.

The COPY fields here are written from PostgreSQL's documentation of its binary formats, by way of Python's own numbers
and dates; nothing is shared with the C sources.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.tds import metadata as m
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.collations import Collation
from mssql_pg_migrate.tds.values import encode_value

ENCODINGS = (
    "bool", "int2", "int4", "int8", "numeric", "float4", "float8",
    "text", "bytea", "uuid", "date", "time", "timestamp", "timestamptz", "vector", "none",
)  # fmt: skip
LATIN = Collation.from_name("SQL_Latin1_General_CP1_CI_AS").encode()
UTF8 = Collation.from_name("Latin1_General_100_CI_AS_SC_UTF8").encode()

DAYS_TO_2000 = 730119
DAY = 86_400_000_000


# --- COPY fields ------------------------------------------------------------------------------------------------------


def numeric_field(value: Decimal) -> bytes:
    """int16 groups, weight, sign, display scale, then groups of four decimal digits around the point."""
    sign, digits, exponent = value.as_tuple()
    scale = -int(exponent)
    text = "".join(map(str, digits)).rjust(scale + 1, "0")
    whole, fraction = (text[:-scale], text[-scale:]) if scale else (text, "")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int((whole + fraction)[i : i + 4]) for i in range(0, len(whole + fraction), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups.pop(0)
        weight -= 1
    while groups and groups[-1] == 0:
        groups.pop()
    if not groups:
        return struct.pack(">hhHh", 0, 0, 0, scale)
    return struct.pack(f">hhHh{len(groups)}h", len(groups), weight, 0x4000 if sign else 0, scale, *groups)


def _micros(ticks: int) -> int:
    return ticks // 10


def _timestamp(ticks: int) -> bytes:
    return struct.pack(">q", _micros(ticks) - DAYS_TO_2000 * DAY)


FIELDS: dict[str, Callable[[Any], bytes]] = {
    "bool": lambda v: struct.pack(">?", v),
    "int2": lambda v: struct.pack(">h", v),
    "int4": lambda v: struct.pack(">i", v),
    "int8": lambda v: struct.pack(">q", v),
    "numeric": lambda v: numeric_field(Decimal(v)),
    "float4": lambda v: struct.pack(">f", v),
    "float8": lambda v: struct.pack(">d", v),
    "text": lambda v: v.encode(),
    "bytea": bytes,
    "uuid": lambda v: uuid.UUID(str(v)).bytes,
    "date": lambda v: struct.pack(">i", v - DAYS_TO_2000),
    "time": lambda v: struct.pack(">q", _micros(v)),
    "timestamp": _timestamp,
    "timestamptz": lambda v: _timestamp(v[0]),
}


def copy_field(encoding: str, info: m.TypeInfo, value: Any) -> bytes:
    """A value, in the Python form of `tds.values`, as a COPY field with its length."""
    if encoding == "none":
        return b""
    if value is None:
        return b"\xff\xff\xff\xff"
    if info.type_id in (t.DATETIME, t.DATETIMEN):  # what SQL Server shows: whole milliseconds
        value = (value + 5_000) // 10_000 * 10_000
    data = FIELDS[encoding](value)
    return struct.pack(">i", len(data)) + data


# --- columns and streams ----------------------------------------------------------------------------------------------


@dataclass
class Col:
    """A column of a made-up result."""

    info: m.TypeInfo
    encoding: str
    key: int = -1

    @property
    def spec(self) -> tuple[int, ...]:
        """The column as the compiled transcoder takes it."""
        info = self.info
        page = Collation.decode(info.collation).code_page if info.collation else 0
        number = ENCODINGS.index(self.encoding)
        return (info.type_id, info.length & 0xFFFFFFFF, info.precision, info.scale, page, number, self.key)


def ti(kind: int, length: int = 0, precision: int = 0, scale: int = 0, collation: bytes | None = None) -> m.TypeInfo:
    """Short for TypeInfo."""
    return m.TypeInfo(type_id=kind, length=length, precision=precision, scale=scale, collation=collation)


def specs(columns: Sequence[Col]) -> list[tuple[int, ...]]:
    """All columns as the compiled transcoder takes them."""
    return [column.spec for column in columns]


def row(columns: Sequence[Col], values: Sequence[Any]) -> bytes:
    """A ROW token."""
    return b"\xd1" + b"".join(encode_value(c.info, v) for c, v in zip(columns, values, strict=True))


def nbc_row(columns: Sequence[Col], values: Sequence[Any]) -> bytes:
    """An NBCROW token: NULLs only in its bitmap."""
    bitmap = bytearray((len(columns) + 7) // 8)
    parts = []
    for index, (column, value) in enumerate(zip(columns, values, strict=True)):
        if value is None:
            bitmap[index >> 3] |= 1 << (index & 7)
        else:
            parts.append(encode_value(column.info, value))
    return b"\xd2" + bytes(bitmap) + b"".join(parts)


def tuples(columns: Sequence[Col], rows: Iterable[Sequence[Any]]) -> bytes:
    """The COPY tuples of rows."""
    count = sum(column.encoding != "none" for column in columns)
    return b"".join(
        struct.pack(">h", count)
        + b"".join(copy_field(c.encoding, c.info, v) for c, v in zip(columns, values, strict=True))
        for values in rows
    )


DONE = b"\xfd\x10\x00\xc1\x00" + bytes(8)


def packets(payload: bytes, size: int = 32759, *, last: bool = True) -> bytes:
    """A message cut into packets of `size` payload bytes; without `last` no packet ends it."""
    parts = []
    for at in range(0, len(payload), size) or (0,):
        part = payload[at : at + size]
        end = last and at + size >= len(payload)
        parts.append(struct.pack(">BBHHBB", 4, end, len(part) + 8, 51, 1, 0) + part)
    return b"".join(parts)


@dataclass
class Outcome:
    """What came out of a whole stream."""

    status: int = -1
    copy: bytes = b""
    rows: int = 0
    chunks: list[tuple[bytes, int, tuple[bytes | None, ...]]] = field(default_factory=list)
    tokens: bytes = b""
    fault: tuple[int, int, int] = (0, -1, 0)
    keys: tuple[bytes | None, ...] = ()


def transcode(
    columns: Sequence[Col],
    raw: bytes,
    *,
    step: int = 1 << 30,
    strip_nul: bool = False,
    max_rows: int = 1 << 40,
    max_bytes: int = 1 << 40,
) -> Outcome:
    """Feed raw packets, at most `step` bytes at a time. Ends at the first token that is no row, or at a fault."""
    core = _native.Transcoder(specs(columns), strip_nul=strip_nul)
    outcome = Outcome()
    at = received = 0
    while True:
        status = core.run(received, max_rows, max_bytes)
        received = 0
        if status == _native.INPUT:
            view = memoryview(core)
            received = min(step, len(raw) - at, len(view))
            if not received:
                outcome.status = status
                break
            view[:received] = raw[at : at + received]
            at += received
            continue
        if status in (_native.DATA, _native.MALFORMED):
            outcome.fault = core.fault()
        if status == _native.TOKEN:
            outcome.tokens = core.token()
        taken = core.take()
        if taken is not None:
            outcome.chunks.append((bytes(taken[0]), taken[1], core.keys()))
        if status != _native.CHUNK:
            outcome.status = status
            break
    outcome.copy = b"".join(chunk[0] for chunk in outcome.chunks)
    outcome.rows = sum(chunk[1] for chunk in outcome.chunks)
    outcome.keys = core.keys()
    return outcome
