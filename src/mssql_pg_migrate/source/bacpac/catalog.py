"""The catalog of a package: its model as `model.Catalog`, with sizes and row estimates from its data files."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from collections.abc import Sequence as Names
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ...errors import SchemaError
from ...model import Catalog, Column, Loss, Table
from .counting import EXACT, estimate_rows
from .inflate import inflate
from .model_objects import read_descriptions, read_modules, read_sequences, read_types
from .model_tables import TableReader
from .model_types import TypeReader
from .model_xml import Model, Node, read_model, unread
from .package import MODEL, Package, TableData, assign, open_package
from .xml import parse_xml

METADATA = "DacMetadata.xml"
_VERSION = re.compile(r"\b(\d{2}\.\d+\.\d+(?:\.\d+)?)\b")
_PROVIDER = re.compile(r"\.Sql(\d{2,3})DatabaseSchemaProvider$")
_MOST_METADATA = 1 << 20
_SYSTEM_SCHEMAS = ("sys", "INFORMATION_SCHEMA", "guest")


@dataclass(frozen=True, slots=True)
class Contents:
    """A package as it was understood: its catalog, and which data files hold each table's rows."""

    package: Package
    catalog: Catalog
    """Of all schemas."""
    data: TableData
    schemas: tuple[str, ...]


def read_contents(path: str) -> Contents:
    """The package at ``path``; read once per process as long as the file does not change.

    Raises:
        IoError, SchemaError, TransferError: there is no such package, or it is damaged.
    """
    package = open_package(path)
    with _reading:
        known = _known.get(path)
        if known is None or known.package is not package:
            _known.clear()
            known = _known[path] = _read(package)
    return known


_known: dict[str, Contents] = {}
_reading = threading.Lock()


def catalog_of(contents: Contents, schemas: Names[str] | None) -> Catalog:
    """The catalog restricted to the given schemas (None: all); names match in any case unless one matches exactly.

    Raises:
        SchemaError: there is no such schema.
    """
    if schemas is None:
        return contents.catalog
    wanted: set[str] = set()
    for name in schemas:
        matches = [one for one in contents.schemas if one == name]
        matches = matches or [one for one in contents.schemas if one.casefold() == name.casefold()]
        if not matches:
            raise SchemaError(
                f"The package {contents.package.name} has no schema {name!r}.",
                hint=f"Its schemas are: {', '.join(contents.schemas)}.",
            )
        wanted.update(matches)
    catalog = contents.catalog
    return replace(
        catalog,
        tables=tuple(table for table in catalog.tables if table.schema in wanted),
        sequences=tuple(one for one in catalog.sequences if one.schema in wanted),
        modules=tuple(one for one in catalog.modules if one.schema in wanted or not one.schema),
        alias_types=tuple(one for one in catalog.alias_types if one.schema in wanted),
    )


def _read(package: Package) -> Contents:
    model = _checked_model(package)
    options = model.take("SqlDatabaseOptions")
    collation, notes = _collation(model)
    properties = model.take("SqlExtendedProperty")
    descriptions = read_descriptions(properties)
    aliases = model.take("SqlUserDefinedDataType")
    types = TypeReader(aliases, collation)
    names = [node.schema_and_name for node in model.take("SqlTable")]
    data = assign(package, names)
    exact = sum(member.size for found in data.members.values() for member in found) <= EXACT
    reader = TableReader(model, types, descriptions, partial(_facts, package, data, exact))
    tables = reader.tables()
    read, sequences = read_sequences(model, types, descriptions)
    code, modules = read_modules(model, descriptions, reader.indexed_views)
    schemas = {node.name[-1] for node in model.take("SqlSchema") if node.name} | {"dbo"} | {name[0] for name in names}
    losses = [*reader.losses, *unread([*reader.read, *types.read, *read, *code, *aliases]), *_options(options)]
    schema_texts = tuple((name, text) for name in sorted(schemas) if (text := descriptions.of((name,))) is not None)
    database = _database(package)
    losses += descriptions.losses(database)
    losses += read_types(model)
    losses += model.untaken()
    losses += [Loss(part, "data file: it belongs to no table of the package's model") for part in data.unknown]
    catalog = Catalog(
        database=database,
        collation=collation,
        server_version=_version(package, model),
        tables=tables,
        sequences=tuple(sequences),
        modules=tuple(modules),
        alias_types=types.alias_types(),
        losses=tuple(losses),
        description=descriptions.database,
        schema_descriptions=schema_texts,
        notes=(*notes, *reader.notes, *_row_notes(package, tables, exact)),
    )
    return Contents(package, catalog, data, tuple(sorted(schemas - set(_SYSTEM_SCHEMAS))))


def _checked_model(package: Package) -> Model:
    """The model, if it is the one that was exported."""
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for piece in package.model_bytes():
            digest.update(piece)
            yield piece

    model = read_model(pieces(), f"{package.name}: {MODEL}")
    wanted = package.origin.model_checksum
    found = digest.hexdigest().upper()
    if wanted is not None and found != wanted:
        raise SchemaError(
            f"{package.name}: the checksum of {MODEL} is not the one that Origin.xml gives for it: "
            f"SHA-256 {found} instead of {wanted}.",
            hint="The file is damaged, or its model was changed after the export: export it again.",
        )
    return model


def _collation(model: Model) -> tuple[str | None, list[str]]:
    """The database's collation; a package built from scripts may not name it."""
    for node in model.take("SqlDatabaseOptions"):
        named = node.text("Collation")
        if named:
            return named, []
    sensitive = model.attributes.get("CollationCaseSensitive")
    if sensitive is None:
        return None, []
    assumed = f"Latin1_General_{'CS' if sensitive.casefold() == 'true' else 'CI'}_AS"
    return assumed, [f"The package does not name the database's collation; {assumed} is taken for it."]


def _options(options: list[Node]) -> list[Loss]:
    names = sorted({name for node in options for name in node.unread()})
    return [Loss("model element SqlDatabaseOptions", f"options of the database: {', '.join(names)}")] if names else []


def _row_notes(package: Package, tables: tuple[Table, ...], exact: bool) -> list[str]:
    """What can be said of the number of rows before they are read."""
    if not package.files:
        return ["The package holds no data files: only its schema can be migrated (run --schema-only)."]
    found, told = sum(table.row_estimate for table in tables), package.origin.rows
    if exact and told is not None and found != told:
        return [f"The package's data files hold {found:,} rows as far as they can be read, not {told:,} (Origin.xml)."]
    return []


def _database(package: Package) -> str:
    member = package.members.get(METADATA)
    if member is not None and member.size <= _MOST_METADATA:
        name = parse_xml(inflate(package.path, member), f"{package.name}: {METADATA}").text_at("Name")
        if name and name.strip():
            return name.strip()
    return Path(package.path).stem


def _version(package: Package, model: Model) -> str:
    found = _VERSION.search(package.origin.server_version or "")
    if found:
        return found[1]
    provider = _PROVIDER.search(model.schema_provider)
    return f"{int(provider[1]) // 10}.0" if provider else "unknown"


def _facts(
    package: Package, data: TableData, exact: bool, schema: str, name: str, columns: tuple[Column, ...]
) -> tuple[int, int, str]:
    """A table's rows (an estimate unless ``exact``), the bytes of its data files, and what tells these from others."""
    members = data.members.get((schema, name), ())
    stored = [column for column in columns if column.computed is None]
    files = "".join(f"{member.name} {member.size} {member.crc}\n" for member in members)
    return (
        estimate_rows(package.path, members, stored, exact=exact),
        sum(member.size for member in members),
        hashlib.sha256(files.encode()).hexdigest()[:32],
    )
