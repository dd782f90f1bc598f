"""The fast reader: TDS rows off the socket, transcoded to COPY tuples by the compiled kernel.

A request is one SELECT on a connection of its own. Python moves buffers and looks at the tokens around the rows; rows
themselves never become Python objects. The GIL is free while bytes arrive and while they are transcoded.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from ... import _kernel
from ...errors import DataError, MigrationError, TransferError, TransientError
from ...mapping.objects import MappedTable
from ...model import KeyValue
from ...tds import tokens as k
from ...tds.buffer import ByteReader, NeedMoreData, ProtocolError
from ...tds.client import RowStream, ServerFailure
from ...tds.metadata import ColumnMetadata
from .. import faults
from ..reader import Chunk, ReadRequest
from ..settings import SqlServerSettings
from . import classify
from .dbapi import Connection
from .query import Layout, build_select, layout
from .tds_connection import TdsConnection
from .watch import Line
from .wire_columns import column_specs
from .wire_connect import WireUnsupported, open_client
from .wire_keys import key_text

if TYPE_CHECKING:
    from ..._kernel._native import Transcoder

__all__ = ["WireReader", "WireUnsupported", "unavailable"]

_INPUT_SIZE = 1 << 17
_DONE_SIZE = 13
_DRAIN_SECONDS = 5.0


def unavailable() -> str | None:
    """Why there is no wire reader in this installation; None when there is one."""
    return _kernel.unavailable()


class WireReader:
    """Reads ranges over one TDS connection of its own (see `reader.Reader`)."""

    name = "wire"

    def __init__(self, settings: SqlServerSettings) -> None:
        """Connect. Raises WireUnsupported, ConnectionFailed."""
        reason = unavailable()
        if reason is not None:
            raise WireUnsupported(reason)
        self._client = open_client(settings)
        self._line = Line()
        self._line.register(settings, TdsConnection(self._client))
        self._usable = True
        self._cancelled = False

    @property
    def usable(self) -> bool:
        """Whether the connection may serve another request."""
        return self._usable

    @property
    def connection(self) -> Connection:
        """Its session, for questions between two requests, by the thread that reads."""
        return TdsConnection(self._client)

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Stream the rows of ``request`` in key order; see `reader.Reader.chunks`. Also raises WireUnsupported."""
        if request.copy_format != "binary":
            raise WireUnsupported("the wire reader makes binary COPY only")
        name = request.table.source.full_name
        sql = build_select(request, variant="wire")
        shape = layout(request.table, "wire")
        try:
            with self._line.at(f"reading {name}", name):
                rows = self._client.query(sql)
            if rows is None:
                raise ProtocolError("the server answered a SELECT with no columns")
            yield from self._rows(request, shape, rows)
        except (GeneratorExit, WireUnsupported):
            raise
        except ServerFailure as error:
            # From severity 20 on the server ends the session.
            self._usable = self._usable and error.error.severity < 20
            raise _server_failure(error, name) from None
        except (OSError, ProtocolError) as error:
            raise self._lost(error, name) from None
        except BaseException:
            self._usable = False
            raise

    def _rows(self, request: ReadRequest, shape: Layout, rows: RowStream) -> Generator[Chunk, None, None]:
        core: Transcoder | None = None
        try:
            specs, key_columns = column_specs(rows.columns, request.table, shape)
            core = _transcoder(specs, request, shape)
            core.start(rows.payload, rows.last)
            yield from _Answer(self, request.table, shape, key_columns, core).chunks(request)
        except (GeneratorExit, WireUnsupported):
            self._stop(core, rows)
            raise

    def receive(self, core: Transcoder) -> int:
        """Fill the transcoder's buffer with what has arrived; bytes received. Raises OSError."""
        with self._line:
            return self._client.recv_into(memoryview(core))

    def note(self, token: k.Token) -> None:
        """A token that is neither a row nor an error."""
        self._client.note(token)

    # --- ends -----------------------------------------------------------------------------------------------------

    def _stop(self, core: Transcoder | None, rows: RowStream) -> None:
        """End the statement under way so that the connection may serve another one; else it is given up."""
        if not self._usable or self._cancelled:
            self._usable = False
            return
        self._usable = False
        if core is None:  # the columns could not be served; only the end of the answer matters
            core = _kernel.native().Transcoder([_ANY_COLUMN])
            core.start(rows.payload, rows.last)
        with contextlib.suppress(OSError, ProtocolError):  # then the connection stays unusable
            self._client.set_timeout(_DRAIN_SECONDS)
            self._client.send_attention()
            if self._drain(core):
                self._client.set_timeout(self._client.settings.read_timeout)
                self._usable = True

    def _drain(self, core: Transcoder) -> bool:
        """Read up to the server's acknowledgement of an attention, which is the last token of a message."""
        native = _kernel.native()
        deadline = time.monotonic() + _DRAIN_SECONDS
        received = 0
        while time.monotonic() < deadline:
            status = core.discard(received, _DONE_SIZE)
            received = 0
            if status == native.INPUT:
                received = self.receive(core)
            elif status == native.END:
                tail = core.token()
                if len(tail) == _DONE_SIZE and tail[0] in (k.DONE, k.DONEPROC) and tail[1] & k.DONE_ATTENTION:
                    return True
                core.again()
            else:
                return False
        return False

    def _lost(self, error: Exception, name: str) -> MigrationError:
        self._usable = False
        if self._cancelled:
            return TransientError(f"Reading {name} was cancelled.", side="source", table=name)
        if isinstance(error, ProtocolError):
            return malformed(name, str(error))
        reason = "no data for too long" if isinstance(error, TimeoutError) else str(error)
        return TransientError(
            f"Reading {name}: the connection to the source is lost ({reason}).", side="source", table=name
        )

    def refuse(self) -> None:
        """The stream cannot be followed any further: the connection is of no more use."""
        self._usable = False

    def cancel(self) -> None:
        """End a running ``chunks`` soon, from another thread; the connection is given up."""
        self._cancelled = True
        self._usable = False
        self._client.abort()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._usable = False
        self._line.closed = True
        self._client.close()


_ANY_COLUMN = (0x38, 4, 0, 0, 0, 2, -1)


class _Answer:
    """The rows of one SELECT on their way through the transcoder."""

    def __init__(
        self,
        reader: WireReader,
        table: MappedTable,
        shape: Layout,
        key_columns: list[ColumnMetadata],
        core: Transcoder,
    ) -> None:
        self.core = core
        self._reader = reader
        self._name = table.source.full_name
        self._shape = shape
        self._key_columns = key_columns
        self._fields = [column.source for column in table.copied_columns]
        self._errors: list[k.ServerMessage] = []
        self._rows = 0
        self._failed = False
        self._complete = False

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Chunks until the answer ends well."""
        native = _kernel.native()
        core, receive = self.core, self._reader.receive
        rows, size = request.chunk_rows, request.chunk_bytes
        received = 0
        while True:
            status = core.run(received, rows, size)
            received = 0
            if status == native.INPUT:
                received = receive(core)
            elif status == native.CHUNK:
                yield self._chunk()
            elif status == native.TOKEN:
                self._token()
            elif status == native.END:
                self._check_end()
                if core.rows:
                    yield self._chunk()
                return
            else:
                self._reader.refuse()
                raise self._fault(status == native.DATA)

    def _chunk(self) -> Chunk:
        taken = self.core.take()
        if taken is None:
            raise ProtocolError("no rows where a chunk was announced")
        data, rows = taken
        self._rows += rows
        return Chunk(data=data, rows=rows, last_key=self._key())

    def _key(self) -> KeyValue | None:
        if not self._shape.key:
            return None
        texts = []
        for raw, info, field in zip(self.core.keys(), self._key_columns, self._shape.key, strict=True):
            if raw is None:
                raise TransferError(
                    f"{self._name}: the key column {field.column.name} holds a NULL.",
                    table=self._name,
                    hint="The schema changed since the run was planned: start a new run.",
                )
            texts.append(key_text(raw, info, field.column.type))
        return tuple(texts)

    # --- tokens around the rows -----------------------------------------------------------------------------------

    def _token(self) -> None:
        """Take in the token at the read position."""
        native = _kernel.native()
        while True:
            data = self.core.token()
            reader = ByteReader(data)
            try:
                token = k.read_token(reader)
            except NeedMoreData:
                status = self.core.extend(0)
                while status == native.INPUT:
                    status = self.core.extend(self._reader.receive(self.core))
                if status != native.CHUNK:
                    raise ProtocolError("the answer ends inside a token") from None
                continue
            self.core.skip(reader.pos)
            break
        if isinstance(token, k.ServerMessage) and token.is_error:
            self._errors.append(token)
        elif isinstance(token, k.Done):
            self._done(token)
        elif isinstance(token, k.Columns):
            raise ProtocolError("a second result where one was asked for")
        else:
            self._reader.note(token)

    def _done(self, token: k.Done) -> None:
        self._failed = self._failed or token.failed
        self._complete = not token.more
        if self._errors or self._failed:
            return
        rows = self._rows + self.core.rows
        if token.status & k.DONE_COUNT and token.row_count != rows:
            raise ProtocolError(f"{rows} rows arrived of {token.row_count} that the server counted")

    def _check_end(self) -> None:
        if self._errors:
            raise ServerFailure(self._errors)
        if self._failed:
            raise ServerFailure([k.ServerMessage(0, 0, 16, "The statement failed without a message of the server.")])
        if not self._complete:  # rows may be missing, and no count says so
            raise ProtocolError("the answer does not say that it is complete")

    # --- faults ---------------------------------------------------------------------------------------------------

    def _fault(self, in_data: bool) -> MigrationError:
        native = _kernel.native()
        code, position, detail = self.core.fault()
        column = self._fields[position] if 0 <= position < len(self._fields) else None
        name = "-" if column is None else column.name
        if code == native.F_UNMAPPED:
            return WireUnsupported(
                f"column {name} holds byte 0x{detail:02X}, for which its code page has no character",
                table=self._name,
                hint="Set source.reader: driver.",
            )
        number = f"row {self._rows + self.core.rows + 1} as read"
        if not in_data:
            what = "an answer" if column is None else f"column {column.name} ({column.type}) of {number}"
            return malformed(self._name, f"{what} {faults.stream_reason(code, detail)}")
        reason, hint = faults.data_reason(code, detail)
        names = [field.column.name for field in self._shape.key]
        text = ", ".join(f"{key}={value}" for key, value in zip(names, self._key() or (), strict=False))
        where = f"the row with {text}" if text else number
        return DataError(
            f"{self._name}.{name} in {where} {reason}.", table=self._name, column=name, key=text or number, hint=hint
        )


def _transcoder(
    specs: list[tuple[int, int, int, int, int, int, int]], request: ReadRequest, shape: Layout
) -> Transcoder:
    try:
        core: Transcoder = _kernel.native().Transcoder(
            specs, strip_nul=request.on_nul == "strip", input_size=_INPUT_SIZE
        )
    except ValueError as error:
        why, position = error.args
        copied = request.table.copied_columns
        name = copied[position].source.name if 0 <= position < shape.fields else "of the key"
        kind = f" (type 0x{specs[position][0]:02X})" if position >= 0 else ""
        raise WireUnsupported(f"column {name}: {why}{kind}", table=request.table.source.full_name) from None
    return core


def _server_failure(failure: ServerFailure, name: str) -> MigrationError:
    error = failure.error
    return classify.to_migration_error(failure, table=name, diagnostics=[(f"[42000] ({error.number})", error.text)])


def malformed(name: str, what: str) -> TransferError:
    """The server's bytes are not what TDS allows: nothing that arrived is used."""
    return TransferError(
        f"Reading {name}: the server's answer cannot be followed ({what}).",
        table=name,
        hint="Set source.reader: driver, and report this with the server's version.",
    )
