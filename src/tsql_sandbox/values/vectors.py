"""vector: kept as a JSON array of nine digits, enough for every float32; shown with eight, as SQL Server shows it.

"vector data type" of Microsoft's documentation; the binary form is that of [MS-TDS] 2.2.5.5.7.
"""

from __future__ import annotations

import json
import re
import struct

from ..errors import SqlError

_EXPONENT = re.compile(r"e([+-])(\d{2})(?!\d)")


def stored(text: str, dimensions: int) -> str:
    """A JSON array of numbers as it is kept.

    Raises:
        SqlError: 13670, it is no such array; 42204, it has another number of elements.
    """
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
        raise SqlError(13670, "The JSON value is not an array of numbers and cannot be converted to vector.")
    if len(values) != dimensions:
        raise SqlError(42204, f"The vector dimensions {dimensions} and {len(values)} do not match.")
    try:
        packed = struct.pack(f"<{dimensions}f", *values)
    except OverflowError:
        raise SqlError(13670, "A number of the JSON array is outside the range of float32.") from None
    return "[" + ",".join(f"{one:.8e}" for one in struct.unpack(f"<{dimensions}f", packed)) + "]"


def shown(kept: str) -> str:
    """The text of a kept vector: eight digits, an exponent of three."""
    values = ",".join(f"{one:.7e}" for one in _values(kept))
    return "[" + _EXPONENT.sub(r"e\g<1>0\2", values) + "]"


def payload(kept: str) -> bytes:
    """The bytes of a kept vector for clients that ask for them."""
    values = _values(kept)
    return struct.pack("<BBHB3x", 0xA9, 1, len(values), 0) + struct.pack(f"<{len(values)}f", *values)


def _values(kept: str) -> list[float]:
    return [float(one) for one in kept[1:-1].split(",")]
