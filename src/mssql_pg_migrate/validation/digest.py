"""Digests of COPY BINARY tuples: what both sides' rows are reduced to, compiled or (slower) in Python.

The hash, the canonical forms and the buckets are described in ``_kernel/digest.h`` and ``_kernel/rowhash.h``;
`slow_digest` gives the same results from the same description.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

from ..errors import TransferError
from .kinds import KEY_BYTES, PRIME, Fault, Kind, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer


class Digest(Protocol):
    """Takes tuples in; adds their hashes up by bucket, or lists the rows of chosen buckets."""

    @property
    def rows(self) -> int:
        """Rows taken in."""
        ...

    def update(self, data: Buffer, /) -> tuple[int, bool]:
        """Take in the whole tuples at the beginning of ``data``.

        Returns how many bytes they were and whether COPY's trailer was met. Raises ValueError with (fault, column or
        -1, detail) for bytes that are not COPY data of these columns.
        """
        ...

    def select(self, bitmap: Buffer, /) -> None:
        """From now on list the rows of the buckets whose bit is set instead of adding rows up."""
        ...

    def take(self) -> list[bytes]:
        """What was listed since the last call: bucket (4 bytes, little-endian), key or label fields, hash (16)."""
        ...

    def keep(self, bitmap: Buffer, /) -> None:
        """From now on keep the tuples of the buckets whose bit is set, as they came, instead of adding rows up."""
        ...

    def kept(self) -> tuple[bytes, int]:
        """The tuples kept since the last call (without header and trailer), and how many they are."""
        ...

    def buckets(self) -> bytes:
        """Sum (low, high) and count of each bucket, as native unsigned 64-bit integers."""
        ...


def new_key() -> bytes:
    """A random key for one comparison; both sides must use the same."""
    point = 0
    while not 1 < point < PRIME:
        point = int.from_bytes(secrets.token_bytes(16), "little") & PRIME
    return point.to_bytes(16, "little") + secrets.token_bytes(KEY_BYTES - 16)


def is_compiled() -> bool:
    """Whether the compiled digest is installed."""
    try:
        from .._kernel._digest import Digest as _Compiled  # noqa: F401
    except ImportError:
        return False
    return True


def open_digest(kinds: Sequence[Kind], roles: Sequence[Role], key: bytes, bits: int, *, header: bool = False) -> Digest:
    """A digest with 2**bits buckets; ``header``: its data begins with the file header of COPY."""
    try:
        from .._kernel._digest import Digest as Compiled
    except ImportError:
        from .slow_digest import SlowDigest

        return SlowDigest(bytes(kinds), bytes(roles), key, bits, header)
    return Compiled(bytes(kinds), bytes(roles), key, bits, header)


def malformed(error: ValueError, table: str, columns: Sequence[str], side: str) -> TransferError:
    """The ValueError of ``Digest.update`` in words."""
    fault, column, detail = error.args
    where = f" in column {columns[column]}" if 0 <= column < len(columns) else ""
    what = {
        Fault.FIELD_COUNT: f"a row of {detail} fields where {len(columns)} were asked for",
        Fault.LENGTH: f"a field of length {detail}",
        Fault.WIDTH: f"a number {detail} bytes wide",
        Fault.HEADER: "no COPY header",
        Fault.AFTER_END: "bytes behind the end",
    }.get(fault, "a malformed row")
    return TransferError(f"table {table}: the {side} sent {what}{where}", table=table)
