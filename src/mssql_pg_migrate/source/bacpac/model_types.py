"""Types of columns as the model declares them, into `SqlType`: what sys.columns would say of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from ...errors import SchemaError
from ...model import AliasType, SqlType
from ...tds.collations import Collation
from ...tds.types import decimal_size
from .model_xml import Node

UNTOLD = SqlType("")
"""The type of a computed column: the model does not say it."""

_TEXT = ("char", "varchar", "nchar", "nvarchar", "text", "ntext")
_WIDE = ("nchar", "nvarchar")
_SIZED = ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary")
# sys.types: max_length, precision and scale of the types that declare none.
_FIXED: dict[str, tuple[int, int, int]] = {
    "bit": (1, 1, 0),
    "tinyint": (1, 3, 0),
    "smallint": (2, 5, 0),
    "int": (4, 10, 0),
    "bigint": (8, 19, 0),
    "real": (4, 24, 0),
    "float": (8, 53, 0),
    "smallmoney": (4, 10, 4),
    "money": (8, 19, 4),
    "smalldatetime": (4, 16, 0),
    "datetime": (8, 23, 3),
    "date": (3, 10, 0),
    "uniqueidentifier": (16, 0, 0),
    "timestamp": (8, 0, 0),
    "text": (16, 0, 0),
    "ntext": (16, 0, 0),
    "image": (16, 0, 0),
    "sql_variant": (8016, 0, 0),
    "hierarchyid": (892, 0, 0),
}
_UNBOUNDED = ("xml", "geometry", "geography", "json")
# Digits before the decimals of seconds: datetime2(s) has precision 19, and one more with the point, in sys.columns.
_SCALED = {"time": (8, 5), "datetime2": (19, 8), "datetimeoffset": (26, 10)}
_MOST = {"Length": 8000, "Precision": 53, "Scale": 38}
_DEFAULT_SCALE = 7
_DEFAULT_PRECISION = 18


class TypeReader:
    """From type specifiers to types; alias types stand for their base."""

    def __init__(self, aliases: Iterable[Node], collation: str | None) -> None:
        self._collation = collation
        self.read: list[Node] = []
        self._aliases: dict[tuple[str, ...], AliasType] = {}
        for node in aliases:
            schema, name = node.schema_and_name
            base = self._declared(node, ".".join(node.reference("Type")[-1:]))
            nullable = node.flag("IsNullable", default=True)
            self._aliases[schema, name] = AliasType(schema, name, base, nullable)

    def alias_types(self) -> tuple[AliasType, ...]:
        """The alias types, by schema and name."""
        return tuple(self._aliases[key] for key in sorted(self._aliases))

    def column(self, node: Node) -> tuple[SqlType, tuple[str, ...]]:
        """A column's type, and what else its type binds it to, in words."""
        specifier = next(iter(node.parts("TypeSpecifier")), None)
        if specifier is None:
            return SqlType("unknown"), ()
        declared = self.specified(specifier)
        collation = node.text("Collation")
        if collation is not None and declared.name in _TEXT:
            declared = self._collated(declared, collation)
        bound = specifier.reference("XmlSchemaCollection")
        if bound:
            text = f"XML schema collection {'.'.join(bound)}: PostgreSQL does not validate the column"
            return declared, (text,)
        return declared, ()

    def specified(self, specifier: Node) -> SqlType:
        """The type of a specifier."""
        self.read.append(specifier)
        name = specifier.reference("Type")
        alias = self._aliases.get((*name, "")[:2]) if not specifier.built_in("Type") else None
        if alias is not None:
            return replace(alias.base, alias=f"{alias.schema}.{alias.name}")
        if len(name) > 1 and name[0] != "sys" and not specifier.built_in("Type"):
            # A CLR type of the database's own, or an alias the model does not hold.
            return SqlType(name[-1], -1, alias=".".join(name))
        return self._declared(specifier, name[-1] if name else "unknown")

    def _declared(self, node: Node, written: str) -> SqlType:
        name = written.casefold()
        length, precision, scale = (_small(node, name, most) for name, most in _MOST.items())
        is_max = node.flag("IsMax")
        if name == "sysname":
            return self._collated(SqlType("nvarchar", 256), self._collation)
        if name == "rowversion":
            name = "timestamp"
        if name in _SIZED:
            size = -1 if is_max else (length or 1) * (2 if name in _WIDE else 1)
            declared = SqlType(name, size)
        elif name in ("decimal", "numeric"):
            digits = precision if precision is not None else _DEFAULT_PRECISION
            declared = SqlType(name, decimal_size(digits), digits, scale or 0)
        elif name in _SCALED:
            decimals = scale if scale is not None else _DEFAULT_SCALE
            digits, size = _SCALED[name]
            declared = SqlType(name, size, digits + (decimals + 1 if decimals else 0), decimals)
        elif name == "float" and precision is not None and precision <= 24:
            declared = SqlType("real", 4, 24)
        elif name in _FIXED:
            declared = SqlType(name, *_FIXED[name])
        else:
            declared = SqlType(name if name in _UNBOUNDED else written, -1)
        return self._collated(declared, self._collation) if name in _TEXT else declared

    def _collated(self, declared: SqlType, collation: str | None) -> SqlType:
        if collation is None:
            return declared
        page = None
        if declared.name not in (*_WIDE, "ntext"):
            with suppress(ValueError):  # a collation not known here: its code page stays unknown
                page = Collation.from_name(collation).code_page
        return replace(declared, collation=collation, code_page=page)


def _small(node: Node, name: str, most: int) -> int | None:
    number = node.number(name)
    if number is not None and not 0 <= number <= most:
        raise SchemaError(f"The package's model: {name} {number} of a type is not between 0 and {most}.")
    return number
