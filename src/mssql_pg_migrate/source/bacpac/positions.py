"""Positions in a table's data files, and ranges of them.

A position is three texts: the name of a data file, its CRC-32 in the archive's directory, and how many of its rows come
before the position, or `ALL`. The checksum keeps a run from going on in a package that was written anew. Ranges begin
and end between files: where a row begins inside one is known only once those before it have been read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ...errors import TransferError
from ...model import KeyRange, KeyValue
from .inflate import Member

ALL = "all"


def position(member: Member, rows: int | None) -> KeyValue:
    """After that many rows of a data file; None: after all of them."""
    return (member.name, f"{member.crc:08x}", ALL if rows is None else str(rows))


def resolve(table: str, members: Sequence[Member], key: KeyValue | None) -> tuple[int, int]:
    """The number of the file a position stands in, and the rows of it that come before; None is the beginning.

    Raises:
        TransferError: there is no such file in the package, or another one of that name.
    """
    if key is None:
        return 0, 0
    name, crc, rows = key if len(key) == 3 else ("", "", "")
    for number, member in enumerate(members):
        if member.name == name:
            if f"{member.crc:08x}" != crc or not (rows == ALL or rows.isdigit()):
                break
            return (number + 1, 0) if rows == ALL else (number, int(rows))
    raise TransferError(
        f"Table {table}: the package is not the one that was read before: its data file {name or key!r} has changed.",
        table=table,
        hint="Give the run the package it began with, or begin anew with run --fresh.",
    )


def plan_ranges(members: Sequence[Member], rows: int, *, max_ranges: int, min_rows: int) -> list[KeyRange]:
    """Ranges of whole data files, of about equal bytes, at most ``max_ranges`` and few below ``min_rows`` rows."""
    total = sum(member.size for member in members)
    wanted = min(max_ranges, len(members), rows // max(1, min_rows))
    if wanted < 2 or not total:
        return [KeyRange(0, row_estimate=rows)]
    ends: list[KeyValue | None] = [None]
    sizes = [0]
    passed = 0
    for member in members[:-1]:
        passed += member.size
        if passed * wanted >= total * len(ends):
            ends.append(position(member, None))
            sizes.append(passed)
    ends.append(None)
    sizes.append(total)
    return [
        KeyRange(number, after=after, upto=upto, row_estimate=round(rows * (sizes[number + 1] - sizes[number]) / total))
        for number, (after, upto) in enumerate(pairwise(ends))
    ]
