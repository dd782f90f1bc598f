"""Arrow record batches, as Microsoft's driver delivers them, into COPY bytes.

`adapt` brings each column to the one Arrow type of its COPY encoding (`ARROW_TYPES`), exactly or not at all; `Encoder`
then writes binary tuples with pgpq, whose fields are byte for byte those of PostgreSQL's own send functions, or the
lines of text COPY.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pgpq
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from ...mapping.types import Encoding

MAX_FIELD_BYTES = 0x3FFF_FFFF - 4
"""PostgreSQL holds a value, with its length, in less than 1 GB."""

ARROW_TYPES: dict[str, Any] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.large_string(),
    "bytea": pa.large_binary(),
    "uuid": pa.large_binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
    "vector": pa.large_string(),
}
"""The Arrow type that each encoding is written from (numeric: any decimal128)."""

# 16 bytes of a uniqueidentifier in the order of a PostgreSQL uuid: the first three groups are little-endian.
_UUID_ORDER = np.array([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15])
_DAYS_IN_400_YEARS = 146_097
_INTEGER_DIGITS = 19  # of a 64-bit integer
_TRAILER = b"\xff\xff"


class EncodingError(Exception):
    """A column arrived with a type that its target encoding cannot take exactly."""


def adapt(array: Any, encoding: Encoding) -> Any:
    """A driver's column as the Arrow type of its encoding.

    Times are cut to microseconds. ``uuid`` takes the 16 bytes of ``CAST(c AS binary(16))`` and swaps them. Whole
    numbers and dates may widen (int to bigint, numeric or double precision, real to double precision, date to
    timestamp).

    Raises:
        EncodingError: the types do not fit, or a value would change.
    """
    if encoding == "uuid":
        return _uuid_bytes(array)
    if encoding == "numeric":
        return _decimal(array)
    wanted = ARROW_TYPES[encoding]
    if array.type == wanted:
        return array
    if encoding == "time" and pa.types.is_time64(array.type):
        return array.cast(wanted, safe=False)
    if encoding == "timestamptz" and pa.types.is_timestamp(array.type) and array.type.tz is not None:
        return array.cast(wanted)
    if not _widens(array.type, encoding):
        raise EncodingError(f"Arrow type {array.type} cannot be written as {encoding}")
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid as error:
        raise EncodingError(f"a value does not fit {encoding}: {error}") from error


def first_unfit(array: Any, encoding: Encoding) -> int | None:
    """The first row whose value `adapt` refuses; None when it is the type that it refuses."""

    def fits(rows: int) -> bool:
        try:
            adapt(array.slice(0, rows), encoding)
        except EncodingError:
            return False
        return True

    if not fits(0):
        return None
    return bisect.bisect_left(range(1, len(array) + 1), True, key=lambda rows: not fits(rows))


def _widens(have: Any, encoding: str) -> bool:
    if pa.types.is_integer(have):
        return encoding in ("int2", "int4", "int8") or (encoding == "float8" and have.bit_width <= 32)
    if pa.types.is_float32(have):
        return encoding == "float8"
    if pa.types.is_date32(have):
        return encoding == "timestamp"
    return bool((pa.types.is_string(have) and encoding == "text") or (pa.types.is_binary(have) and encoding == "bytea"))


def _decimal(array: Any) -> Any:
    if pa.types.is_decimal128(array.type):
        return array
    if pa.types.is_integer(array.type):
        return array.cast(pa.int64()).cast(pa.decimal128(_INTEGER_DIGITS, 0))
    raise EncodingError(f"Arrow type {array.type} cannot be written as numeric")


def _uuid_bytes(array: Any) -> Any:
    if not pa.types.is_large_binary(array.type):
        raise EncodingError(f"a uniqueidentifier arrived as Arrow type {array.type}, not as 16 bytes")
    offsets, data = text_buffers(array)
    if len(data) != 16 * (len(array) - array.null_count):
        raise EncodingError("a uniqueidentifier arrived with a length other than 16 bytes")
    swapped = np.frombuffer(data, np.uint8).reshape(-1, 16)[:, _UUID_ORDER]
    validity = pc.is_valid(array) if array.null_count else None
    return pa.Array.from_buffers(
        pa.large_binary(),
        len(array),
        [validity.buffers()[1] if validity is not None else None, pa.py_buffer(offsets), pa.py_buffer(swapped.copy())],
        null_count=array.null_count,
    )


def text_buffers(array: Any) -> tuple[Any, memoryview]:
    """Offsets (int64, from 0) and the bytes they cut, of a large_string or large_binary array.

    The driver's buffers are larger than their content; only the content is returned, without copying it.
    """
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    if len(offsets) == 0:
        return np.zeros(1, np.int64), memoryview(b"")
    first, last = int(offsets[0]), int(offsets[-1])
    data = memoryview(data_buffer)[first:last] if data_buffer is not None else memoryview(b"")
    return offsets - first, data


def contains(array: Any, needle: bytes) -> bool:
    """Whether the bytes of any value of a large_string or large_binary array hold ``needle`` (quick: one search)."""
    return needle in bytes(text_buffers(array)[1])


def longest(array: Any) -> tuple[int, int]:
    """Row and byte length of the longest value of a large_string or large_binary array; (0, 0) of an empty one."""
    offsets, _ = text_buffers(array)
    if len(offsets) < 2:
        return 0, 0
    lengths = np.diff(offsets)
    row = int(lengths.argmax())
    return row, int(lengths[row])


class Encoder:
    """COPY bytes of record batches whose columns `adapt` has brought into form; one for all batches of a request."""

    def __init__(self, encodings: Sequence[Encoding], copy_format: Literal["binary", "text"]) -> None:
        self._encodings = tuple(encodings)
        self._format = copy_format

    def encode(self, columns: Sequence[Any], rows: int) -> bytes:
        """The tuples (binary, without file header and trailer) or lines (text) of adapted columns."""
        if not columns:  # a table all of whose columns PostgreSQL computes
            return b"\x00\x00" * rows if self._format == "binary" else b"\n" * rows
        if self._format == "text":
            return _text_lines(columns, self._encodings)
        fields = zip(columns, self._encodings, strict=True)
        return _binary_tuples([_vectors(field) if encoding == "vector" else field for field, encoding in fields])


def _vectors(column: Any) -> Any:
    """Vectors in SQL Server's text form as pgvector's binary one."""
    values: list[bytes | None] = []
    for text in column.to_pylist():
        if text is None:
            values.append(None)
            continue
        numbers = np.array(text.strip()[1:-1].split(","), np.float64).astype(">f4")
        values.append(len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.tobytes())
    return pa.array(values, pa.large_binary())


def _binary_tuples(columns: Sequence[Any]) -> bytes:
    batch = pa.record_batch(list(columns), names=[str(position) for position in range(len(columns))])
    # pgpq keeps small batches back until it is told to finish, which ends it: an encoder serves one batch.
    encoder = pgpq.ArrowToPostgresBinaryEncoder(batch.schema)
    encoder.write_header()
    data: bytes = encoder.write_batch(batch)
    rest: bytes = encoder.finish()[: -len(_TRAILER)]
    return data + rest if data and rest else data or rest


# --- COPY text -------------------------------------------------------------------------------------------------------


def _text_lines(columns: Sequence[Any], encodings: Sequence[Encoding]) -> bytes:
    fields = [
        pc.fill_null(_text_field(column, encoding), pa.scalar("\\N", pa.large_string()))
        for column, encoding in zip(columns, encodings, strict=True)
    ]
    fields[-1] = _join(fields[-1], pa.scalar("\n", pa.large_string()), separator="")
    lines = fields[0] if len(fields) == 1 else _join(*fields, separator="\t")
    return bytes(text_buffers(lines)[1])


def _join(*parts: Any, separator: str) -> Any:
    return pc.binary_join_element_wise(*parts, pa.scalar(separator, pa.large_string()))


def _text_field(column: Any, encoding: Encoding) -> Any:
    """A column in PostgreSQL's input syntax, NULLs kept, escaped for text COPY."""
    if encoding == "text":
        return _escaped(column)
    if encoding == "vector":
        return column
    if encoding == "bool":
        return pc.if_else(column, pa.scalar("t", pa.large_string()), pa.scalar("f", pa.large_string()))
    if encoding == "bytea":
        return _hexadecimal(column)
    if encoding == "uuid":
        return _uuid_text(column)
    if encoding in ("timestamp", "timestamptz"):
        return _timestamp_text(column, "+00" if encoding == "timestamptz" else "")
    return column.cast(pa.large_string())


def _escaped(column: Any) -> Any:
    data = bytes(text_buffers(column)[1])
    for char, escape in ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r")):
        if char in data:
            column = pc.replace_substring(column, char.decode(), escape.decode())
    return column


def _hexadecimal(column: Any) -> Any:
    offsets, data = text_buffers(column)
    digits = _with_offsets(column, offsets * 2, data.hex().encode())
    return _join(pa.scalar("\\\\x", pa.large_string()), digits, separator="")


def _uuid_text(column: Any) -> Any:
    offsets, data = text_buffers(column)
    digits = np.frombuffer(data.hex().encode(), np.uint8).reshape(-1, 32)
    text = np.full((len(digits), 36), ord("-"), np.uint8)
    position = 0
    for start, length in ((0, 8), (9, 4), (14, 4), (19, 4), (24, 12)):
        text[:, start : start + length] = digits[:, position : position + length]
        position += length
    return _with_offsets(column, offsets // 16 * 36, text.tobytes())


def _with_offsets(column: Any, offsets: Any, data: bytes) -> Any:
    """A large_string array with the NULLs of ``column`` and other content."""
    validity = pc.is_valid(column).buffers()[1] if column.null_count else None
    return pa.Array.from_buffers(
        pa.large_string(),
        len(column),
        [validity, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)],
        null_count=column.null_count,
    )


def _timestamp_text(column: Any, suffix: str) -> Any:
    naive = (
        column.cast(pa.timestamp("us"))
        if column.type.tz is None
        else column.cast(pa.int64()).cast(ARROW_TYPES["timestamp"])
    )
    years = pc.year(naive)
    outside = pc.or_(pc.less(years, 1), pc.greater(years, 9999))
    if not pc.any(outside).as_py():
        return _with_suffix(naive.cast(pa.large_string()), suffix)
    # A datetimeoffset near the ends of its range lies outside the years 1 to 9999 in UTC.
    usual = _with_suffix(pc.if_else(outside, None, naive).cast(pa.large_string()), suffix)
    moments = pc.if_else(outside, naive, None).cast(pa.int64()).to_pylist()
    return pc.coalesce(usual, pa.array([_far_text(moment, suffix) for moment in moments], pa.large_string()))


def _with_suffix(text: Any, suffix: str) -> Any:
    return _join(text, pa.scalar(suffix, pa.large_string()), separator="") if suffix else text


def _far_text(moment: int | None, suffix: str) -> str | None:
    """A moment (microseconds from 1970) outside the years 1 to 9999, as PostgreSQL reads it."""
    if moment is None:
        return None
    shift = 400 if moment < 0 else -400  # the calendar repeats itself
    inside = datetime(1970, 1, 1) + timedelta(microseconds=moment, days=_DAYS_IN_400_YEARS * shift // 400)
    year = inside.year - shift
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{inside:%m-%d %H:%M:%S.%f}{suffix}{era}"
