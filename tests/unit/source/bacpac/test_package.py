"""Packages whole and broken: what the directory must be, what it may not claim, and whose the data files are."""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bcp_rows import Column
from mssql_pg_migrate.errors import IoError, MigrationError, SchemaError, TransferError
from mssql_pg_migrate.source.bacpac import inflate as inflating
from mssql_pg_migrate.source.bacpac.catalog import read_contents
from mssql_pg_migrate.source.bacpac.package import assign, open_package
from packages import Table, write_package

NUMBERS = [[number] for number in range(1000)]
T = Table("T", [Column("int", name="a")], [NUMBERS])


def test_a_whole_package(tmp_path: Path) -> None:
    """Origin, checksum, data files by table."""
    path = write_package(tmp_path / "shop.bacpac", [T, Table("Empty", [Column("int", name="a")])])
    package = open_package(str(path))
    assert package.name == "shop.bacpac"
    assert package.origin.rows == 1000
    assert package.origin.model_checksum == package.model_digest()
    data = assign(package, [("dbo", "T"), ("dbo", "Empty")])
    assert [member.size for member in data.members["dbo", "T"]] == [4000]
    assert (data.missing, data.unknown) == ({}, ())
    assert open_package(str(path)) is package
    write_package(path, [T], total=7)
    assert open_package(str(path)).origin.rows == 7


def test_no_file(tmp_path: Path) -> None:
    """A path that leads nowhere, and one that leads to a folder."""
    for path in (tmp_path / "nothing.bacpac", tmp_path):
        with pytest.raises(IoError, match="cannot be read"):
            open_package(str(path))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a package at all" * 99, bytes(5000)])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    """Files of another kind."""
    path = tmp_path / "x.bacpac"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match="no ZIP archive"):
        open_package(str(path))


def test_an_archive_without_a_model(tmp_path: Path) -> None:
    """Some other ZIP file."""
    path = write_package(tmp_path / "x.bacpac", [T], replaced={"model.xml": None})
    with pytest.raises(SchemaError, match=r"it has no model\.xml"):
        open_package(str(path))


def _patched(path: Path, signature: bytes, offset: int, value: bytes, name: bytes) -> None:
    """Change a field of the directory's (or local) entry of a member."""
    content = bytearray(path.read_bytes())
    at = -1
    while True:
        at = content.index(signature, at + 1)
        size = 46 if signature == b"PK\1\2" else 30
        if content[at + size : at + size + len(name)] == name:
            break
    content[at + offset : at + offset + len(value)] = value
    path.write_bytes(content)


MEMBER = b"Data/dbo.T/TableData-000-00000.BCP"


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (8, b"\x01\x00", "is encrypted"),
        (10, b"\x09\x00", "compressed by method 9"),
        (24, struct.pack("<I", 0x7FFFFFFF), "claims 2147483647 bytes, which it cannot hold"),
        (42, struct.pack("<I", 0), "overlaps another one"),
        (20, struct.pack("<I", 0x7FFFFFFF), "lies beyond its end|overlaps another one"),
    ],
)
def test_what_the_directory_may_not_say(tmp_path: Path, offset: int, value: bytes, message: str) -> None:
    """Encrypted members, other methods, sizes that cannot be, members within members."""
    path = write_package(tmp_path / "x.bacpac", [T])
    _patched(path, b"PK\1\2", offset, value, MEMBER)
    with pytest.raises(SchemaError, match=message):
        open_package(str(path))


@pytest.mark.parametrize("zlib_only", [False, True], ids=["isa-l", "zlib"])
@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (24, struct.pack("<I", 3999), "holds more than the 3999 bytes"),
        (24, struct.pack("<I", 4001), "ends after 4000 of 4001 bytes"),
        (16, b"\0\0\0\0", r"checksum \(CRC-32\) differs"),
        (20, struct.pack("<I", 300), "is cut short|not valid|ends after"),
    ],
)
def test_what_a_member_turns_out_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, value: bytes, message: str, zlib_only: bool
) -> None:
    """Sizes and checksums that are not those of the bytes, by either library."""
    if zlib_only:
        import zlib

        monkeypatch.setattr(inflating, "_zlib", zlib)
    path = write_package(tmp_path / "x.bacpac", [T])
    _patched(path, b"PK\1\2", offset, value, MEMBER)
    package = open_package(str(path))
    with pytest.raises(TransferError, match=message):
        list(inflating.inflate(str(path), package.members[MEMBER.decode()]))


def test_names_do_not_leave_the_archive(tmp_path: Path) -> None:
    """Members with paths that point elsewhere are read as members, or not at all."""
    replaced = {"../../outside": "x", "/etc/passwd": "x", "Data/../../y/TableData-000-00000.BCP": b"12"}
    path = write_package(tmp_path / "x.bacpac", [T], replaced=replaced)
    data = assign(open_package(str(path)), [("dbo", "T")])
    assert data.unknown == ("Data/../../y/TableData-000-00000.BCP",)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.bacpac"]


def test_odd_names_find_their_tables(tmp_path: Path) -> None:
    """Blanks, dots, brackets, per cent signs, letters: by the relationships, and as far as they tell by the folders."""
    names = [("dbo", "Order Details"), ("a.b", "c"), ("a", "b.c"), ("Ş", "Ürün [1]"), ("dbo", "100%41")]
    tables = [Table(name, [Column("int", name="a")], [[[1]]], schema) for schema, name in names if schema != "a.b"]
    path = write_package(tmp_path / "x.bacpac", tables)
    data = assign(open_package(str(path)), names)
    assert set(data.members) == {*names} - {("a.b", "c")}
    assert data.unknown == ()
    path = write_package(tmp_path / "y.bacpac", tables[:1] + tables[2:], relations=False)
    assert set(assign(open_package(str(path)), names).members) == {names[0], *names[3:]}
    path = write_package(tmp_path / "z.bacpac", tables[1:2], relations=False)
    assert assign(open_package(str(path)), names).unknown == ("Data/a.b.c/TableData-000-00000.BCP",)


def test_announced_and_missing_files(tmp_path: Path) -> None:
    """A file that the relationships name and the archive does not hold."""
    path = write_package(tmp_path / "x.bacpac", [T], replaced={MEMBER.decode(): None})
    assert assign(open_package(str(path)), [("dbo", "T")]).missing == {("dbo", "T"): (MEMBER.decode(),)}


def test_another_model_than_was_exported(tmp_path: Path) -> None:
    """A model that was edited, or damaged, is not believed."""
    path = write_package(tmp_path / "x.bacpac", [T])
    with zipfile.ZipFile(path) as archive:
        model = archive.read("model.xml")
    write_package(path, [T], replaced={"model.xml": model.replace(b"[dbo].[T]", b"[dbo].[U]")})
    with pytest.raises(SchemaError, match=r"checksum of model\.xml is not the one"):
        read_contents(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
        ("<DataSchemaModel><Model>", "not well-formed"),
        ("", "not well-formed"),
        ("<a>" * 100 + "</a>" * 100, "nested deeper"),
        ("<a/>", "no model of a database"),
        ("<DataSchemaModel><Model><Element Type='SqlTable' Name='dbo.T'/></Model></DataSchemaModel>", "taken apart"),
    ],
)
def test_models_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Entities, depth, and XML that is none."""
    path = write_package(tmp_path / "x.bacpac", [], replaced={"model.xml": text, "Origin.xml": None})
    with pytest.raises(SchemaError, match=message):
        read_contents(str(path))


def test_damaged_anywhere(tmp_path: Path) -> None:
    """Bits flipped and ends cut off all over a package: an error of ours, or contents that are still right."""
    whole = write_package(tmp_path / "whole.bacpac", [T]).read_bytes()
    wanted = read_contents(str(tmp_path / "whole.bacpac")).catalog
    random_ = random.Random(5)
    path = tmp_path / "x.bacpac"
    for _ in range(300):
        content = bytearray(whole)
        if random_.random() < 0.2:
            content = content[: random_.randrange(len(content))]
        else:
            content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
        path.write_bytes(content)
        with suppress(MigrationError):
            contents = read_contents(str(path))
            for member in contents.package.members.values():
                assert sum(map(len, inflating.inflate(str(path), member))) == member.size
            assert [table.columns for table in contents.catalog.tables] == [table.columns for table in wanted.tables]


@pytest.mark.parametrize("library", [zlib, inflating._zlib], ids=["zlib", "fastest"])
def test_members_that_hardly_take_any_room(tmp_path: Path, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that repeat themselves: much is still to come out of the inflater when all of the file has been read."""
    monkeypatch.setattr(inflating, "_zlib", library)
    piece = inflating._PIECE
    path = tmp_path / "x.zip"
    for size in (0, 1, piece - 1, piece, piece + 1, 2 * piece, 9 * piece + 7):
        for content in (b"\0" * size, (b"abcdefgh" * size)[:size], random.Random(size).randbytes(size)):
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("a", content)
                info = archive.getinfo("a")
            member = inflating.Member("a", info.header_offset, info.compress_size, size, info.CRC, stored=False)
            assert b"".join(inflating.inflate(str(path), member)) == content
            short = replace(member, compressed=member.compressed - 1)
            with pytest.raises(TransferError):
                list(inflating.inflate(str(path), short))


def test_an_entry_that_hides_those_after_it(tmp_path: Path) -> None:
    """The length of a comment in the directory, one bit of it flipped: the entries behind it would not be seen."""
    path = write_package(tmp_path / "x.bacpac", [T])
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    (comment,) = struct.unpack_from("<H", content, entry + 32)
    behind = content.index(b"PK\5\6") - content.index(b"PK\1\2", entry + 4)
    struct.pack_into("<H", content, entry + 32, comment + behind)
    path.write_bytes(content)
    with pytest.raises(SchemaError, match="its directory has 2 entries, and should have"):
        open_package(str(path))


@pytest.mark.parametrize("encoding", ["utv-8", "utf-7", "shift_jis", "idna", "hex"])
def test_encodings_that_packages_do_not_have(tmp_path: Path, encoding: str) -> None:
    """Refused before Python is asked for a codec of that name."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><DacOrigin/>'.encode()
    path = write_package(tmp_path / "x.bacpac", [T], replaced={"Origin.xml": text})
    with pytest.raises(SchemaError, match=f"it claims the encoding {encoding}"):
        open_package(str(path))
