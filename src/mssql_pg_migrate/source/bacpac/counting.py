"""Rows of data files counted: their columns are followed, nothing is converted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from ... import _kernel
from ...errors import TransferError
from ...model import Column
from .columns import UnreadableColumn, check_readable, column_spec
from .faults import located, malformed, refused
from .inflate import Member, inflate

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._kernel._native import Transcoder

EXACT = 1 << 28
"""Bytes of data files in a package up to which its rows are counted (less than a second of work)."""
_SAMPLES = 16
_SAMPLE = 1 << 19
_DROP = 1 << 16


def count_rows(
    path: str, table: str, member: Member, columns: Sequence[Column], stopped: Callable[[], bool] = lambda: False
) -> int:
    """The rows of one data file, which is followed to its end; ``columns`` are those it holds.

    Raises:
        TransferError: it is damaged, or its bytes are not rows of these columns.
        InterruptedError: ``stopped`` said so.
    """
    counter = _Counter(table, member, columns)
    try:
        with closing(inflate(path, member)) as pieces:
            for piece in pieces:
                if stopped():
                    raise InterruptedError
                counter.take(piece)
    except TransferError as error:
        raise located(error, table, member.name, counter.rows + 1) from None
    counter.end()
    return counter.rows


def estimate_rows(path: str, members: Sequence[Member], columns: Sequence[Column], *, exact: bool) -> int:
    """The number of rows in a table's data files: counted, or from the beginnings of up to 16 of them.

    0 where they cannot be followed: reading them says why.
    """
    total = sum(member.size for member in members)
    if not total or _kernel.unavailable() is not None:
        return 0
    try:
        if exact:
            return sum(count_rows(path, "", member, columns) for member in members)
        rows = size = 0
        for member in members[:: max(1, len(members) // _SAMPLES)]:
            counter = _Counter("", member, columns)
            used = 0
            with closing(inflate(path, member)) as pieces:
                for piece in pieces:
                    counter.take(piece)
                    used += len(piece)
                    if used >= _SAMPLE:
                        break
            rows += counter.rows
            size += used
    except TransferError:
        return 0
    return round(rows * total / size) if size else 0


class _Counter:
    def __init__(self, table: str, member: Member, columns: Sequence[Column]) -> None:
        for column in columns:
            check_readable(table, member.name, column)
        self._table = table
        self._member = member
        self._columns = columns
        self._dropped = 0
        specs = [column_spec(column, None) for column in columns]
        try:
            self._core: Transcoder = _kernel.native().Transcoder(specs, bcp=True)
        except ValueError as error:
            raise refused(table, columns, error) from None

    @property
    def rows(self) -> int:
        return self._dropped + self._core.rows

    def take(self, piece: bytes) -> None:
        at = 0
        while at < len(piece):
            with memoryview(self._core) as view:
                size = min(len(view), len(piece) - at)
                view[:size] = piece[at : at + size]
            at += size
            self._run(size)

    def end(self) -> None:
        self._core.finish()
        self._run(0)

    def _run(self, received: int) -> None:
        native = _kernel.native()
        status = self._core.run(received, 1 << 60, _DROP)
        while status == native.CHUNK:
            taken = self._core.take()
            self._dropped += taken[1] if taken is not None else 0
            status = self._core.run(0, 1 << 60, _DROP)
        if status not in (native.INPUT, native.END):
            raise malformed(self._table, self._member.name, self.rows + 1, self._columns, self._core.fault())


__all__ = ["EXACT", "UnreadableColumn", "count_rows", "estimate_rows"]
