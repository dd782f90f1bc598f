"""What digests are made of: canonical forms of columns, their roles, and the constants both digests share."""

from __future__ import annotations

from enum import IntEnum

KEY_BYTES = 40
PRIME = 2**127 - 1
LABEL_BYTES = 48
"""Of each label field, before the rest is left out (tables without a key)."""


class Kind(IntEnum):
    """The canonical form of a column's values."""

    RAW = 0
    INTEGER = 1
    NUMERIC = 2
    INT_NUMERIC = 3
    FLOAT = 4
    TRIMMED = 5


class Role(IntEnum):
    """What a column is used for beyond its part in the row's hash."""

    DATA = 0
    KEY = 1
    LABEL = 2


class Fault(IntEnum):
    """Why bytes are not COPY data of the columns."""

    FIELD_COUNT = 1
    LENGTH = 2
    WIDTH = 3
    HEADER = 4
    AFTER_END = 5
