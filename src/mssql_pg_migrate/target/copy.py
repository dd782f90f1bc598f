"""COPY into PostgreSQL: complete tuples as bytes in, one COPY statement out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from .ddl import quote_ident
from .exchange import StatementError, exchange

if TYPE_CHECKING:
    import psycopg

# PostgreSQL documentation, COPY, "Binary Format": signature, flags, header extension length; trailer is a -1 count.
BINARY_HEADER = b"PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
BINARY_TRAILER = b"\xff\xff"
_SLICE = 128 * 1024
"""Bytes handed to libpq at once: enough to amortise the call, little enough to keep its buffer small."""


def copy_statement(relation: str, columns: tuple[str, ...], copy_format: Literal["binary", "text"]) -> str:
    """COPY ... FROM STDIN for an already quoted relation and unquoted column names."""
    names = ", ".join(quote_ident(column) for column in columns)
    if copy_format == "binary":
        return f"COPY {relation} ({names}) FROM STDIN (FORMAT binary)"
    return f"COPY {relation} ({names}) FROM STDIN (FORMAT text, ENCODING 'UTF8')"


def copy_pieces(
    data: bytes | bytearray | memoryview, copy_format: Literal["binary", "text"]
) -> Iterator[bytes | memoryview]:
    """All that a COPY ... FROM STDIN of whole tuples reads, in pieces."""
    view = memoryview(data)
    if copy_format == "binary":
        yield BINARY_HEADER
    for start in range(0, len(view), _SLICE):
        yield view[start : start + _SLICE]
    if copy_format == "binary":
        yield BINARY_TRAILER


def copy_tuples(
    connection: psycopg.Connection[Any],
    statement: str,
    data: bytes | bytearray | memoryview,
    copy_format: Literal["binary", "text"],
) -> int:
    """Send whole tuples; returns the number of rows the server counted. Raises psycopg errors."""
    try:
        return exchange(connection, [statement], copy_pieces(data, copy_format))[0].rows
    except StatementError as failed:
        raise failed.error from None
