"""Packages (.bacpac) written for tests: a model, data files and all that stands around them, whole or broken."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from bcp_rows import MAX, Column, rows

NAMESPACE = "http://schemas.microsoft.com/sqlserver/dac/Serialization/2012/02"
COLLATION = "SQL_Latin1_General_CP1_CI_AS"


@dataclass
class Table:
    """A table with its rows: ``files`` are the rows of each data file."""

    name: str
    columns: Sequence[Column]
    files: Sequence[Sequence[Sequence[Any]]] = ()
    schema: str = "dbo"
    key: Sequence[str] = ()
    computed: Mapping[str, str] = field(default_factory=dict)
    """Computed columns behind the others: name -> expression."""
    properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further properties of columns, by column."""
    data: Sequence[bytes] | None = None
    """Bytes of the data files, instead of rows."""

    @property
    def full_name(self) -> str:
        """Quoted, as the model has it."""
        return bracketed(self.schema, self.name)

    @property
    def contents(self) -> list[bytes]:
        """The data files."""
        return list(self.data) if self.data is not None else [rows(self.columns, part) for part in self.files]


def bracketed(*parts: str) -> str:
    """``[a].[b]``."""
    return ".".join("[" + part.replace("]", "]]") + "]" for part in parts)


def prop(name: str, value: object) -> str:
    """A property with a value."""
    return f"<Property Name={quoteattr(name)} Value={quoteattr(str(value))} />"


def script(name: str, text: str) -> str:
    """A property with a script."""
    return f"<Property Name={quoteattr(name)}><Value><![CDATA[{text}]]></Value></Property>"


def relation(name: str, *inner: str) -> str:
    """A relationship; each inner part is an entry."""
    return f"<Relationship Name={quoteattr(name)}>{''.join(f'<Entry>{one}</Entry>' for one in inner)}</Relationship>"


def reference(*parts: str, built_in: bool = False) -> str:
    """A reference to a name."""
    source = ' ExternalSource="BuiltIns"' if built_in else ""
    return f"<References{source} Name={quoteattr(bracketed(*parts))} />"


def element(kind: str, name: str | None, *inner: str) -> str:
    """An element of the model."""
    attribute = f" Name={quoteattr(name)}" if name is not None else ""
    return f'<Element Type="{kind}"{attribute}>{"".join(inner)}</Element>'


def type_specifier(column: Column) -> str:
    """The type of a column."""
    parts = []
    if column.length == MAX:
        parts.append(prop("IsMax", "True"))
    elif column.length:
        parts.append(prop("Length", column.length))
    if column.scale or column.type in ("time", "datetime2", "datetimeoffset"):
        parts.append(prop("Scale", column.scale))
    if column.precision:
        parts.append(prop("Precision", column.precision))
    clr = column.type in ("geography", "geometry", "hierarchyid")
    name = ("sys", column.type) if clr else ("rowversion" if column.type == "timestamp" else column.type,)
    parts.append(relation("Type", reference(*name, built_in=True)))
    kind = "SqlXmlTypeSpecifier" if column.type == "xml" else "SqlTypeSpecifier"
    return relation("TypeSpecifier", element(kind, None, *parts))


def table_element(table: Table) -> str:
    """A table and its primary key."""
    columns = []
    for column in table.columns:
        parts = [] if column.nullable else [prop("IsNullable", "False")]
        parts += [prop(name, value) for name, value in table.properties.get(column.name, {}).items()]
        name = bracketed(table.schema, table.name, column.name)
        columns.append(element("SqlSimpleColumn", name, *parts, type_specifier(column)))
    for name, expression in table.computed.items():
        where = bracketed(table.schema, table.name, name)
        columns.append(element("SqlComputedColumn", where, script("ExpressionScript", expression)))
    text = element("SqlTable", table.full_name, prop("IsAnsiNullsOn", "True"), relation("Columns", *columns))
    if table.key:
        specs = [
            element(
                "SqlIndexedColumnSpecification", None, relation("Column", reference(table.schema, table.name, name))
            )
            for name in table.key
        ]
        text += element(
            "SqlPrimaryKeyConstraint",
            bracketed(table.schema, f"PK_{table.name}"),
            relation("ColumnSpecifications", *specs),
            relation("DefiningTable", reference(table.schema, table.name)),
        )
    return text


def model_xml(tables: Sequence[Table], elements: str = "", collation: str | None = COLLATION) -> str:
    """The text of model.xml."""
    options = element("SqlDatabaseOptions", None, *([prop("Collation", collation)] if collation else []))
    schemas = "".join(
        element("SqlSchema", bracketed(name)) for name in sorted({table.schema for table in tables} - {"dbo"})
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<DataSchemaModel FileFormatVersion="1.2" SchemaVersion="2.9"'
        ' DspName="Microsoft.Data.Tools.Schema.Sql.Sql150DatabaseSchemaProvider"'
        f' CollationLcid="1033" CollationCaseSensitive="False" xmlns="{NAMESPACE}"><Model>'
        f"{options}{schemas}{''.join(map(table_element, tables))}{elements}</Model></DataSchemaModel>"
    )


def origin_xml(model: bytes, total: int | None) -> str:
    """The text of Origin.xml."""
    statistics = f"<TableRowCountTotalTag>{total}</TableRowCountTotalTag>" if total is not None else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><DacOrigin xmlns="{NAMESPACE}">'
        "<Server><ServerVersion>Microsoft SQL Server 2019 (RTM) - 15.0.2000.5 (X64)</ServerVersion></Server>"
        f"<ExportStatistics>{statistics}</ExportStatistics><Checksums>"
        f'<Checksum Uri="/model.xml">{hashlib.sha256(model).hexdigest().upper()}</Checksum></Checksums></DacOrigin>'
    )


def write_package(
    path: Path,
    tables: Sequence[Table],
    *,
    elements: str = "",
    total: int | None = None,
    replaced: Mapping[str, str | bytes | None] | None = None,
    relations: bool = True,
    collation: str | None = COLLATION,
) -> Path:
    """Write a package. ``replaced`` gives members other contents, or leaves them out (None)."""
    model = model_xml(tables, elements, collation).encode()
    counted = sum(len(part) for table in tables for part in table.files)
    announced = []
    members: dict[str, str | bytes | None] = {"model.xml": model}
    for table in tables:
        folder = quote(f"{table.schema}.{table.name}")
        for number, data in enumerate(table.contents):
            part = f"Data/{folder}/TableData-{number:03d}-00000.BCP"
            members[part] = data
            for kind, name in (("table", table.name), ("schema", table.schema)):
                announced.append(f'<Relationship Type={quoteattr(f"{kind}={name}")} Target="/{escape(part)}" Id="R" />')
    members["DacMetadata.xml"] = f'<DacType xmlns="{NAMESPACE}"><Name>Shop</Name></DacType>'
    if relations:
        members["_rels/.rels"] = (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f"{''.join(announced)}</Relationships>"
        )
    members["Origin.xml"] = origin_xml(model, counted if total is None else total)
    members.update(replaced or {})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path
