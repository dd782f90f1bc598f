"""How the columns of a table are compared: what each side is asked for, and in which canonical form both are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..mapping.objects import MappedTable
from ..mapping.quoting import quote_ident
from ..mapping.types import MappedColumn, vector_as_text
from ..target.inspect import ExistingColumn, ExistingTable
from .kinds import Kind, Role
from .texts import LabelField

LABELS = 4
"""Columns shown of a row in a table without a key."""

_INTEGERS = ("int2", "int4", "int8")
_FLOATS = ("float4", "float8")
_TIMES = ("timestamp", "timestamptz")
_PLAIN_TEXT = ("text", "varchar", "citext", "name")
_CAST_TEXT = ("json", "xml")
_RELATIONS = frozenset("rpvmf")


class NotComparable(Exception):
    """The target's table cannot hold what it is compared with; the message is a clause after the table's name."""


@dataclass(frozen=True, slots=True)
class ComparedColumn:
    """One column on both sides. ``target_sql`` is its expression in the target's SELECT."""

    column: MappedColumn
    target_sql: str
    source_kind: Kind
    target_kind: Kind
    role: Role
    computed: bool = False
    """Both sides compute it: the source's computed column is a generated one in the target."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The columns of one table, in COPY order.

    ``keyed``: rows are told apart by the columns whose role is KEY; else they are compared as a multiset.
    """

    columns: tuple[ComparedColumn, ...]
    keyed: bool
    incomparable: tuple[str, ...] = ()
    """Source names of computed columns whose generated columns in the target are of types without a common form."""
    unread: tuple[str, ...] = ()
    """Source names of computed columns of which the source holds no values."""

    @property
    def computed(self) -> tuple[ComparedColumn, ...]:
        """The columns that both sides compute."""
        return tuple(column for column in self.columns if column.computed)

    def without_computed(self) -> Comparison:
        """The data alone."""
        return replace(self, columns=tuple(column for column in self.columns if not column.computed))

    def computed_named(self, name: str | None) -> ComparedColumn | None:
        """The column of that source name, if both sides compute it and rows are not told apart by it."""
        named = (column for column in self.computed if column.column.source.name == name and column.role is Role.DATA)
        return next(named, None)

    def without(self, left_out: ComparedColumn) -> Comparison:
        """All but one column."""
        return replace(self, columns=tuple(column for column in self.columns if column != left_out))

    def of(self, computed: ComparedColumn) -> Comparison:
        """One computed column, and what names a row."""
        named = tuple(column for column in self.columns if column == computed or column.role is not Role.DATA)
        return replace(self, columns=named)

    @property
    def source_kinds(self) -> tuple[Kind, ...]:
        """Canonical kinds of the source's COPY fields."""
        return tuple(column.source_kind for column in self.columns)

    @property
    def target_kinds(self) -> tuple[Kind, ...]:
        """Canonical kinds of the target's COPY fields."""
        return tuple(column.target_kind for column in self.columns)

    @property
    def roles(self) -> tuple[Role, ...]:
        """What each column is used for."""
        return tuple(column.role for column in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Source names of the columns."""
        return tuple(column.column.source.name for column in self.columns)

    @property
    def label_fields(self) -> tuple[LabelField, ...]:
        """The fields that name a row, as the source's digest lists them."""
        return tuple(
            LabelField(column.column, column.source_kind, cut=column.role is Role.LABEL)
            for column in self.columns
            if column.role is not Role.DATA
        )


def compare_columns(table: MappedTable, existing: ExistingTable) -> tuple[MappedTable, Comparison]:
    """The mapped table reduced to the columns that are compared, and how.

    A computed column of the source is compared, whether the target computes it too or has it as a plain one (a run
    copies it into a table it finds so, or when PostgreSQL refuses its translation); other columns that the target
    computes are not. Raises NotComparable when the target lacks a column or holds it in a type whose values have no
    common form with the source's.
    """
    if existing.kind not in _RELATIONS:
        raise NotComparable("is not a table in the target")
    there = {column.name: column for column in existing.columns}
    table = replace(table, columns=tuple(_in_its_form(column, there.get(column.name)) for column in table.columns))
    chosen: list[tuple[MappedColumn, ExistingColumn]] = []
    unread = []
    for column in table.columns:
        found = there.get(column.name)
        if found is None and column.copied:
            raise NotComparable(f'lacks the column "{column.name}" in the target')
        if table.source.column(column.source.name).untold:
            unread.append(column.source.name)
        elif found is not None and (not found.generated or column.source.computed is not None):
            chosen.append((replace(column, copied=True), found))
    key = _key_names(table, {column.source.name for column, found in chosen if not found.generated})
    compared: list[ComparedColumn] = []
    incomparable = []
    for column, found in chosen:
        if found.generated and _kinds(column, found) is None:
            incomparable.append(column.source.name)
            continue
        sql, source_kind, target_kind = _forms(column, found)
        if key:
            role = Role.KEY if column.source.name in key else Role.DATA
        else:
            labels = sum(one.role is Role.LABEL for one in compared)
            role = Role.LABEL if labels < LABELS and not found.generated else Role.DATA
        compared.append(ComparedColumn(column, sql, source_kind, target_kind, role, computed=found.generated))
    comparison = Comparison(tuple(compared), keyed=bool(key), incomparable=tuple(incomparable), unread=tuple(unread))
    return reduced(table, compared), comparison


def _in_its_form(column: MappedColumn, found: ExistingColumn | None) -> MappedColumn:
    vector = column.encoding == "vector" and found is not None and found.base != "vector"
    return vector_as_text(column) if vector else column


def reduced(table: MappedTable, compared: Sequence[ComparedColumn]) -> MappedTable:
    """The table with only the compared columns copied: what a reader is asked for."""
    kept = {column.column.name for column in compared}
    columns = tuple(replace(column, copied=column.name in kept) for column in table.columns)
    return replace(table, columns=columns)


def _key_names(table: MappedTable, compared: set[str]) -> frozenset[str]:
    """Source names of the columns that tell rows apart: the primary key, else the key that ranges use."""
    for key in (table.source.primary_key, table.range_key):
        names = frozenset(part.name for part in key.columns) if key is not None else frozenset()
        if names and names <= compared:
            return names
    return frozenset()


def _forms(column: MappedColumn, found: ExistingColumn) -> tuple[str, Kind, Kind]:
    """The target's expression, and the canonical kinds of both sides."""
    name = quote_ident(column.name)
    kinds = _kinds(column, found)
    if kinds is None:
        raise NotComparable(
            f'has the column "{column.name}" as {found.display} in the target, which is not comparable with'
            f" {column.source.type} of the source (mapped to {column.pg_type})"
        )
    # The text of json and xml as it was stored: their own binary forms may add to it.
    return (f"{name}::text" if found.base in _CAST_TEXT else name), *kinds


def _kinds(column: MappedColumn, found: ExistingColumn) -> tuple[Kind, Kind] | None:
    wanted, base = column.encoding, found.base
    if wanted == "text":
        if base == "bpchar":  # char(n) pads, and its trailing blanks mean nothing
            return Kind.TRIMMED, Kind.TRIMMED
        return (Kind.RAW, Kind.RAW) if base in (*_PLAIN_TEXT, *_CAST_TEXT) else None
    if wanted == "numeric" or base == "numeric":
        sides = [_numeric_kind(side) for side in (wanted, base)]
        return (sides[0], sides[1]) if sides[0] is not None and sides[1] is not None else None
    if wanted == base or (wanted in _TIMES and base in _TIMES):
        return Kind.RAW, Kind.RAW
    if wanted in _INTEGERS and base in _INTEGERS:
        return Kind.INTEGER, Kind.INTEGER
    if wanted in _FLOATS and base in _FLOATS:
        return Kind.FLOAT, Kind.FLOAT
    return None


def _numeric_kind(form: str) -> Kind | None:
    if form == "numeric":
        return Kind.NUMERIC
    return Kind.INT_NUMERIC if form in _INTEGERS else None
