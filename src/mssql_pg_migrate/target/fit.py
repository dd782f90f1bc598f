"""Does a table the target already has fit the rows that will come? Asked before anything is touched.

A column fits when it has the mapped type, or a wider one of the same family, so that every value arrives unchanged:

* smallint -> integer -> bigint -> numeric of enough digits, real -> double precision,
* numeric with at least as many digits on both sides of the point,
* char and varchar to text, citext or a varchar that is long enough (and char to a longer char),
* times and timestamps with enough decimals.

A wider type may need another form in COPY's binary format: the table that is returned has its columns' encodings and
SELECT expressions changed accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..mapping.objects import NO_PRIMARY_KEY, MappedTable
from ..mapping.options import Mode
from ..mapping.types import Encoding, MappedColumn, vector_as_text
from .inspect import ExistingColumn, ExistingTable

_VARHDRSZ = 4
"""PostgreSQL adds the length of a varlena header to the typmod of varchar, char and numeric."""

_INT_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_INT_ORDER = ("int2", "int4", "int8")
_INT_CASTS: dict[str, tuple[Encoding, str]] = {
    "int2": ("int2", "smallint"),
    "int4": ("int4", "int"),
    "int8": ("int8", "bigint"),
}
_SAME = {"bool": "bool", "bytea": "bytea", "uuid": "uuid", "date": "date", "float8": "float8"}


KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index"}
"""pg_class.relkind of what is no table, in words."""


@dataclass(frozen=True, slots=True)
class Fit:
    """``problems`` are sentences, empty when the table fits; ``table`` is adjusted to the columns that are there.

    ``warnings`` name what a load will meet: triggers that fire, columns the target computes itself.
    """

    problems: tuple[str, ...]
    table: MappedTable
    warnings: tuple[str, ...] = ()


def check_fit(existing: ExistingTable, table: MappedTable, mode: Mode) -> Fit:
    """Compare a mapped table with the one the target has. Pure; call `inspect.read_existing` first."""
    name = existing.full_name
    if existing.kind not in ("r", "p"):
        return Fit((f"{name} is {KINDS.get(existing.kind, 'not a table')} in the target, rows need a table",), table)
    there = {column.name: column for column in existing.columns}
    problems: list[str] = []
    columns: list[MappedColumn] = []
    for column in table.columns:
        found = there.get(column.name)
        if found is None:
            if column.copied:
                problems.append(_missing(name, column, there))
            columns.append(replace(column, copied=False))
            continue
        adjusted, reason = _fit_column(column, found)
        if reason is not None:
            problems.append(
                f'{name}: column "{column.name}" is {found.display} in the target and {reason}'
                f" (source {table.source.full_name}.{column.source.name}: {column.source.type})"
            )
        columns.append(adjusted)
    carried = {column.name for column in table.columns}
    for found in existing.columns:
        filled = found.default is not None or found.identity or found.generated
        if found.name not in carried and found.not_null and not filled:
            problems.append(
                f'{name}: column "{found.name}" is NOT NULL without a default, and the source has no such column'
            )
    fitted = replace(table, columns=tuple(columns))
    if mode == "upsert":
        problems.extend(_upsert_problems(existing, fitted))
    warnings = _warnings(existing, table, mode)
    for column, adjusted in zip(table.columns, fitted.columns, strict=True):
        if column.encoding == "vector" and adjusted.encoding == "text":
            warnings.append(f'{name}: column "{column.name}" is {adjusted.pg_type} in the target: {adjusted.lossy}')
    return Fit(tuple(problems), fitted, tuple(warnings))


def _warnings(existing: ExistingTable, table: MappedTable, mode: Mode) -> list[str]:
    warnings = []
    if existing.rules and mode != "upsert":
        warnings.append(f"{existing.full_name}: its rules do not act on the rows (COPY): {', '.join(existing.rules)}")
    if existing.children and mode != "upsert":
        warnings.append(f"{existing.full_name}: its child tables are emptied with it: {', '.join(existing.children)}")
    if existing.triggers:
        warnings.append(f"{existing.full_name}: its triggers fire for the rows: {', '.join(existing.triggers)}")
    copied = {column.name for column in table.copied_columns}
    warnings.extend(
        f'{existing.full_name}: column "{column.name}" is generated in the target, the source\'s values are not copied'
        for column in existing.columns
        if column.generated and column.name in copied
    )
    return warnings


def _missing(name: str, column: MappedColumn, there: dict[str, ExistingColumn]) -> str:
    text = f'{name}: the target has no column "{column.name}" ({column.pg_type})'
    similar = [other for other in there if other.lower() == column.name.lower()]
    if similar:
        text += f'; it has "{similar[0]}": names are compared exactly, see identifier_case'
    return text


def _upsert_problems(existing: ExistingTable, table: MappedTable) -> list[str]:
    primary = table.source.primary_key
    if primary is None or primary.disabled:
        return [f"Table '{table.source.name}' {NO_PRIMARY_KEY}"]
    by_source = {column.source.name: column for column in table.columns}
    key = [by_source[part.name].name for part in primary.columns if part.name in by_source]
    problems = []
    if existing.rules:  # also those that are disabled
        problems.append(
            f"{existing.full_name}: PostgreSQL merges no rows (ON CONFLICT) into a table with INSERT or UPDATE rules:"
            f" DROP RULE {', '.join(existing.rules)}, or use target_mode: truncate"
        )
    if not any(unique.columns == frozenset(key) for unique in existing.uniques):
        problems.append(
            f"{existing.full_name}: upsert needs a unique constraint or index on exactly ({', '.join(key)}),"
            " the source's primary key, without a predicate and not deferrable"
        )
    not_copied = [column.name for column in table.columns if column.name in key and not column.copied]
    if not_copied:
        problems.append(f"{existing.full_name}: key column {not_copied[0]} is generated in the target")
    for column in existing.columns:
        if column.identity == "a" and column.name not in key and column.name in {c.name for c in table.copied_columns}:
            problems.append(
                f'{existing.full_name}: column "{column.name}" is GENERATED ALWAYS AS IDENTITY and no part of the key,'
                " so it cannot be updated; ALTER COLUMN ... SET GENERATED BY DEFAULT"
            )
    return problems


def _fit_column(column: MappedColumn, found: ExistingColumn) -> tuple[MappedColumn, str | None]:
    """The column in the form the existing one takes; or why it cannot hold the source's values."""
    if found.generated:
        return replace(column, copied=False), None
    if column.encoding == "vector" and found.base != "vector":
        column = vector_as_text(column)
    plain = replace(
        column,
        copied=True,
        generated_sql=None,
        identity=bool(found.identity),
        default_sql=found.default,
        nullable=not found.not_null,
        pg_type=found.display,
    )
    reason: str | None
    if column.encoding in ("int2", "int4", "int8"):
        plain, reason = _fit_integer(column, plain, found)
    elif column.encoding == "float4":
        plain, reason = _fit_real(plain, found)
    elif column.encoding == "numeric":
        reason = _numeric_reason(column, found)
    elif column.encoding == "text":
        reason = _text_reason(column, found)
    elif column.encoding in ("time", "timestamp", "timestamptz"):
        reason = _time_reason(column, found)
    elif column.encoding == "vector":
        reason = None if found.typmod in (-1, int(column.pg_type[7:-1])) else _wrong_type(column)
    else:
        reason = None if found.base == _SAME[column.encoding] else _wrong_type(column)
    if reason is None and found.not_null and column.source.nullable:
        reason = "NOT NULL, while the source allows NULL"
    return plain, reason


def _wrong_type(column: MappedColumn) -> str:
    return f"does not hold the values of {column.pg_type}"


def _fit_integer(column: MappedColumn, plain: MappedColumn, found: ExistingColumn) -> tuple[MappedColumn, str | None]:
    wanted = _INT_ORDER.index(column.encoding)
    if found.base in _INT_ORDER:
        if _INT_ORDER.index(found.base) < wanted:
            return plain, f"too small for {column.pg_type}"
        encoding, cast = _INT_CASTS[found.base]
        return (plain if encoding == column.encoding else _selected_as(plain, cast, encoding)), None
    if found.base == "numeric":
        digits = _INT_DIGITS[column.source.type.name]
        limits = _numeric_limits(found.typmod)
        if limits is not None and limits[0] - limits[1] < digits:
            return plain, f"too small for {column.pg_type}"
        # Scale 0 whatever the target's: PostgreSQL adds the decimals, and a key keeps its text.
        return _selected_as(plain, f"decimal({digits},0)", "numeric"), None
    return plain, _wrong_type(column)


def _fit_real(plain: MappedColumn, found: ExistingColumn) -> tuple[MappedColumn, str | None]:
    if found.base == "float4":
        return plain, None
    if found.base == "float8":
        return _selected_as(plain, "float", "float8"), None
    return plain, "does not hold the values of real"


def _selected_as(column: MappedColumn, sql_type: str, encoding: Encoding) -> MappedColumn:
    """The column converted by SQL Server, so that both readers see the type whose form COPY expects."""
    cast = f"CAST({{c}} AS {sql_type})"
    return replace(column, driver_select=cast, wire_select=cast, encoding=encoding)


def _numeric_limits(typmod: int) -> tuple[int, int] | None:
    """Precision and scale of a numeric's typmod, None when it is unconstrained (numeric.c: ((p << 16) | s) + 4)."""
    if typmod < _VARHDRSZ:
        return None
    packed = typmod - _VARHDRSZ
    scale = packed & 0x7FF
    return (packed >> 16) & 0xFFFF, scale - 0x800 if scale & 0x400 else scale


def _numeric_reason(column: MappedColumn, found: ExistingColumn) -> str | None:
    if found.base != "numeric":
        return _wrong_type(column)
    limits = _numeric_limits(found.typmod)
    if limits is None:
        return None
    wanted = {"money": (19, 4), "smallmoney": (10, 4)}.get(
        column.source.type.name, (column.source.type.precision, column.source.type.scale)
    )
    if limits[1] < wanted[1] or limits[0] - limits[1] < wanted[0] - wanted[1]:
        return f"too small for {column.pg_type}"
    return None


def _text_reason(column: MappedColumn, found: ExistingColumn) -> str | None:
    source = column.source.type
    length = source.char_length if source.name in ("char", "varchar", "nchar", "nvarchar") else -1
    room = found.typmod - _VARHDRSZ
    if found.base in ("text", "citext") or (found.base == "varchar" and found.typmod == -1):
        return None
    if found.base == source.name and found.base in ("xml", "json"):
        return None
    if found.base == "varchar" or (found.base == "bpchar" and source.name in ("char", "nchar") and room > 0):
        if length < 0 or room < length:
            return f"too short for {column.pg_type}"
        return None
    if found.base == "bpchar":
        return "would pad values with blanks"
    return _wrong_type(column)


_SECOND_DECIMALS = {"datetime": 3, "smalldatetime": 0}


def _time_reason(column: MappedColumn, found: ExistingColumn) -> str | None:
    if found.base != column.encoding:
        return _wrong_type(column)
    decimals = min(6, _SECOND_DECIMALS.get(column.source.type.name, column.source.type.scale))
    if found.typmod != -1 and found.typmod < decimals:
        return f"keeps {found.typmod} decimals of seconds, the source has {column.source.type.scale or decimals}"
    return None
