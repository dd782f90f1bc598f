"""Rows of packages as the reader gives them: chunks, ranges, resuming, and every fault with its file and row."""

from __future__ import annotations

import struct
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcp_rows import MAX, Column, rows
from mssql_pg_migrate.errors import DataError, TransferError, TransientError
from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.model import KeyRange, KeyValue
from mssql_pg_migrate.source.bacpac.catalog import Contents, read_contents
from mssql_pg_migrate.source.bacpac.columns import stored_columns
from mssql_pg_migrate.source.bacpac.counting import count_rows
from mssql_pg_migrate.source.bacpac.positions import plan_ranges, resolve
from mssql_pg_migrate.source.bacpac.rows import BcpReader, members_of
from mssql_pg_migrate.source.bacpac.source import PackageSession
from mssql_pg_migrate.source.reader import Chunk, ReadRequest
from mssql_pg_migrate.source.reader import tuples as taken_apart
from mssql_pg_migrate.source.settings import PackageSettings
from packages import Table, element, prop, relation, type_specifier, write_package

A = Column("int", name="a")
TEXT = Column("nvarchar", True, 20, name="t")
WHOLE = KeyRange(0)


class Opened:
    """A package and its tables as they are mapped."""

    def __init__(self, path: Path) -> None:
        self.contents: Contents = read_contents(str(path))
        mapped = build(self.contents.catalog, MappingOptions()).tables
        self.tables: dict[str, MappedTable] = {table.source.name: table for table in mapped}
        self.reader = BcpReader(lambda: self.contents)

    def request(self, table: str = "T", **others: Any) -> ReadRequest:
        """All rows of a table, or what is asked for."""
        return ReadRequest(table=self.tables[table], **{"range": WHOLE, **others})

    def read(self, table: str = "T", **others: Any) -> list[Chunk]:
        """The chunks of a request."""
        return list(self.reader.chunks(self.request(table, **others)))


def opened(tmp_path: Path, *tables: Table, **others: Any) -> Opened:
    """A package of these tables."""
    return Opened(write_package(tmp_path / "x.bacpac", tables, **others))


def tuples(values: Sequence[int]) -> bytes:
    """COPY tuples of one integer each."""
    return b"".join(struct.pack(">hii", 1, 4, value) for value in values)


def joined(chunks: Sequence[Chunk]) -> bytes:
    """All tuples."""
    return b"".join(bytes(chunk.data) for chunk in chunks)


def test_chunks_go_over_files_and_say_where_they_end(tmp_path: Path) -> None:
    """Three files of five rows in chunks of four."""
    files = [[[5 * part + i] for i in range(5)] for part in range(3)]
    package = opened(tmp_path, Table("T", [A], files))
    chunks = package.read(chunk_rows=4)
    assert [chunk.rows for chunk in chunks] == [4, 4, 4, 3]
    assert joined(chunks) == tuples(range(15))
    assert [(chunk.last_key or ())[0][-14:-4] + (chunk.last_key or ())[2] for chunk in chunks] == [
        "-000-000004", "-001-000003", "-002-000002", "-002-000005",
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    chunk_rows=st.integers(1, 30),
    ranges=st.integers(1, 5),
    stops=st.lists(st.integers(0, 5), max_size=4),
)
def test_every_row_once_however_it_is_cut_and_resumed(
    tmp_path_factory: pytest.TempPathFactory, parts: list[int], chunk_rows: int, ranges: int, stops: list[int]
) -> None:
    """Ranges cover all rows once; a range that is left after any chunk goes on with the next row."""
    files: list[list[list[int]]] = []
    for part in parts:
        start = sum(map(len, files))
        files.append([[start + i] for i in range(part)])
    package = opened(tmp_path_factory.mktemp("rows"), Table("T", [A], files))
    source = package.tables["T"].source
    assert source.row_estimate == sum(parts)
    planned = plan_ranges(members_of(package.contents, source), sum(parts), max_ranges=ranges, min_rows=1)
    assert len(planned) <= ranges
    left = iter(stops)
    found = b""
    for part_of in planned:
        after: KeyValue | None = None
        while True:
            chunks = package.reader.chunks(package.request(range=part_of, after=after, chunk_rows=chunk_rows))
            limit = next(left, None)
            ended = True
            for number, chunk in enumerate(chunks):
                found += bytes(chunk.data)
                after = chunk.last_key
                if number == limit:
                    ended = False
                    break
            chunks.close()
            if ended:
                break
    assert found == tuples(range(sum(parts)))
    assert [part_of.id for part_of in planned] == list(range(len(planned)))


def test_ranges_are_of_about_equal_size(tmp_path: Path) -> None:
    """Eight files of one size in four ranges; fewer where they would be small."""
    package = opened(tmp_path, Table("T", [A], [[[i] for i in range(100)]] * 8))
    members = members_of(package.contents, package.tables["T"].source)
    assert [one.row_estimate for one in plan_ranges(members, 800, max_ranges=4, min_rows=1)] == [200] * 4
    assert len(plan_ranges(members, 800, max_ranges=4, min_rows=400)) == 2
    assert len(plan_ranges(members, 800, max_ranges=1, min_rows=1)) == 1
    assert len(plan_ranges((), 0, max_ranges=4, min_rows=1)) == 1


def test_a_limit(tmp_path: Path) -> None:
    """At most so many rows, over the ends of files too."""
    package = opened(tmp_path, Table("T", [A], [[[1], [2]], [[3], [4]]]))
    assert joined(package.read(limit=3)) == tuples([1, 2, 3])
    assert package.read(limit=0) == []


def test_an_empty_table_has_no_file(tmp_path: Path) -> None:
    """And so no row, whatever its columns are."""
    column = element("SqlSimpleColumn", "[dbo].[E].[s]", prop("EncryptionType", "1"), type_specifier(A))
    other = element("SqlSimpleColumn", "[dbo].[E].[b]", type_specifier(A))
    table = element("SqlTable", "[dbo].[E]", relation("Columns", column, other))
    package = opened(tmp_path, Table("T", [A]), elements=table)
    assert package.read() == []
    assert package.read("E") == []


def test_a_package_that_was_written_anew(tmp_path: Path) -> None:
    """A run does not go on in another file of the same name."""
    first = opened(tmp_path, Table("T", [A], [[[1], [2], [3]]]))
    after = first.read(chunk_rows=2)[0].last_key
    again = opened(tmp_path, Table("T", [A], [[[1], [2], [4]]]))
    with pytest.raises(TransferError, match="not the one that was read before"):
        again.read(after=after)
    for bad in (("a",), ("a", "b", "c"), (after[0], after[1], "x") if after else ()):
        with pytest.raises(TransferError, match="not the one that was read before"):
            resolve("T", members_of(first.contents, first.tables["T"].source), bad)
    assert after is not None
    beyond = (after[0], after[1], "9")
    with pytest.raises(TransferError, match="ends before the row from which reading goes on"):
        list(Opened(write_package(tmp_path / "y.bacpac", [Table("T", [A], [[[1], [2], [3]]])])).read(after=beyond))


GOOD = [[number, "x"] for number in range(7)]


def damaged(tmp_path: Path, data: bytes, **others: Any) -> Opened:
    """A second data file of those bytes, behind a good one, and another good table."""
    tables = [
        Table("T", [A, TEXT], data=[rows([A, TEXT], GOOD), data]),
        Table("Good", [A], [[[1]]]),
    ]
    return opened(tmp_path, *tables, **others)


SECOND = r"Data/dbo\.T/TableData-001-00000\.BCP"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows([A, TEXT], GOOD[:3]) + b"\1\0\0", rf"row 4 of {SECOND}: column a \(int\) is cut short"),
        (rows([A, TEXT], GOOD[:2]) + b"\1\0\0\0\4\0a", rf"row 3 of {SECOND}: column t .* is cut short"),
        (b"\1\0\0\0\x30\0" + b"a\0" * 24, rf"row 1 of {SECOND}: column t \(nvarchar\(20\)\) has a length"),
        (rows([A, TEXT], GOOD) + b"junk", rf"row 8 of {SECOND}: column t .* is cut short"),
    ],
)
def test_a_damaged_data_file(tmp_path: Path, data: bytes, message: str) -> None:
    """Names its file, row and column; the rows before it came, the other table too."""
    package = damaged(tmp_path, data)
    chunks = package.reader.chunks(package.request(chunk_rows=7))
    assert next(chunks).rows == 7
    with pytest.raises(TransferError, match=message) as failure:
        list(chunks)
    assert failure.value.table == "dbo.T"
    assert joined(package.read("Good")) == tuples([1])
    source = package.tables["T"].source
    members = members_of(package.contents, source)
    with pytest.raises(TransferError, match=message):
        count_rows(package.contents.package.path, "dbo.T", members[1], stored_columns(source))


@pytest.mark.parametrize(("strip", "fails"), [("error", True), ("strip", False)])
def test_a_value_that_postgresql_cannot_hold(tmp_path: Path, strip: str, fails: bool) -> None:
    """U+0000: its file, row and column; or it is left out."""
    package = damaged(tmp_path, rows([A, TEXT], [[1, "a"], [2, "b\0c"], [3, "d"]]))
    if not fails:
        assert joined(package.read(on_nul=strip)).endswith(b"\0\0\0\2bc" + struct.pack(">hii", 2, 4, 3) + b"\0\0\0\1d")
        return
    with pytest.raises(DataError, match=rf"dbo\.T\.t in row 2 of {SECOND} holds the character U\+0000") as failure:
        package.read(on_nul=strip)
    assert (failure.value.column, failure.value.key) == ("t", "Data/dbo.T/TableData-001-00000.BCP row 2")


def test_a_member_whose_bytes_are_damaged(tmp_path: Path) -> None:
    """A flipped bit in the compressed data: an error with the file and the row that was reached."""
    path = write_package(tmp_path / "x.bacpac", [Table("T", [A], [[[i * 7919] for i in range(5000)]])])
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("Data/dbo.T/TableData-000-00000.BCP")
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(TransferError, match=r"Table dbo\.T, row \d+ of Data/.*damaged") as failure:
        Opened(path).read()
    assert failure.value.hint


def test_an_announced_file_that_is_not_there(tmp_path: Path) -> None:
    """The table fails, whatever other files it has."""
    part = "Data/dbo.T/TableData-001-00000.BCP"
    package = opened(tmp_path, Table("T", [A], [[[1]], [[2]]]), replaced={part: None})
    with pytest.raises(TransferError, match=rf"announces the data file {part}"):
        package.read()


def test_columns_that_cannot_be_followed(tmp_path: Path) -> None:
    """Ciphertext, column sets, types without a known form: row 1 of the file, and why."""
    number = type_specifier(A)
    kinds = {
        "E": (prop("EncryptionType", "1"), number, "is Always Encrypted: the file holds ciphertext"),
        "S": (prop("IsColumnSet", "True"), type_specifier(Column("xml")), "is a column set"),
        "J": ("", type_specifier(Column("json")), "is json, whose form in a data file is not known"),
    }
    elements = ""
    replaced: dict[str, bytes] = {}
    for name, (more, kind, _) in kinds.items():
        one = element("SqlSimpleColumn", f"[dbo].[{name}].[s]", more, kind)
        other = element("SqlSimpleColumn", f"[dbo].[{name}].[a]", number)
        elements += element("SqlTable", f"[dbo].[{name}]", relation("Columns", one, other))
        replaced[f"Data/dbo.{name}/TableData-000-00000.BCP"] = b"12345678"
    package = opened(tmp_path, Table("T", [A], [[[1]]]), elements=elements, replaced=replaced, total=1)
    for name, (_, _, message) in kinds.items():
        with pytest.raises(TransferError, match=rf"dbo\.{name}, row 1 of Data/dbo\.{name}/.*: column s {message}"):
            package.read(name)
    assert joined(package.read()) == tuples([1])


def test_clr_values_become_text(tmp_path: Path) -> None:
    """hierarchyid, geometry, geography and sql_variant, NULLs and bad ones, in chunks over files."""
    point = bytes.fromhex("E6100000010CAE8BFC28BCE4474067A89189898A5EC0")
    columns = [A, *(Column(kind, True, name=kind) for kind in ("hierarchyid", "geography", "geometry", "sql_variant"))]
    good = [[1, b"\x58", point, point, None], [2, None, None, None, None], [3, b"", point, None, None]]
    package = opened(tmp_path, Table("T", columns, [good, good]))
    texts = [b"/1/", b"POINT (-122.164644615406 47.7869921906598)", b"POINT (47.7869921906598 -122.164644615406)", None]

    def row(number: int, values: Sequence[bytes | None]) -> bytes:
        fields = (b"\xff" * 4 if one is None else struct.pack(">i", len(one)) + one for one in values)
        return struct.pack(">hii", 5, 4, number) + b"".join(fields)

    wanted = row(1, texts) + row(2, [None] * 4) + row(3, [b"/", texts[1], None, None])
    for chunk_rows in (100, 4, 1):
        assert joined(package.read(chunk_rows=chunk_rows)) == wanted * 2
    for position, bad in ((1, b"\x01"), (2, b"1234"), (4, b"\x38\x00\x01\x00\x00\x00")):
        values: list[Any] = [9, None, None, None, None]
        values[position] = bad
        package = opened(tmp_path, Table("T", columns, [good, [*good, values]]))
        for chunk_rows in (100, 2):
            with pytest.raises(DataError, match=rf"dbo\.T\.{columns[position].name} in row 4 of {SECOND} is "):
                package.read(chunk_rows=chunk_rows)


def test_values_in_many_pieces(tmp_path: Path) -> None:
    """Values larger than what is inflated at a time, and a chunk bound by bytes."""
    long = Column("nvarchar", True, MAX, name="t")
    values = [[number, "é" * (number * 200_001)] for number in range(4)]
    package = opened(tmp_path, Table("T", [A, long], [values]))
    chunks = package.read(chunk_bytes=500_000)
    assert [chunk.rows for chunk in chunks] == [3, 1]
    assert joined(chunks).endswith(struct.pack(">i", 600_003 * 2) + "é".encode() * 600_003)
    assert joined(package.read(after=chunks[0].last_key)) == bytes(chunks[1].data)


def test_cancel_ends_the_reading(tmp_path: Path) -> None:
    """From another thread, in the middle; no thread is left behind."""
    package = opened(tmp_path, Table("T", [A], [[[i] for i in range(300_000)]]))
    before = threading.active_count()
    chunks = package.reader.chunks(package.request(chunk_rows=1000))
    next(chunks)
    package.reader.cancel()
    with pytest.raises(TransientError, match="was cancelled"):
        list(chunks)
    assert threading.active_count() == before
    assert not package.reader.usable
    again = BcpReader(lambda: package.contents)
    chunks = again.chunks(package.request(chunk_rows=1000))
    next(chunks)
    chunks.close()
    assert threading.active_count() == before


def test_computed_columns_are_not_in_the_files(tmp_path: Path) -> None:
    """Nor asked for; a request with other columns than the files hold is refused."""
    package = opened(tmp_path, Table("T", [A], [[[1], [2]]], computed={"b": "([a]+(1))"}))
    assert joined(package.read()) == tuples([1, 2])
    table = package.tables["T"]
    strange = replace(
        table, columns=(*table.columns, replace(table.columns[0], source=replace(table.columns[0].source, name="z")))
    )
    with pytest.raises(TransferError, match="do not hold the column z"):
        list(package.reader.chunks(ReadRequest(table=strange, range=WHOLE)))


def test_a_sample_is_of_several_files(tmp_path: Path) -> None:
    """The first rows of five of eight files; all rows where they are few."""
    files = [[[100 * part + i] for i in range(100)] for part in range(8)]
    package = opened(tmp_path, Table("T", [A], files), Table("Few", [A], [[[1], [2]]]), Table("None", [A], []))
    session = PackageSession(PackageSettings(package.contents.package.path))
    found = session.sample(package.tables["T"], 50, on_nul="error", seconds=10)
    values = [int.from_bytes(row[0] or b"", "big") for row in taken_apart(found)]
    assert len(values) == 50
    assert len({value // 100 for value in values}) == 5
    assert session.sample(package.tables["Few"], 50, on_nul="error", seconds=10) == tuples([1, 2])
    assert session.sample(package.tables["None"], 50, on_nul="error", seconds=10) == b""
