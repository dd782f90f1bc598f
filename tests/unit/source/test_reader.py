"""COPY tuples taken apart."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.source.reader import tuples

FIELDS = st.lists(st.one_of(st.none(), st.binary(max_size=20)), max_size=5).map(tuple)


def packed(row: tuple[bytes | None, ...]) -> bytes:
    parts = [struct.pack(">h", len(row))]
    for field in row:
        parts.append(struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field)
    return b"".join(parts)


@given(st.lists(FIELDS, max_size=5))
def test_tuples_are_taken_apart(rows: list[tuple[bytes | None, ...]]) -> None:
    assert tuples(b"".join(map(packed, rows))) == rows
