"""Bucket tables: what a side's rows add up to, and which buckets tell that two sides differ. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

SMALLEST_BITS = 6
LARGEST_BITS = 16
ROWS_PER_BUCKET = 32
"""What a bucket should hold: a difference is then searched among that many rows a side. With 2**16 buckets (1.5 MB a
table) this holds up to two million rows; beyond, buckets hold more."""


def bits_for(rows: int) -> int:
    """Logarithm of the number of buckets for a table of about that many rows."""
    wanted = max(rows // ROWS_PER_BUCKET, 1)
    return min(max(wanted.bit_length(), SMALLEST_BITS), LARGEST_BITS)


class BucketTable:
    """Per bucket the number of rows and the sum of their hashes modulo 2**128.

    Tables of parts of a side (ranges) add up to the side's table, in any order.
    """

    def __init__(self, bits: int, packed: bytes | None = None) -> None:
        """Empty, or what ``Digest.buckets`` returned."""
        self.bits = bits
        self._numbers: Any = np.zeros((1 << bits, 3), dtype=np.uint64)
        if packed is not None:
            self._numbers = np.frombuffer(packed, dtype=np.uint64).reshape(1 << bits, 3).copy()

    def add(self, other: BucketTable) -> None:
        """Add the rows of another part."""
        mine, theirs = self._numbers, other._numbers
        low = mine[:, 0] + theirs[:, 0]
        carry = (low < theirs[:, 0]).astype(np.uint64)
        mine[:, 1] += theirs[:, 1] + carry
        mine[:, 0] = low
        mine[:, 2] += theirs[:, 2]

    @property
    def rows(self) -> int:
        """Rows of all buckets."""
        return int(self._numbers[:, 2].sum())

    def differing(self, other: BucketTable) -> list[int]:
        """Numbers of the buckets that do not hold the same rows, ascending."""
        unequal = (self._numbers != other._numbers).any(axis=1)
        return [int(number) for number in np.flatnonzero(unequal)]


def bitmap(bits: int, buckets: Iterable[int]) -> bytes:
    """A bit per bucket, bit 0 of byte 0 first."""
    packed = bytearray(((1 << bits) + 7) // 8)
    for number in buckets:
        packed[number >> 3] |= 1 << (number & 7)
    return bytes(packed)
