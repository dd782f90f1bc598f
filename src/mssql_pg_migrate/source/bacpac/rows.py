"""Rows of data files to chunks of COPY tuples.

The files of a range are inflated by a thread of their own and transcoded by the compiled kernel, one after the other;
chunks go over their ends. Reading goes on inside a file by passing over the rows that were read before: they are
inflated and followed again, and nothing of them leaves the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from ... import _kernel
from ...errors import DataError, MigrationError, TransferError, TransientError
from ...model import Table
from ..reader import Chunk, ReadRequest
from .catalog import Contents
from .clr import ClrError
from .columns import Layout, layout
from .faults import data_reason, located, malformed, refused
from .inflate import Inflater, Member
from .positions import position, resolve

if TYPE_CHECKING:
    from ..._kernel._native import Transcoder

_INPUT_SIZE = 1 << 19
_SKIP_ROWS = 100_000
_SKIP_BYTES = 1 << 20
NAME = "bcp"
"""Of this reader, in events and results."""


def members_of(contents: Contents, table: Table) -> Sequence[Member]:
    """The data files of a table, in order.

    Raises:
        TransferError: one that the package announces is not there.
    """
    missing = contents.data.missing.get((table.schema, table.name))
    if missing:
        raise TransferError(
            f"Table {table.full_name}: the package announces the data file {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + ", which it does not hold.",
            table=table.full_name,
            hint="Copy or export the package again.",
        )
    return contents.data.members.get((table.schema, table.name), ())


class BcpReader:
    """Reads ranges of a package (see `reader.Reader`)."""

    name = NAME

    def __init__(self, contents: Callable[[], Contents]) -> None:
        self._contents = contents
        self._cancelled = False
        self._inflater: Inflater | None = None

    @property
    def usable(self) -> bool:
        """Whether it may serve another request."""
        return not self._cancelled

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Stream the rows of ``request``; see `reader.Reader.chunks`.

        Raises:
            DataError: a value PostgreSQL cannot hold.
            TransferError: a data file is missing, damaged, or holds what the table's columns do not tell.
        """
        contents = self._contents()
        name = request.table.source.full_name
        members = members_of(contents, request.table.source)
        first, skip = resolve(name, members, request.after if request.after is not None else request.range.after)
        last = len(members) if request.range.upto is None else resolve(name, members, request.range.upto)[0]
        if first >= last:
            return
        rows = _Rows(request, members, layout(request.table, members[first].name))
        inflater = Inflater(contents.package.path, [(number, members[number]) for number in range(first, last)])
        self._inflater = inflater
        try:
            yield from rows.chunks(inflater, first, skip)
        except TransferError as error:
            raise rows.located(error) from None
        finally:
            self._inflater = None
            inflater.close()
        if self._cancelled:
            raise TransientError(f"Reading {name} was cancelled.", side="source", table=name)

    def cancel(self) -> None:
        """End a running ``chunks`` soon, from another thread."""
        self._cancelled = True
        inflater = self._inflater
        if inflater is not None:
            inflater.close()

    def close(self) -> None:
        """Nothing is held open between requests."""
        self._cancelled = True


class _Rows:
    """The data files of one request on their way through the transcoder."""

    def __init__(self, request: ReadRequest, members: Sequence[Member], shape: Layout) -> None:
        self._request = request
        self._name = request.table.source.full_name
        self._members = members
        self._shape = shape
        self._core: Transcoder = _transcoder(self._name, shape, request)
        self._number = 0
        self._before = 0
        """Rows of the current file in chunks that were handed over, or passed over."""
        self._elder = 0
        """Rows gathered in the transcoder that are of files before the current one."""
        self._skip = 0
        self._left = request.limit

    def chunks(self, inflater: Inflater, first: int, skip: int) -> Generator[Chunk, None, None]:
        """All rows of the inflater's files but the first ``skip`` ones."""
        self._number, self._skip = first, skip
        ended = True
        for number, piece in inflater:
            if ended:
                self._begin(number)
                ended = False
            if piece is None:
                self._core.finish()
                yield from self._run(0)
                if self._skip:
                    raise self._changed()
                ended = True
            else:
                yield from self._feed(piece)
            if self._left == 0:
                return
        if not ended:
            return  # cancelled in the middle of a file
        chunk = self._chunk()
        if chunk is not None:
            yield chunk

    def _begin(self, number: int) -> None:
        self._elder = self._core.rows
        self._number, self._before = number, 0
        self._core.again()

    def _feed(self, piece: bytes) -> Generator[Chunk, None, None]:
        at = 0
        while at < len(piece):
            with memoryview(self._core) as view:
                size = min(len(view), len(piece) - at)
                view[:size] = piece[at : at + size]
            at += size
            yield from self._run(size)

    def _run(self, received: int) -> Generator[Chunk, None, None]:
        """Transcode until the transcoder wants more, or the file is over."""
        native = _kernel.native()
        while self._left != 0:
            if self._skip:
                status = self._core.run(received, min(self._skip, _SKIP_ROWS), _SKIP_BYTES)
                if status in (native.CHUNK, native.INPUT, native.END):
                    self._pass_over()
            else:
                most = self._request.chunk_rows if self._left is None else min(self._left, self._request.chunk_rows)
                status = self._core.run(received, most, self._request.chunk_bytes)
            received = 0
            if status == native.CHUNK:
                chunk = None if self._skip or not self._core.rows else self._chunk()
                if chunk is not None:
                    yield chunk
            elif status in (native.INPUT, native.END):
                return
            else:
                raise self._fault(status == native.DATA)

    def _pass_over(self) -> None:
        taken = self._core.take() if self._core.rows else None
        if taken is not None:
            self._skip -= taken[1]
            self._before += taken[1]

    def _chunk(self) -> Chunk | None:
        marks = self._core.marks() if self._shape.texts else []
        taken = self._core.take()
        if taken is None:
            return None
        data, rows = taken
        if marks:
            data = self._with_texts(data, marks)
        self._before += rows - self._elder
        self._elder = 0
        if self._left is not None:
            self._left -= rows
        return Chunk(data=data, rows=rows, last_key=position(self._members[self._number], self._before))

    # --- CLR values ---------------------------------------------------------------------------------------------------

    def _with_texts(self, data: memoryview, marks: list[tuple[int, int]]) -> memoryview:
        """The tuples with their marked fields replaced by text."""
        parts: list[bytes | memoryview] = []
        at = 0
        for start, column in marks:
            size = int.from_bytes(data[start : start + 4], "big")
            try:
                text = self._shape.texts[column](bytes(data[start + 4 : start + 4 + size])).encode()
            except ClrError as error:
                raise self._bad_value(column, str(error), self._row_at(data, start)) from None
            parts += [data[at:start], struct.pack(">i", len(text)), text]
            at = start + 4 + size
        parts.append(data[at:])
        return memoryview(b"".join(parts))

    def _row_at(self, data: memoryview, wanted: int) -> int:
        """The number, in its file, of the row a field is in; rows of files before count from their end as 0, -1, ..."""
        at, row = 0, self._before - self._elder
        while at <= wanted:
            (fields,) = struct.unpack_from(">h", data, at)
            at += 2
            for _ in range(fields):
                (size,) = struct.unpack_from(">i", data, at)
                at += 4 + max(size, 0)
            row += 1
        return row

    # --- faults -------------------------------------------------------------------------------------------------------

    @property
    def _row(self) -> int:
        """The number, in its file, of the row that is being read."""
        return self._before + self._core.rows - self._elder + 1

    @property
    def _member(self) -> str:
        return self._members[self._number].name

    def located(self, error: TransferError) -> TransferError:
        """A damaged member's error with the table and the row it was read up to."""
        return located(error, self._name, self._member, self._row)

    def _changed(self) -> TransferError:
        return TransferError(
            f"Table {self._name}: {self._member} ends before the row from which reading goes on.",
            table=self._name,
            hint="Give the run the package it began with, or begin anew with run --fresh.",
        )

    def _bad_value(self, column: int, reason: str, row: int, hint: str | None = None) -> DataError:
        name = self._shape.columns[column].name
        if row < 1:
            where = f"in a row before those of {self._member}"
        else:
            where = f"in row {row} of {self._member}"
        return DataError(
            f"{self._name}.{name} {where} {reason}.",
            table=self._name,
            column=name,
            key=f"{self._member} row {row}",
            hint=hint or "Exclude the table, or migrate it from a server.",
        )

    def _fault(self, in_data: bool) -> MigrationError:
        code, position_, detail = self._core.fault()
        if in_data:
            reason, hint = data_reason(code, detail)
            return self._bad_value(position_, reason, self._row, hint)
        fault = (code, position_, detail)
        return malformed(self._name, self._member, self._row, self._shape.columns, fault)


def _transcoder(name: str, shape: Layout, request: ReadRequest) -> Transcoder:
    try:
        core: Transcoder = _kernel.native().Transcoder(
            shape.specs, strip_nul=request.on_nul == "strip", input_size=_INPUT_SIZE, bcp=True
        )
    except ValueError as error:
        raise refused(name, shape.columns, error) from None
    return core
