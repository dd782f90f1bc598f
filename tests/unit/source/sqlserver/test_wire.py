"""The wire reader against a scripted server: chunks, keys, refusals, poison, lost and cancelled reads."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from kernel_oracle import LATIN, Col, nbc_row, row, ti, tuples
from mssql_pg_migrate import _kernel
from mssql_pg_migrate.errors import ConnectionFailed, DataError, TransferError, TransientError
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.types import MappedColumn, map_type
from mssql_pg_migrate.model import Column, Key, KeyColumn, KeyRange, SqlType, Table
from mssql_pg_migrate.source.reader import Chunk, ReadRequest
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.proof import prove
from mssql_pg_migrate.source.sqlserver.wire import WireReader
from mssql_pg_migrate.source.sqlserver.wire_connect import WireUnsupported, unsupported
from mssql_pg_migrate.tds import tokens as k
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.metadata import ColumnMetadata, encode_colmetadata
from mssql_pg_migrate.tds.packets import PacketType
from scripted_server import OK, ScriptedServer, Session, acknowledgement, error

pytestmark = pytest.mark.skipif(_kernel.unavailable() is not None, reason="the transcoder is not built")

ID = (Column("Id", SqlType("int"), nullable=False), Col(ti(t.INT4, 4), "int4"))
NAME = (
    Column("Name", SqlType("nvarchar", max_length=100)),
    Col(ti(t.NVARCHAR, 100, collation=LATIN), "text"),
)


def table(
    columns: Sequence[Column], key: Sequence[str] = ("Id",), *, copied: Sequence[str] | None = None
) -> MappedTable:
    """dbo.T with these columns."""
    range_key = Key("PK_T", tuple(KeyColumn(name) for name in key), primary=True) if key else None
    source = Table("dbo", "T", tuple(columns), primary_key=range_key)
    mapped = []
    for column in columns:
        kind = map_type(column, pgvector=True)
        mapped.append(
            MappedColumn(
                source=column,
                name=column.name,
                pg_type=kind.pg_type,
                encoding=kind.encoding,
                driver_select=kind.driver_select,
                wire_select=kind.wire_select,
                copied=copied is None or column.name in copied,
            )
        )
    return MappedTable(source=source, schema="public", name="T", columns=tuple(mapped), range_key=range_key)


def metadata(columns: Sequence[Col], names: Sequence[str]) -> bytes:
    """A COLMETADATA token."""
    parts = []
    for column, name in zip(columns, names, strict=True):
        info = column.info
        parts.append(
            ColumnMetadata(
                type_id=info.type_id,
                length=info.length,
                precision=info.precision,
                scale=info.scale,
                collation=info.collation,
                name=name,
            )
        )
    return encode_colmetadata(parts)


def counted(rows: int) -> bytes:
    """A DONE token with a row count."""
    return k.Done(k.DONE_COUNT, k.CMD_SELECT, rows).encode()


class Selecting:
    """A script that answers SET with success and SELECT with prepared messages."""

    def __init__(self, *messages: bytes) -> None:
        self.messages = list(messages)

    def __call__(self, session: Session, sql: str) -> None:
        session.answer(OK if sql.startswith("SET ") else self.messages.pop(0))


@contextmanager
def reading(script: Any, **changes: Any) -> Iterator[tuple[ScriptedServer, WireReader]]:
    """A server and a reader on it."""
    with ScriptedServer(script, packet_size=512) as server:
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": server.port,
            "database": "db",
            "user": "sa",
            "password": "pw",
            "encrypt": False,
        }
        reader = WireReader(SqlServerSettings(**{**values, **changes}))
        try:
            yield server, reader
        finally:
            reader.close()


def request(of: MappedTable, **changes: Any) -> ReadRequest:
    """The whole table, in one chunk unless said otherwise."""
    return ReadRequest(table=of, range=KeyRange(0), **changes)


def read(reader: WireReader, of: MappedTable, **changes: Any) -> list[Chunk]:
    """All chunks."""
    return list(reader.chunks(request(of, **changes)))


PEOPLE = table([ID[0], NAME[0]])
COLS = [ID[1], NAME[1]]
HEAD = metadata(COLS, ["Id", "Name"])
ORDER = k.Order((1,)).encode()
INFO = k.ServerMessage(5701, 2, 0, "Changed database context. " * 40, is_error=False).encode()


def test_rows_become_chunks_with_their_last_key() -> None:
    """Cut by rows; tokens before and between the rows do no harm; the connection serves again."""
    rows = [[i, f"name {i}" if i % 3 else None] for i in range(10)]
    tokens = [(nbc_row if i % 2 else row)(COLS, values) for i, values in enumerate(rows)]
    message = HEAD + ORDER + b"".join(tokens[:4]) + INFO + b"".join(tokens[4:]) + counted(10)
    with reading(Selecting(message, message)) as (server, reader):
        for _ in range(2):
            chunks = read(reader, PEOPLE, chunk_rows=4)
            assert [chunk.rows for chunk in chunks] == [4, 4, 2]
            assert [chunk.last_key for chunk in chunks] == [("3",), ("7",), ("9",)]
            assert b"".join(bytes(chunk.data) for chunk in chunks) == tuples(COLS, rows)
            assert reader.usable
        assert server.batches[0].startswith("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET TEXTSIZE 2147483647")
        assert server.batches[-1].startswith("SELECT [Id], [Name]\nFROM [dbo].[T]")


def test_no_rows_and_no_key() -> None:
    """An empty table has no chunk; a table without a key has chunks without one."""
    heap = table([ID[0], NAME[0]], key=())
    one = HEAD + row(COLS, [1, "x"]) + counted(1)
    with reading(Selecting(HEAD + counted(0), one)) as (_, reader):
        assert read(reader, PEOPLE) == []
        chunks = read(reader, heap)
        assert [(chunk.rows, chunk.last_key) for chunk in chunks] == [(1, None)]


def test_a_key_column_that_is_not_copied() -> None:
    """A generated column of the target is read for the key only."""
    stamp = Column("At", SqlType("datetime2", scale=7), nullable=False)
    of = table([stamp, NAME[0]], key=("At",), copied=("Name",))
    cols = [NAME[1], Col(ti(t.DATETIME2N, 8, 0, 7), "none")]
    ticks = 738_000 * 864_000_000_000 + 1_234_567
    message = metadata(cols, ["Name", ""]) + row(cols, ["x", ticks]) + counted(1)
    with reading(Selecting(message)) as (server, reader):
        (chunk,) = read(reader, of)
        assert chunk.last_key == ("2021-07-30T00:00:00.1234567",)
        assert bytes(chunk.data) == tuples(cols, [["x", ticks]])
        assert "SELECT [Name], [At]" in server.batches[-1]


@pytest.mark.parametrize(
    ("number", "kind"), [(1205, TransientError), (8134, TransferError), (40501, TransientError), (229, TransferError)]
)
def test_an_error_after_rows_fails_the_read(number: int, kind: type[TransferError]) -> None:
    """Number and text are those of the server; what was gathered is not handed out; the session lives on."""
    message = HEAD + row(COLS, [1, "x"]) + error(number, "It went wrong.") + k.Done(k.DONE_ERROR).encode()
    good = HEAD + row(COLS, [1, "x"]) + counted(1)
    with reading(Selecting(message, good)) as (_, reader):
        seen: list[Chunk] = []
        with pytest.raises(TransferError, match="It went wrong") as caught:
            seen.extend(reader.chunks(request(PEOPLE)))
        assert type(caught.value) is kind
        assert str(number) in str(caught.value)
        assert caught.value.table == "dbo.T"
        if isinstance(caught.value, TransientError):
            assert (caught.value.side, caught.value.code) == ("source", str(number))
        assert seen == []
        assert len(read(reader, PEOPLE)) == 1


def test_an_error_instead_of_rows() -> None:
    """A statement that fails at once; one that fails without a word; one that ends the session."""
    fatal = error(596, "Cannot continue the execution because the session is in the kill state.", 21) + OK
    messages = (error(208, "Invalid object name.") + OK, HEAD + k.Done(k.DONE_ERROR).encode(), fatal)
    with reading(Selecting(*messages)) as (_, reader):
        with pytest.raises(TransferError, match="Invalid object name"):
            read(reader, PEOPLE)
        with pytest.raises(TransferError, match="without a message"):
            read(reader, PEOPLE)
        assert reader.usable
        with pytest.raises(TransientError):
            read(reader, PEOPLE)
        assert not reader.usable


def test_counts_that_do_not_agree() -> None:
    """Rows that the server counted and that did not arrive are not overlooked."""
    with reading(Selecting(HEAD + row(COLS, [1, "x"]) + counted(2))) as (_, reader):
        with pytest.raises(TransferError, match="1 rows arrived of 2"):
            read(reader, PEOPLE)
        assert not reader.usable


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (HEAD + counted(0), "second result"),
        (b"\x00", "unexpected token"),
        (b"\xd1\x01", "cannot be followed"),
        (b"\xaa\x10\x00", "ends inside a token"),
        (b"", "does not say that it is complete"),
        (k.Done(k.DONE_MORE | k.DONE_COUNT, k.CMD_SELECT, 1).encode(), "does not say that it is complete"),
    ],
)
def test_streams_that_cannot_be_followed(tail: bytes, reason: str) -> None:
    """An answer that is not one SELECT's: an error that names the table, never rows."""
    with reading(Selecting(HEAD + row(COLS, [1, "x"]) + tail)) as (_, reader):
        with pytest.raises(TransferError, match=reason) as caught:
            read(reader, PEOPLE)
        assert not isinstance(caught.value, (TransientError, WireUnsupported))
        assert "dbo.T" in str(caught.value)
        assert not reader.usable


def test_poison_names_table_column_and_key() -> None:
    """U+0000 and lone surrogates; the rows before them are complete chunks."""
    bad = NAME[1].info
    nul = b"\xd1" + struct.pack("<iH", 3, 4) + "a\0".encode("utf-16-le")
    lone = b"\xd1" + struct.pack("<iH", 4, 2) + b"\x3d\xd8"
    assert bad.type_id == t.NVARCHAR
    message = HEAD + row(COLS, [1, "x"]) + row(COLS, [2, "y"]) + nul + counted(3)
    with reading(Selecting(message, HEAD + lone + counted(1))) as (_, reader):
        chunks = reader.chunks(request(PEOPLE, chunk_rows=2))
        assert next(chunks).last_key == ("2",)
        with pytest.raises(DataError, match=r"dbo\.T\.Name in the row with Id=3 holds the character U\+0000") as caught:
            next(chunks)
        assert (caught.value.table, caught.value.column, caught.value.key) == ("dbo.T", "Name", "Id=3")
    with reading(Selecting(message, HEAD + lone + counted(1))) as (_, reader):
        (chunk,) = read(reader, PEOPLE, on_nul="strip")
        assert bytes(chunk.data) == tuples(COLS, [[1, "x"], [2, "y"], [3, "a"]])
        with pytest.raises(DataError, match=r"Id=4 holds a lone surrogate \(U\+D83D\)"):
            read(reader, PEOPLE)


def test_poison_in_a_table_without_a_key() -> None:
    """The row is named by its number."""
    nul = b"\xd1" + struct.pack("<iH", 3, 2) + bytes(2)
    message = HEAD + row(COLS, [1, "x"]) + nul + counted(2)
    with reading(Selecting(message)) as (_, reader), pytest.raises(DataError, match="in row 2 as read"):
        read(reader, table([ID[0], NAME[0]], key=()))


DAY = (Column("Day", SqlType("date", 3), nullable=True), Col(ti(t.DATEN, 3), "date"))


VECTOR = (Column("V", SqlType("vector", 16), nullable=True), Col(ti(t.VECTOR, 16), "vector"))


def vector(*values: float, head: bytes = b"\xa9\x01", kind: int = 0, count: int | None = None) -> bytes:
    data = struct.pack("<2sHB3x", head, len(values) if count is None else count, kind)
    data += struct.pack(f"<{len(values)}f", *values)
    return struct.pack("<H", len(data)) + data


def test_a_vector_becomes_that_of_pgvector() -> None:
    """[MS-TDS] 2.2.5.5.7: an eight-byte head, then the values; NULL as in other types of two-byte lengths."""
    infos = [ID[1], VECTOR[1]]
    rows = b"\xd1" + struct.pack("<i", 1) + vector(0.1, -2.5) + b"\xd1" + struct.pack("<i", 2) + b"\xff\xff"
    with reading(Selecting(metadata(infos, ["Id", "V"]) + rows + counted(2))) as (_, reader):
        (chunk,) = read(reader, table([ID[0], VECTOR[0]]))
    ids = [struct.pack(">hii", 2, 4, number) for number in (1, 2)]
    assert bytes(chunk.data) == ids[0] + struct.pack(">iHH2f", 12, 2, 0, 0.1, -2.5) + ids[1] + struct.pack(">i", -1)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (VECTOR, vector(1.0, head=b"\xa8\x01"), "value outside its type's range"),
        (VECTOR, vector(1.0, head=b"\xa9\x02"), "value outside its type's range"),
        (VECTOR, vector(1.0, kind=1), "value outside its type's range"),
        (VECTOR, vector(1.0, count=2), "value outside its type's range"),
        (VECTOR, b"\x04\0\xa9\x01\0\0", "value outside its type's range"),
        (NAME, struct.pack("<H", 3) + b"x\0y", r"Name \(nvarchar\(50\)\) of row 2 as read holds half a character"),
        (DAY, b"\x04\0\0\0\0", r"Day \(date\) of row 2 as read has a length that its type does not have"),
        (DAY, b"\x03\xff\xff\xff", r"Day \(date\) of row 2 as read has a value outside its type's range"),
    ],
)
def test_a_row_that_cannot_be_followed_names_its_column_in_words(
    column: tuple[Column, Col], value: bytes, reason: str
) -> None:
    """For a person: no numbers of faults."""
    infos = [ID[1], column[1]]
    message = metadata(infos, ["Id", column[0].name]) + row(infos, [1, None])
    message += b"\xd1" + struct.pack("<i", 2) + value + counted(2)
    with reading(Selecting(message)) as (_, reader), pytest.raises(TransferError, match=reason) as caught:
        read(reader, table([ID[0], column[0]]))
    assert "fault" not in str(caught.value)


VARIANT = Col(ti(t.SQL_VARIANT, 8009), "text")
CYRILLIC = bytes.fromhex("1904d00000")


@pytest.mark.parametrize(
    ("source", "wire", "reason"),
    [
        (NAME[0], VARIANT, "type 0x62"),
        (Column("n", SqlType("int")), Col(ti(t.INTN, 8), "int8"), "without a conversion"),
        (
            Column("v", SqlType("varchar", max_length=9, code_page=1252)),
            Col(ti(t.BIGVARCHAR, 9, collation=CYRILLIC), "text"),
            "code page of column v is not known",
        ),
        (
            Column("v", SqlType("varchar", max_length=9, code_page=932)),
            Col(ti(t.BIGVARCHAR, 9, collation=bytes.fromhex("1104d00000")), "text"),
            "code page is not one of those known",
        ),
        (
            Column("d", SqlType("decimal", precision=9, scale=2)),
            Col(ti(t.DECIMALN, 5, 9, 4), "numeric"),
            "arrives with scale 4",
        ),
    ],
)
def test_columns_that_only_the_driver_can_read(source: Column, wire: Col, reason: str) -> None:
    """Refused before a row is looked at; the statement is ended and the connection serves again."""
    cols = [ID[1], wire]
    empty = metadata(cols, ["Id", source.name]) + b"\xd1" + bytes(3000) + counted(1)
    good = HEAD + row(COLS, [1, "x"]) + counted(1)
    with reading(Selecting(empty, good)) as (server, reader):
        with pytest.raises(WireUnsupported, match=reason):
            read(reader, table([ID[0], source]))
        assert server.attentions == 1
        assert reader.usable
        assert len(read(reader, PEOPLE)) == 1


def test_a_byte_without_a_character_is_left_to_the_driver() -> None:
    """A hole of a code page: the driver may go on after the chunks before it."""
    greek = Column("v", SqlType("varchar", max_length=9, code_page=1253))
    cols = [ID[1], Col(ti(t.BIGVARCHAR, 9, collation=bytes.fromhex("0804d00000")), "text")]
    message = metadata(cols, ["Id", "v"]) + row(cols, [1, "Ω"]) + b"\xd1\x02\0\0\0\x01\x00\xd2" + counted(2)
    with reading(Selecting(message)) as (_, reader):
        chunks = reader.chunks(request(table([ID[0], greek]), chunk_rows=1))
        assert next(chunks).last_key == ("1",)
        with pytest.raises(WireUnsupported, match="byte 0xD2"):
            next(chunks)


def test_a_key_is_read_in_the_code_page_that_only_the_catalog_knows() -> None:
    """A collation whose number is in no table here, and whose code page the server told by its name."""
    kind = SqlType("varchar", max_length=9, collation="Serbian_Cyrillic_100_CI_AS", code_page=1251)
    cols = [Col(ti(t.BIGVARCHAR, 9, collation=bytes.fromhex("1a28d00000")), "text")]
    message = metadata(cols, ["Code"]) + b"\xd1\x02\x00\xc6\x98" + counted(1)
    with reading(Selecting(message)) as (_, reader):
        (chunk,) = read(reader, table([Column("Code", kind, nullable=False)], key=("Code",)))
    assert bytes(chunk.data)[6:].decode() == "Ж\x98"
    assert chunk.last_key == ("Ж\x98",)


def test_too_few_columns_and_text_copy() -> None:
    """Requests the reader does not take."""
    with reading(Selecting(metadata(COLS[:1], ["Id"]) + counted(0))) as (_, reader):
        with pytest.raises(WireUnsupported, match="returns 1 columns for 2"):
            read(reader, PEOPLE)
        with pytest.raises(WireUnsupported, match="binary COPY only"):
            read(reader, PEOPLE, copy_format="text")


class Endless:
    """Rows without an end, until the client asks to stop or goes away."""

    def __call__(self, session: Session, sql: str) -> None:
        if sql.startswith("SET "):
            session.answer(OK)
            return
        stream = session.stream
        packet = row(COLS, [1, "x" * 28]) * 8
        session.sock.settimeout(0.0)
        head = False
        while True:
            try:
                if session.sock.recv(1, 2):  # MSG_PEEK
                    break
                return
            except BlockingIOError:
                pass
            payload = packet if head else HEAD
            head = True
            session.sock.settimeout(5)
            stream.transport.sendall(struct.pack(">BBHHBB", 4, 0, len(payload) + 8, 0, 1, 0) + payload)
            session.sock.settimeout(0.0)
        session.sock.settimeout(5)
        stream.transport.sendall(struct.pack(">BBHHBB", 4, 1, 21, 0, 1, 0) + k.Done().encode())


def test_closing_early_ends_the_query() -> None:
    """An attention, the rest thrown away, and the connection serves again."""
    with reading(Endless()) as (server, reader):
        chunks = reader.chunks(request(PEOPLE, chunk_rows=1))
        next(chunks)
        begin = time.monotonic()
        chunks.close()
        assert time.monotonic() - begin < 3
        assert reader.usable
        assert server.attentions == 1
        next(chunks := reader.chunks(request(PEOPLE, chunk_rows=1)))
        chunks.close()
        assert server.attentions == 2


def test_cancel_from_another_thread() -> None:
    """A read that waits for the server ends at once with a TransientError."""

    def script(session: Session, sql: str) -> None:
        if sql.startswith("SET "):
            session.answer(OK)
        else:
            stream = HEAD + row(COLS, [1, "x"])
            session.stream.transport.sendall(struct.pack(">BBHHBB", 4, 0, len(stream) + 8, 0, 1, 0) + stream)

    with reading(script) as (_, reader):
        timer = threading.Timer(0.2, reader.cancel)
        timer.start()
        with pytest.raises(TransientError, match="cancelled"):
            read(reader, PEOPLE)
        timer.join()
        assert not reader.usable


def test_a_connection_that_breaks() -> None:
    """The server goes away between packets and inside one: a TransientError that names the table."""
    for cut in (0, 5):

        def script(session: Session, sql: str, cut: int = cut) -> None:
            if sql.startswith("SET "):
                session.answer(OK)
                return
            stream = HEAD + row(COLS, [1, "x"])
            session.stream.transport.sendall(struct.pack(">BBHHBB", 4, 0, len(stream) + 8 + cut, 0, 1, 0) + stream)
            session.sock.close()

        with reading(script) as (_, reader):
            with pytest.raises(TransientError, match=r"Reading dbo\.T: the connection to the source is lost"):
                read(reader, PEOPLE)
            assert not reader.usable


def test_a_server_that_stops_talking() -> None:
    """query_timeout bounds the wait for each byte."""

    def script(session: Session, sql: str) -> None:
        if sql.startswith("SET "):
            session.answer(OK)

    with reading(script, query_timeout=1) as (_, reader), pytest.raises(TransientError, match="no data for too long"):
        read(reader, PEOPLE)


def test_settings_that_need_the_driver() -> None:
    """Entra methods, integrated security and unknown keywords are left to the driver."""
    base = {"host": "h", "database": "d", "user": "u", "password": "p"}
    assert unsupported(SqlServerSettings(**base)) is None
    assert unsupported(SqlServerSettings(**base, options=(("ApplicationIntent", "ReadOnly"),))) is None
    assert unsupported(SqlServerSettings("h", "d", access_token="t")) is None
    assert "ActiveDirectory" in (unsupported(SqlServerSettings(**base, authentication="ActiveDirectoryMSI")) or "")
    assert "integrated" in (unsupported(SqlServerSettings("h", "d")) or "")
    assert "Trusted" in (unsupported(SqlServerSettings(**base, options=(("Trusted_Connection", "yes"),))) or "")


def test_connections_that_fail() -> None:
    """In the words of the driver's connections, without the password."""

    def login(_session: Session) -> bytes:
        return error(18456, "Login failed for user 'sa'.", 14) + OK

    with ScriptedServer(login=login) as server:
        settings = SqlServerSettings("127.0.0.1", "db", "sa", "s3cr3t", port=server.port, encrypt=False)
        with pytest.raises(ConnectionFailed, match="Login failed for user 'sa'") as caught:
            WireReader(settings)
        assert not caught.value.retryable
        assert "s3cr3t" not in str(caught.value)
        encrypted = SqlServerSettings("127.0.0.1", "db", "sa", "s3cr3t", port=server.port)
        with pytest.raises(ConnectionFailed, match="encrypt"):
            WireReader(encrypted)
    with pytest.raises(ConnectionFailed, match="refuses connections"):
        WireReader(settings)
    with pytest.raises(ConnectionFailed, match="unknown"):
        WireReader(SqlServerSettings("no-such-host.invalid", "db", "sa", "x"))


def test_a_database_that_was_open_is_waited_for() -> None:
    """A server that recovers its databases after a restart refuses them as it refuses a misspelled one."""
    recovering = False

    def login(session: Session) -> bytes:
        assert session.login is not None
        if session.login.database and (recovering or session.login.database == "dbb"):
            refusal = f'Cannot open database "{session.login.database}" requested by the login. The login failed.'
            return error(4060, refusal, 11) + error(18456, "Login failed for user 'sa'.", 14) + OK
        return acknowledgement()

    with ScriptedServer(login=login) as server:
        settings = SqlServerSettings("127.0.0.1", "db", "sa", "s3cr3t", port=server.port, encrypt=False)
        WireReader(settings).close()
        recovering = True
        with pytest.raises(ConnectionFailed, match="db") as caught:
            WireReader(settings)
        assert caught.value.retryable
        with pytest.raises(ConnectionFailed, match="dbb") as caught:
            WireReader(replace(settings, database="dbb"))
        assert not caught.value.retryable


def test_another_packet_in_the_middle() -> None:
    """A packet of another type inside the rows."""

    def script(session: Session, sql: str) -> None:
        if sql.startswith("SET "):
            session.answer(OK)
            return
        stream = HEAD + row(COLS, [1, "x"])
        session.stream.transport.sendall(struct.pack(">BBHHBB", 4, 0, len(stream) + 8, 0, 1, 0) + stream)
        session.stream.write_message(PacketType.SQL_BATCH, b"x")

    with reading(script) as (_, reader), pytest.raises(TransferError, match="cannot be followed"):
        read(reader, PEOPLE)


def test_without_the_compiled_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool works through the driver, and the reason is there to be told."""

    def use(kind: str) -> Any:
        raise AssertionError(f"no {kind} reader is needed to know that")

    monkeypatch.setattr(_kernel, "_module", None)
    monkeypatch.setattr(_kernel, "_reason", "the compiled transcoder is not installed")
    with pytest.raises(WireUnsupported, match="not installed"):
        WireReader(SqlServerSettings("127.0.0.1", "db", "sa", "x"))
    assert prove(PEOPLE, use) == "the compiled transcoder is not installed"
    with pytest.raises(RuntimeError, match="not installed"):
        _kernel.native()
