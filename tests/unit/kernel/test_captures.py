"""Answers recorded from an independent TDS server, with what Microsoft's driver read from it.

The recordings are not part of the project: MSSQL_PG_MIGRATE_CAPTURES names the file, else it is looked for beside the
repository; the tests are skipped where it is missing.
"""

from __future__ import annotations

import json
import os
import struct
import uuid
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from kernel_oracle import ENCODINGS, Col, packets, transcode
from mssql_pg_migrate._kernel import _native
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.buffer import ByteReader
from mssql_pg_migrate.tds.metadata import TypeInfo, decode_colmetadata
from mssql_pg_migrate.tds.tokens import Done, ServerMessage, read_tokens

_FILE = os.environ.get("MSSQL_PG_MIGRATE_CAPTURES")
CASES: list[dict[str, Any]] = json.loads(Path(_FILE).read_text("utf-8")) if _FILE else []
pytestmark = pytest.mark.skipif(not CASES, reason="no recordings (MSSQL_PG_MIGRATE_CAPTURES)")

_INTEGER = {1: "int2", 2: "int2", 4: "int4", 8: "int8"}


def encoding_of(info: TypeInfo) -> str:
    """The COPY field a column of this type becomes."""
    kind = info.type_id
    if kind in t.CHARACTER or kind == t.XML:
        return "text"
    if kind in t.DECIMALS or kind in (t.MONEY, t.MONEY4, t.MONEYN):
        return "numeric"
    if kind == t.INTN:
        return _INTEGER[info.length]
    if kind == t.FLOATN:
        return "float4" if info.length == 4 else "float8"
    return {
        t.BITN: "bool",
        t.GUID: "uuid",
        t.DATEN: "date",
        t.TIMEN: "time",
        t.DATETIME2N: "timestamp",
        t.DATETIMEN: "timestamp",
        t.DATETIMEOFFSETN: "timestamptz",
        t.BIGVARBINARY: "bytea",
        t.BIGBINARY: "bytea",
        t.IMAGE: "bytea",
    }[kind]


def numeric_text(data: bytes) -> str:
    """The decimal number of a numeric field."""
    count, weight, sign, scale = struct.unpack_from(">hhHh", data)
    groups = struct.unpack_from(f">{count}h", data, 8)
    number = sum(group * 10 ** (4 * (count - 1 - i)) for i, group in enumerate(groups))
    shift = 4 * (weight - count + 1) + scale
    digits = str(number * 10**shift if shift >= 0 else number // 10**-shift).rjust(scale + 1, "0")
    return ("-" if sign else "") + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def field_value(encoding: str, data: bytes) -> Any:
    """A field in the form the recordings have, instants as datetimes."""
    if encoding in ("int2", "int4", "int8"):
        return str(int.from_bytes(data, "big", signed=True))

    def moment() -> datetime:
        return datetime(2000, 1, 1) + timedelta(microseconds=int.from_bytes(data, "big", signed=True))

    return {
        "bool": lambda: "true" if data[0] else "false",
        "numeric": lambda: numeric_text(data),
        "float4": lambda: repr(struct.unpack(">f", data)[0]),
        "float8": lambda: repr(struct.unpack(">d", data)[0]),
        "text": lambda: data.decode(),
        "bytea": lambda: f"0x{data.hex()}",
        "uuid": lambda: str(uuid.UUID(bytes=data)),
        "date": lambda: (date(2000, 1, 1) + timedelta(int.from_bytes(data[:4], "big", signed=True))).isoformat(),
        "time": lambda: moment().time(),
        "timestamp": moment,
        "timestamptz": lambda: moment().replace(tzinfo=timezone.utc),
    }[encoding]()


def recorded_value(encoding: str, text: str | None) -> Any:
    """A recorded value in the same form."""
    if text is None:
        return None
    if encoding in ("timestamp", "timestamptz"):
        return datetime.fromisoformat(text)
    return time.fromisoformat(text) if encoding == "time" else text


def fields(copy: bytes, encodings: list[str]) -> list[list[Any]]:
    """The rows of COPY tuples."""
    rows: list[list[Any]] = []
    at = 0
    while at < len(copy):
        assert struct.unpack_from(">h", copy, at)[0] == len(encodings)
        at += 2
        values: list[Any] = []
        for encoding in encodings:
            (length,) = struct.unpack_from(">i", copy, at)
            at += 4
            values.append(None if length < 0 else field_value(encoding, copy[at : at + length]))
            at += max(length, 0)
        rows.append(values)
    return rows


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_recorded_answers(case: dict[str, Any]) -> None:
    """The driver's values come out, and the tokens behind the rows are found."""
    response = bytes.fromhex(case["response_hex"])
    reader = ByteReader(response, 1)
    metadata = decode_colmetadata(reader)
    assert [column.name for column in metadata] == case["columns"]
    if case["name"] == "sql_variant":
        with pytest.raises(ValueError, match="not one of those known"):
            _native.Transcoder([Col(column, "text").spec for column in metadata[1:]])
        return
    columns = [Col(column, encoding_of(column)) for column in metadata]
    encodings = [column.encoding for column in columns]
    assert set(encodings) <= set(ENCODINGS)
    expected = [[recorded_value(e, v) for e, v in zip(encodings, values, strict=True)] for values in case["rows"]]
    for packet, step in ((32759, 1 << 20), (501, 77)):
        outcome = transcode(columns, packets(response[reader.pos :], packet), step=step)
        assert outcome.status == _native.TOKEN, outcome.fault
        assert fields(outcome.copy, encodings) == expected
    tokens = read_tokens(transcode(columns, packets(response[reader.pos :])).tokens)
    done = [token for token in tokens if isinstance(token, Done)]
    assert done[0].row_count == len(expected)
    errors = [token for token in tokens if isinstance(token, ServerMessage) and token.is_error]
    assert bool(errors) == (case["name"] == "error_in_mid_batch")
