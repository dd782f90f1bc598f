"""Keys, indexes, checks and foreign keys in target names, and what of them PostgreSQL cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..model import HIDDEN, Check, ForeignKey, Index, Key, KeyColumn
from .context import NOT_VISIBLE, Context
from .objects import MappedCheck, MappedForeignKey, MappedIndex, MappedKey, MappedTable, Severity, TargetKeyColumn
from .translate import Translator, Untranslatable

MAX_INDEX_COLUMNS = 32
"""INDEX_MAX_KEYS of a stock PostgreSQL build; INCLUDE columns count."""
MAX_INDEX_ROW = 2704
"""Bytes of the largest B-tree entry with 8 KB pages."""

_BTREE_KINDS = ("CLUSTERED", "NONCLUSTERED")
_NOT_CARRIED_KINDS = {
    "XML": "XML index: PostgreSQL stores the column as text",
    "SPATIAL": "spatial index: the column is stored as WKT text",
    "CLUSTERED COLUMNSTORE": "columnstore: PostgreSQL stores tables by row",
    "NONCLUSTERED COLUMNSTORE": "columnstore index: PostgreSQL has none",
    "JSON": "JSON index: PostgreSQL's json type has none",
    "VECTOR": "vector index: PostgreSQL has none; pgvector's are made with CREATE INDEX ... USING hnsw",
}
_FIXED_WIDTHS = {
    "smallint": 2,
    "integer": 4,
    "bigint": 8,
    "boolean": 1,
    "real": 4,
    "double precision": 8,
    "date": 4,
    "time": 8,
    "timestamp": 8,
    "timestamptz": 8,
    "uuid": 16,
}


class ConstraintMapper:
    """Works on one table whose columns are mapped."""

    def __init__(self, context: Context, table: MappedTable) -> None:
        self._context = context
        self._table = table
        self._source = table.source
        self._columns = {column.source.name: column for column in table.columns}
        self._translator = Translator(context, table.source, self._columns)

    def add_keys_indexes_checks(self) -> MappedTable:
        """The table with everything but its foreign keys."""
        primary = self._source.primary_key
        checks: list[MappedCheck | None] = []
        if self._context.options.create_check_constraints:
            checks = [self._check(check) for check in self._source.checks]
        elif self._source.checks:
            dropped = ", ".join(check.name for check in self._source.checks)
            self._note("not_carried", "", f"create_check_constraints is false: no check {dropped}")
        notes = self._context.notes
        if not self._context.options.create_indexes:
            # Only those a foreign key refers to will stay, and `build` says which do not: no notes on them here.
            self._context.notes = []
        keys = [self._key(key) for key in self._source.unique_keys]
        indexes = [self._index(index) for index in self._source.indexes]
        self._context.notes = notes
        return replace(
            self._table,
            primary_key=None if primary is None else self._key(primary),
            unique_keys=tuple(key for key in keys if key is not None),
            indexes=tuple(index for index in indexes if index is not None),
            checks=tuple(check for check in checks if check is not None),
        )

    # -- keys and indexes ------------------------------------------------------------------------------------------

    def _key(self, key: Key) -> MappedKey | None:
        label = f"constraint {key.name}"
        kind = "primary key" if key.primary else "unique constraint"
        if key.disabled:
            self._note("not_carried", label, f"{kind}: disabled in the source")
            return None
        if not self._carried(label, kind, [column.name for column in key.columns]):
            return None
        self._rename_note("key", key.name)
        self._check_uniqueness_of_times(label, key.columns)
        self._warn_if_wide(label, [column.name for column in key.columns])
        directions = {column.descending for column in key.columns}
        if len(directions) > 1:
            self._note("info", label, f"{kind}: its mixed sort directions are not kept, a constraint's index ascends")
        return MappedKey(
            source=key,
            name=self._context.names.key(self._source, key.name),
            columns=self._key_columns(key.columns, ascending=True),
            primary=key.primary,
            nulls_not_distinct=not key.primary and self._nulls_not_distinct(label, key.columns, None),
        )

    def _index(self, index: Index) -> MappedIndex | None:
        label = f"index {index.name}"
        if index.kind not in _BTREE_KINDS and not index.kind.startswith("NONCLUSTERED HASH"):
            reason = _NOT_CARRIED_KINDS.get(index.kind, f"{index.kind.lower()} index: PostgreSQL has none")
            self._note("not_carried", label, reason)
            return None
        if index.disabled:
            self._note("not_carried", label, "index: disabled in the source")
            return None
        if not self._carried(label, "index", [column.name for column in index.columns]):
            return None
        filter_sql = None
        if index.filter == HIDDEN:
            self._note("not_carried", label, f"filtered index: {NOT_VISIBLE}")
            return None
        if index.filter is not None:
            try:
                expression = self._translator.filter(index.filter, unique=index.unique)
            except Untranslatable as reason:
                self._note("not_carried", label, f"filtered index WHERE {index.filter}: {reason}")
                return None
            filter_sql = expression.sql
            for remark in expression.remarks:
                self._note("warning", label, remark)
        self._rename_note("index", index.name)
        if "HASH" in index.kind:
            self._note("info", label, "hash index: becomes a B-tree")
        if index.unique:
            self._check_uniqueness_of_times(label, index.columns)
        if index.ignore_dup_key:
            self._note("warning", label, "IGNORE_DUP_KEY: PostgreSQL refuses a duplicate row instead of dropping it")
        self._warn_if_wide(label, [column.name for column in index.columns])
        return MappedIndex(
            source=index,
            name=self._context.names.index(self._source, index.name),
            columns=self._key_columns(index.columns),
            included=self._included(label, index),
            unique=index.unique,
            filter_sql=filter_sql,
            nulls_not_distinct=index.unique and self._nulls_not_distinct(label, index.columns, index.filter),
        )

    def _key_columns(self, columns: tuple[KeyColumn, ...], *, ascending: bool = False) -> tuple[TargetKeyColumn, ...]:
        return tuple(
            TargetKeyColumn(self._columns[column.name].name, column.descending and not ascending) for column in columns
        )

    def _nulls_not_distinct(self, label: str, columns: tuple[KeyColumn, ...], predicate: str | None) -> bool:
        """SQL Server takes NULLs of a unique key as equal; PostgreSQL does on request, from 15 on."""
        not_null = self._translator.not_null_columns(predicate) if predicate else frozenset()
        nullable = [
            column.name for column in columns if self._columns[column.name].nullable and column.name not in not_null
        ]
        if not nullable:
            return False
        if not self._context.options.abilities.nulls_not_distinct:
            self._note(
                "warning",
                label,
                f"NULL in {', '.join(nullable)} will be allowed in many rows: NULLS NOT DISTINCT needs PostgreSQL 15",
            )
            return False
        return True

    def _included(self, label: str, index: Index) -> tuple[str, ...]:
        """INCLUDE columns that always fit: they only save lookups, but one too wide would refuse a row."""
        room = MAX_INDEX_ROW - sum(self._width(column.name) for column in index.columns)
        slots = MAX_INDEX_COLUMNS - len(index.columns)
        kept, dropped = [], []
        for name in index.included:
            width = self._width(name) if name in self._columns else MAX_INDEX_ROW
            if slots > 0 and width <= room:
                kept.append(self._columns[name].name)
                room -= width
                slots -= 1
            else:
                dropped.append(name)
        if dropped:
            self._note(
                "info",
                label,
                f"INCLUDE ({', '.join(dropped)}) is left out: PostgreSQL limits an index entry to {MAX_INDEX_ROW} bytes"
                f" and {MAX_INDEX_COLUMNS} columns; the index finds the same rows",
            )
        return tuple(kept)

    def _width(self, name: str) -> int:
        """The most bytes a column's value can take in an index entry, with its header and alignment."""
        column = self._columns[name]
        fixed = _FIXED_WIDTHS.get(column.pg_type)
        if fixed is not None:
            return fixed + 7
        source = column.source.type
        if column.encoding == "numeric":
            return source.precision // 2 + 20
        if source.max_length <= 0:
            return MAX_INDEX_ROW
        if source.name in ("nchar", "nvarchar"):
            return source.char_length * 3 + 8
        if source.name in ("char", "varchar"):
            # one byte of a Windows code page takes up to three in UTF-8
            return source.max_length * (1 if source.code_page == 65001 else 3) + 8
        return source.max_length + 8

    def _warn_if_wide(self, label: str, names: list[str]) -> None:
        # SQL Server itself stops at 1700 bytes, so that only text that grows in UTF-8 can pass PostgreSQL's limit.
        growing = [name for name in names if self._columns[name].source.type.name in ("char", "varchar")]
        width = sum(self._width(name) for name in names)
        if growing and width > MAX_INDEX_ROW:
            self._note(
                "warning",
                label,
                f"a row whose key takes over {MAX_INDEX_ROW} bytes in UTF-8 will be refused (declared: up to {width})",
            )

    def _check_uniqueness_of_times(self, label: str, columns: tuple[KeyColumn, ...]) -> None:
        fine = [
            column.name
            for column in columns
            if self._columns[column.name].source.type.scale == 7
            and self._columns[column.name].encoding in ("time", "timestamp", "timestamptz")
        ]
        if fine:
            self._note(
                "warning",
                label,
                f"values of {', '.join(fine)} that differ by less than a microsecond become equal, and so duplicates",
            )

    # -- checks ----------------------------------------------------------------------------------------------------

    def _check(self, check: Check) -> MappedCheck | None:
        label = f"constraint {check.name}"
        if check.definition == HIDDEN:
            self._note("not_carried", label, f"check: {NOT_VISIBLE}")
            return None
        try:
            expression = self._translator.check(check.definition)
        except Untranslatable as reason:
            self._note("not_carried", label, f"check {check.definition}: {reason}")
            return None
        self._rename_note("constraint", check.name)
        for remark in expression.remarks:
            self._note("warning", label, remark)
        if check.disabled or check.not_trusted:
            state = "disabled" if check.disabled else "not trusted"
            self._note("warning", label, f"{state} in the source: created NOT VALID, so that it checks new rows only")
        return MappedCheck(
            source=check,
            name=self._context.names.constraint(self._source, check.name),
            expression_sql=expression.sql,
            not_valid=check.disabled or check.not_trusted,
        )

    # -- foreign keys ----------------------------------------------------------------------------------------------

    def foreign_keys(self, tables: Mapping[tuple[str, str], MappedTable]) -> tuple[MappedForeignKey, ...]:
        """The foreign keys whose both ends are carried."""
        if not self._context.options.create_foreign_keys:
            if self._source.foreign_keys:
                dropped = ", ".join(key.name for key in self._source.foreign_keys)
                self._note("not_carried", "", f"create_foreign_keys is false: no foreign key {dropped}")
            return ()
        mapped = [self._foreign_key(key, tables) for key in self._source.foreign_keys]
        return tuple(key for key in mapped if key is not None)

    def _foreign_key(self, key: ForeignKey, tables: Mapping[tuple[str, str], MappedTable]) -> MappedForeignKey | None:
        label = f"constraint {key.name}"
        referenced_name = f"{key.referenced_schema}.{key.referenced_table}"
        referenced = tables.get((key.referenced_schema, key.referenced_table))
        if referenced is None:
            self._note("not_carried", label, f"foreign key to {referenced_name}: that table is not part of this run")
            return None
        if not self._carried(label, "foreign key", list(key.columns)):
            return None
        targets = {column.source.name: column.name for column in referenced.columns}
        missing = [name for name in key.referenced_columns if name not in targets]
        if missing or not _has_unique(
            referenced, {targets[name] for name in key.referenced_columns if name in targets}
        ):
            self._note(
                "not_carried",
                label,
                f"foreign key to {referenced_name} ({', '.join(key.referenced_columns)}): the unique key it refers to"
                " is not carried",
            )
            return None
        generated = [name for name in key.columns if self._columns[name].generated_sql is not None]
        actions = {key.on_update, "SET_NULL" if key.on_delete.startswith("SET") else "NO_ACTION"}
        if generated and actions != {"NO_ACTION"}:
            self._note(
                "not_carried", label, f"foreign key: PostgreSQL refuses its actions on the generated {generated[0]}"
            )
            return None
        self._rename_note("constraint", key.name)
        if key.disabled or key.not_trusted:
            state = "disabled" if key.disabled else "not trusted"
            self._note("warning", label, f"{state} in the source: created NOT VALID, so that it checks new rows only")
        return MappedForeignKey(
            source=key,
            name=self._context.names.constraint(self._source, key.name),
            columns=tuple(self._columns[name].name for name in key.columns),
            referenced_schema=referenced.schema,
            referenced_table=referenced.name,
            referenced_columns=tuple(targets[name] for name in key.referenced_columns),
            on_delete=key.on_delete,
            on_update=key.on_update,
            not_valid=key.disabled or key.not_trusted,
        )

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _carried(self, label: str, kind: str, names: list[str]) -> bool:
        missing = [name for name in names if name not in self._columns]
        if missing:
            self._note("not_carried", label, f"{kind}: its column {', '.join(missing)} is not carried")
        return not missing

    def _note(self, severity: Severity, label: str, message: str) -> None:
        full = f"{self._source.full_name} {label}".rstrip()
        self._context.note(severity, full, message)

    def _rename_note(self, kind: str, name: str) -> None:
        self._context.notes.extend(self._context.names.note_for(kind, self._source.schema, self._source.name, name))


def _has_unique(table: MappedTable, columns: set[str]) -> bool:
    """Whether a foreign key can refer to those columns (target names)."""
    keys = [key for key in (table.primary_key, *table.unique_keys) if key is not None]
    return any({column.name for column in key.columns} == columns for key in keys) or any(
        index.unique and index.filter_sql is None and {column.name for column in index.columns} == columns
        for index in table.indexes
    )
