"""The package: a ZIP archive with model.xml, Origin.xml and the tables' data files. Read only, never unpacked to disk.

Everything in it is untrusted. Names of members are keys of a dictionary and never become paths; what a member inflates
to is bounded by the size it declares, which in turn is bounded by what its compressed bytes can hold; members may not
overlap; encrypted members and methods other than stored and deflate are refused.

Layout: [MS-DPBACPAC], and Open Packaging Conventions for ``_rels/.rels``, which tells the schema and table of every
data file. Packages without that are read by the names of their folders, ``Data/<schema>.<table>/``.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from ...errors import IoError, SchemaError
from .inflate import Member, inflate
from .xml import Element, parse_xml

MODEL, ORIGIN, RELATIONSHIPS = "model.xml", "Origin.xml", "_rels/.rels"
_MOST_MEMBERS = 4_000_000
_MOST_XML = 1 << 30
_MOST_RELATIONSHIPS = 1 << 28
_DEFLATE_RATIO = 1040
"""Deflate makes at most 1032 bytes of one; what claims more lies about its size."""
_LOCAL_HEADER = 30
_END_RECORD = 22
_ZIP64 = 0xFFFF
_COUNT = re.compile(r"\s*[0-9]{1,18}\s*")
_FOLDER = re.compile(r"Data/([^/]+)/[^/]+\.BCP", re.I)
_TABLE_RELATION = re.compile(r"(schema|table)=(.*)", re.S)


@dataclass(frozen=True, slots=True)
class Origin:
    """What Origin.xml says of the export; None for what it does not say."""

    server_version: str | None = None
    """The server's own words, whitespace joined."""
    rows: int | None = None
    """Rows of all tables together."""
    model_checksum: str | None = None
    """SHA-256 of model.xml, upper-case hexadecimal."""
    product: str | None = None
    """The version of the library that wrote the package."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that the package holds or announces."""

    part: str
    """Its name in the archive."""
    member: Member | None
    """None: announced, but not there."""
    table: tuple[str, str] | None
    """Schema and table as announced; None for a file that is not."""
    folder: str | None
    """``schema.table`` as its folder has it, with escapes; None in no such folder."""


@dataclass(frozen=True, slots=True)
class Package:
    """The directory of one package: which member holds what. Plain data."""

    path: str
    members: dict[str, Member]
    origin: Origin
    files: tuple[DataFile, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return Path(self.path).name

    def model_bytes(self) -> Iterator[bytes]:
        """The text of model.xml, in pieces. Raises TransferError where it is damaged."""
        return inflate(self.path, self.members[MODEL])

    def model_digest(self) -> str:
        """SHA-256 of model.xml as Origin.xml writes it."""
        digest = hashlib.sha256()
        for piece in self.model_bytes():
            digest.update(piece)
        return digest.hexdigest().upper()


def open_package(path: str) -> Package:
    """The directory of the package at ``path``; read once per process as long as the file does not change.

    Raises:
        IoError: there is no such file, or it cannot be read.
        SchemaError: it is no package, or a damaged one.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise IoError(f"The package {path} cannot be read: {error.strerror or error}.", retryable=False) from None
    return _open(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _open(path: str, _changed: int, size: int) -> Package:
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            entries = _entries(file, size)
    except OSError as error:
        raise IoError(f"The package {path} cannot be read: {error.strerror or error}.", retryable=False) from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError) as error:
        raise _no_package(path, f"it is no ZIP archive, or a damaged one ({error})") from None
    if entries not in (_ZIP64, len(infos) & 0xFFFF):
        raise _no_package(path, f"its directory has {len(infos)} entries, and should have {entries}")
    if len(infos) > _MOST_MEMBERS:
        raise _no_package(path, f"it has {len(infos)} members")
    members = {info.filename: _member(path, info) for info in infos if not info.is_dir()}
    if len(members) < sum(not info.is_dir() for info in infos):
        raise _no_package(path, "two of its members have the same name")
    _check_places(path, list(members.values()), size)
    if MODEL not in members:
        raise _no_package(path, f"it has no {MODEL}")
    if members[MODEL].size > _MOST_XML:
        raise _no_package(path, f"its {MODEL} is larger than {_MOST_XML >> 30} GB")
    origin = _read_origin(path, members)
    return Package(path, members, origin, _data_files(members, _relationships(path, members)))


def _entries(file: BinaryIO, size: int) -> int:
    """How many entries the directory should have by the record behind it: 16 bits, or ``_ZIP64`` for 'see elsewhere'.

    zipfile does not compare: an entry whose length is damaged would hide those after it.
    """
    file.seek(max(0, size - _END_RECORD - 0xFFFF))
    tail = file.read()
    at = tail.rfind(b"PK\5\6", 0, len(tail) - _END_RECORD + 4)
    return int.from_bytes(tail[at + 10 : at + 12], "little")


def _no_package(path: str, reason: str) -> SchemaError:
    return SchemaError(
        f"{path} cannot be used as a package: {reason}.",
        hint="It must be a .bacpac or .dacpac file; copy or export it again.",
    )


def _member(path: str, info: zipfile.ZipInfo) -> Member:
    if info.flag_bits & 0x1:
        raise _no_package(path, f"its member {info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _no_package(path, f"its member {info.filename} is compressed by method {info.compress_type}")
    stored = info.compress_type == zipfile.ZIP_STORED
    if info.file_size > (info.compress_size if stored else info.compress_size * _DEFLATE_RATIO):
        raise _no_package(path, f"its member {info.filename} claims {info.file_size} bytes, which it cannot hold")
    return Member(
        name=info.filename,
        offset=info.header_offset,
        compressed=info.compress_size,
        size=info.file_size,
        crc=info.CRC,
        stored=stored,
    )


def _check_places(path: str, members: list[Member], size: int) -> None:
    """No two members share bytes: one could otherwise be inflated many times over."""
    end = 0
    for member in sorted(members, key=lambda member: member.offset):
        if member.offset < end:
            raise _no_package(path, f"its member {member.name} overlaps another one")
        end = member.offset + _LOCAL_HEADER + member.compressed
    if end > size:
        raise _no_package(path, "a member lies beyond its end")


def _xml(path: str, members: dict[str, Member], name: str, most: int) -> Element | None:
    member = members.get(name)
    if member is None:
        return None
    if member.size > most:
        raise _no_package(path, f"its {name} is larger than {most >> 20} MB")
    return parse_xml(inflate(path, member), f"{Path(path).name}: {name}")


def _read_origin(path: str, members: dict[str, Member]) -> Origin:
    root = _xml(path, members, ORIGIN, _MOST_RELATIONSHIPS)
    if root is None:
        return Origin()
    rows = root.text_at("ExportStatistics", "TableRowCountTotalTag")
    checksum = None
    for one in root.all_at("Checksums", "Checksum"):
        if one.attributes.get("Uri", "").lstrip("/").casefold() == MODEL:
            checksum = one.text.strip().upper()
    version = root.text_at("Server", "ServerVersion")
    return Origin(
        server_version=" ".join(version.split()) if version else None,
        rows=int(rows) if rows and _COUNT.fullmatch(rows) else None,
        model_checksum=checksum,
        product=root.text_at("Operation", "ProductVersion"),
    )


def _relationships(path: str, members: dict[str, Member]) -> dict[str, dict[str, str]]:
    """Part name -> ``schema`` and ``table``, as .rels announces the data files."""
    root = _xml(path, members, RELATIONSHIPS, _MOST_RELATIONSHIPS)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for relation in root.children if root is not None else ():
        match = _TABLE_RELATION.fullmatch(relation.attributes.get("Type", ""))
        if match:
            found[relation.attributes.get("Target", "").lstrip("/")][match[1]] = match[2]
    return dict(found)


def _data_files(members: dict[str, Member], announced: dict[str, dict[str, str]]) -> tuple[DataFile, ...]:
    """All data files. Part names are compared without their escapes and in any case, as packages do."""
    tables = {
        _key(part): (part, (names["schema"], names["table"]))
        for part, names in announced.items()
        if {"schema", "table"} <= names.keys()
    }
    found: list[DataFile] = []
    for name, member in members.items():
        if name.casefold().startswith("data/"):
            match = _FOLDER.fullmatch(name)
            _, table = tables.pop(_key(name), (name, None))
            found.append(DataFile(name, member, table, match[1] if match else None))
    found += [DataFile(part, None, table, None) for part, table in tables.values()]
    return tuple(sorted(found, key=lambda file: file.part))


def _key(part: str) -> str:
    return unquote(part).casefold()


@dataclass(frozen=True, slots=True)
class TableData:
    """Which data files belong to which of a schema's tables."""

    members: dict[tuple[str, str], tuple[Member, ...]]
    """Per table with data, in the order of their names."""
    missing: dict[tuple[str, str], tuple[str, ...]]
    """Per table: files that the package announces and does not hold."""
    unknown: tuple[str, ...]
    """Files of no table of the schema."""


def assign(package: Package, tables: Iterable[tuple[str, str]]) -> TableData:
    """The data files of the given tables (schema and name).

    A file's announced names count before those of its folder; names as they are count before those without escapes, and
    these before names in another case, where that leaves one table.
    """
    lookup = _Names(tables)
    members: dict[tuple[str, str], list[Member]] = defaultdict(list)
    missing: dict[tuple[str, str], list[str]] = defaultdict(list)
    unknown: list[str] = []
    for file in package.files:
        name = file.table if file.table is not None else file.folder
        table = lookup.find(name) if name is not None else None
        if table is None:
            unknown.append(file.part)
        elif file.member is None:
            missing[table].append(file.part)
        else:
            members[table].append(file.member)
    return TableData(
        {table: tuple(found) for table, found in members.items()},
        {table: tuple(found) for table, found in missing.items()},
        tuple(unknown),
    )


class _Names:
    """Tables by the spellings of their names; a spelling of two tables finds neither."""

    def __init__(self, tables: Iterable[tuple[str, str]]) -> None:
        self._found: tuple[dict[object, set[tuple[str, str]]], ...] = (defaultdict(set), defaultdict(set))
        for schema, table in tables:
            for spelling in ((schema, table), f"{schema}.{table}"):
                self._found[0][spelling].add((schema, table))
                self._found[1][_folded(spelling)].add((schema, table))

    def find(self, name: tuple[str, str] | str) -> tuple[str, str] | None:
        plain = unquote(name) if isinstance(name, str) else (unquote(name[0]), unquote(name[1]))
        for exactness, spelling in ((0, name), (0, plain), (1, _folded(plain))):
            tables = self._found[exactness].get(spelling, set())
            if len(tables) == 1:
                return next(iter(tables))
        return None


def _folded(name: tuple[str, str] | str) -> tuple[str, str] | str:
    return name.casefold() if isinstance(name, str) else (name[0].casefold(), name[1].casefold())
