"""The bytes of a uniqueidentifier: as they travel, and in SQL Server's order of comparison."""

from __future__ import annotations

from operator import itemgetter

_GUID_ORDER = (10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3)
"""Bytes of a uniqueidentifier (as on the wire) by their weight in comparisons, heaviest first."""
_to_order = itemgetter(*_GUID_ORDER)
_from_order = itemgetter(*(_GUID_ORDER.index(index) for index in range(16)))


def guid_to_storage(wire: bytes) -> bytes:
    """The 16 bytes of a uniqueidentifier in SQL Server's order of comparison."""
    return bytes(_to_order(wire))


def guid_to_wire(stored: bytes) -> bytes:
    """The 16 bytes of a uniqueidentifier as TDS and CAST AS binary have them."""
    return bytes(_from_order(stored))
