"""Rows of data files counted: their columns are followed, nothing is converted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ... import _kernel
from ...errors import TransferError
from ...model import Column
from .columns import UnreadableColumn, check_readable, column_spec
from .inflate import Member, inflate

if TYPE_CHECKING:
    from ..._kernel._native import Transcoder

EXACT = 1 << 28
"""Bytes of data files in a package up to which its rows are counted (less than a second of work)."""
_SAMPLES = 16
_SAMPLE = 1 << 19
_DROP = 1 << 16


def estimate_rows(path: str, members: Sequence[Member], columns: Sequence[Column], *, exact: bool) -> int:
    """The number of rows in a table's data files: counted, or from the beginnings of up to 16 of them.

    0 where they cannot be followed: reading them says why.
    """
    total = sum(member.size for member in members)
    if not total or _kernel.unavailable() is not None:
        return 0
    step = 1 if exact else max(1, len(members) // _SAMPLES)
    rows = size = 0
    try:
        for member in members[::step]:
            pieces = inflate(path, member)
            try:
                found, used = _count(columns, pieces, None if exact else _SAMPLE)
            finally:
                pieces.close()
            rows += found
            size += used
    except TransferError:
        return 0
    return rows if exact else round(rows * total / size)


def _count(columns: Sequence[Column], pieces: Iterable[bytes], most: int | None) -> tuple[int, int]:
    native = _kernel.native()
    stored = [column for column in columns if column.computed is None]
    for column in stored:
        check_readable("", column)
    core: Transcoder = native.Transcoder([column_spec(column, None) for column in stored], bcp=True)
    rows = size = 0
    for piece in pieces:
        at = 0
        while at < len(piece):
            view = memoryview(core)
            step = min(len(view), len(piece) - at)
            view[:step] = piece[at : at + step]
            view.release()
            at += step
            status = core.run(step, 1 << 60, _DROP)
            while status == native.CHUNK:
                taken = core.take()
                rows += taken[1] if taken is not None else 0
                status = core.run(0, 1 << 60, _DROP)
            if status != native.INPUT:
                raise TransferError("a data file cannot be followed")
        size += len(piece)
        if most is not None and size >= most:
            break
    return rows + core.rows, size


__all__ = ["UnreadableColumn", "estimate_rows"]
