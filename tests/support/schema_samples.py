"""Small catalogs for the tests of mapping and DDL: types written as T-SQL declares them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.collation_names import code_page_of
from mssql_pg_migrate.mapping.objects import MappedDatabase, MappedTable, Note
from mssql_pg_migrate.mapping.options import MappingOptions, TargetAbilities
from mssql_pg_migrate.model import (
    Catalog,
    Column,
    Computed,
    Default,
    Identity,
    Key,
    KeyColumn,
    Module,
    SqlType,
    Table,
)
from mssql_pg_migrate.model import Sequence as SourceSequence

CI = "SQL_Latin1_General_CP1_CI_AS"
CS = "Latin1_General_CS_AS"
BIN = "Latin1_General_BIN2"

_FIXED = {
    "bit": (1, 1, 0), "tinyint": (1, 3, 0), "smallint": (2, 5, 0), "int": (4, 10, 0), "bigint": (8, 19, 0),
    "money": (8, 19, 4), "smallmoney": (4, 10, 4), "float": (8, 53, 0), "real": (4, 24, 0), "date": (3, 10, 0),
    "datetime": (8, 23, 3), "smalldatetime": (4, 16, 0), "uniqueidentifier": (16, 0, 0), "xml": (-1, 0, 0),
    "hierarchyid": (892, 0, 0), "geography": (-1, 0, 0), "sql_variant": (8016, 0, 0), "timestamp": (8, 0, 0),
    "text": (16, 0, 0), "ntext": (16, 0, 0), "image": (16, 0, 0), "json": (-1, 0, 0),
}  # fmt: skip


def sql_type(text: str, collation: str | None = CI) -> SqlType:
    """``nvarchar(50)``, ``decimal(10,2)`` ... as sys.columns would describe it."""
    match = re.fullmatch(r"(\w+)(?:\(([^)]*)\))?", text)
    assert match is not None, text
    name, arguments = match[1], (match[2] or "").split(",")
    if name in ("char", "varchar", "nchar", "nvarchar"):
        length = -1 if arguments[0] == "max" else int(arguments[0])
        wide = name.startswith("n") and length > 0
        code_page = None if name.startswith("n") else 1252
        return SqlType(name, length * 2 if wide else length, collation=collation, code_page=code_page)
    if name in ("binary", "varbinary"):
        return SqlType(name, -1 if arguments[0] == "max" else int(arguments[0]))
    if name in ("decimal", "numeric"):
        return SqlType(name, 9, int(arguments[0]), int(arguments[1]))
    if name in ("datetime2", "time", "datetimeoffset"):
        return SqlType(name, 8, 0, int(arguments[0] or 7))
    length, precision, scale = _FIXED[name]
    return SqlType(name, length, precision, scale, collation=collation if name in ("text", "ntext") else None)


def column(name: str, declared: str, *, collation: str | None = CI, **fields: Any) -> Column:
    """A column; ``default`` and ``computed`` take the definition's text, ``identity`` a (seed, increment[, last])."""
    if isinstance(fields.get("default"), str):
        fields["default"] = Default(f"DF_{name}", fields["default"])
    if isinstance(fields.get("computed"), str):
        fields["computed"] = Computed(fields["computed"], persisted=False)
    if isinstance(fields.get("identity"), tuple):
        fields["identity"] = Identity(*fields["identity"])
    return Column(name=name, type=sql_type(declared, collation), **fields)


def text_column(name: str, declared: str, collation: str = CI, **fields: Any) -> Column:
    """A text column with the code page of its collation, as the catalog has it."""
    made = column(name, declared, collation=collation, **fields)
    page = None if declared.startswith("n") else code_page_of(collation)
    return replace(made, type=replace(made.type, code_page=page))


def key(name: str, *columns: str, primary: bool = False, **fields: Any) -> Key:
    """A primary key or unique constraint."""
    return Key(name, tuple(KeyColumn(item) for item in columns), primary=primary, **fields)


def table(name: str, *columns: Column, schema: str = "dbo", **fields: Any) -> Table:
    """A table; column ordinals follow the order given."""
    return Table(schema=schema, name=name, columns=columns, **fields)


def catalog(
    *tables: Table,
    collation: str | None = CI,
    modules: Iterable[Module] = (),
    sequences: Sequence[SourceSequence] = (),
    **fields: Any,
) -> Catalog:
    """A database named Shop."""
    return Catalog(
        database="Shop",
        collation=collation,
        server_version="16.0.1000.6",
        tables=tables,
        modules=tuple(modules),
        sequences=tuple(sequences),
        **fields,
    )


def mapped(source: Catalog, **options: Any) -> MappedDatabase:
    """``build`` with dbo going to public."""
    options.setdefault("schemas", {"dbo": "public"})
    if "version_num" in options:
        options["abilities"] = TargetAbilities(version_num=options.pop("version_num"))
    return build(source, MappingOptions(**options))


def only_table(database: MappedDatabase, name: str | None = None) -> MappedTable:
    """The one table, or the one of that target name."""
    found = [item for item in database.tables if name is None or item.name == name]
    assert len(found) == 1
    return found[0]


def notes(database: MappedDatabase, severity: str | None = None, about: str | None = None) -> list[str]:
    """The plan's messages of one severity, about one source object."""
    chosen: list[Note] = [
        note
        for note in database.notes
        if (severity is None or note.severity == severity) and (about is None or note.object == about)
    ]
    return [note.message for note in chosen]
