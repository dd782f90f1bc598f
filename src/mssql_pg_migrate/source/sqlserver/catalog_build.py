"""Rows of the catalog queries put together into the model. Pure functions, no I/O.

A row is a dict by the query's column names (`catalog_sql`). Ids are compared with ids only: which number a type or a
table has differs from server to server.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, cast

from ...model import (
    HIDDEN,
    Check,
    Column,
    Computed,
    Default,
    ForeignKey,
    Identity,
    Index,
    Key,
    KeyColumn,
    Loss,
    ReferentialAction,
    Table,
)
from .catalog_properties import Descriptions
from .catalog_types import Row, Schemas, TypeTable, by_name, grouped, is_wanted

_PAGE = 8192


@dataclass(slots=True)
class TableParts:
    """The rows of all queries about tables."""

    tables: list[Row]
    columns: list[Row]
    indexes: list[Row]
    index_columns: list[Row]
    key_constraints: list[Row] = field(default_factory=list)
    identities: list[Row] = field(default_factory=list)
    computed: list[Row] = field(default_factory=list)
    defaults: list[Row] = field(default_factory=list)
    bound: list[Row] = field(default_factory=list)
    fulltext: list[Row] = field(default_factory=list)
    foreign_keys: list[Row] = field(default_factory=list)
    foreign_key_columns: list[Row] = field(default_factory=list)
    checks: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    sizes: list[Row] = field(default_factory=list)
    properties: list[Row] = field(default_factory=list)
    xml_schemas: list[Row] = field(default_factory=list)

    @property
    def descriptions(self) -> Descriptions:
        """MS_Description of everything."""
        return Descriptions(self.properties)


def build_tables(
    parts: TableParts, types: TypeTable, schemas: Schemas, notes: list[str], losses: list[Loss]
) -> tuple[Table, ...]:
    """The tables of the wanted schemas, by schema and name; what is left out is added to ``notes`` and ``losses``."""
    descriptions = parts.descriptions
    tool = descriptions.tool_objects
    names = {row["object_id"]: (str(row["schema_name"]), str(row["name"])) for row in parts.tables}
    columns = grouped(parts.columns, "object_id")
    column_names = {
        (object_id, row["column_id"]): str(row["name"]) for object_id, rows in columns.items() for row in rows
    }
    indexes = _IndexBuilder(parts, column_names, descriptions)
    foreign_keys = _foreign_keys(parts, names, column_names, descriptions, losses)
    checks = grouped(parts.checks, "parent_object_id")
    fulltext = grouped(parts.fulltext, "object_id")
    row_counts = {row["object_id"]: int(row["row_count"] or 0) for row in parts.rows}
    pages = {row["object_id"]: row["used_pages"] for row in parts.sizes}
    make_column = _column_maker(parts, types, descriptions)
    tables: list[Table] = []
    for row in sorted(parts.tables, key=lambda row: (str(row["schema_name"]), str(row["name"]))):
        object_id = row["object_id"]
        schema, name = names[object_id]
        if not is_wanted(schema, schemas):
            continue
        reason = _why_not(row, tool)
        if reason is not None:
            notes.append(f"{schema}.{name} {reason} not migrated.")
            continue
        primary, unique, others = indexes.of(object_id)
        used = pages.get(object_id)
        history = names.get(row["history_table_id"])
        tables.append(
            Table(
                schema=schema,
                name=name,
                object_id=object_id,
                columns=tuple(
                    make_column(one)
                    for one in sorted(columns.get(object_id, ()), key=lambda one: one["column_id"])
                    if not one["is_dropped_ledger_column"]  # a ledger table keeps its data, out of sight
                ),
                primary_key=primary,
                unique_keys=unique,
                indexes=others,
                foreign_keys=tuple(foreign_keys.get(object_id, ())),
                checks=tuple(_check(check, column_names, descriptions) for check in by_name(checks.get(object_id, ()))),
                fulltext=tuple(column_names.get((object_id, one["column_id"]), "") for one in fulltext[object_id]),
                row_estimate=max(0, row_counts.get(object_id, 0)),
                size_bytes=int(used) * _PAGE if used is not None else None,
                description=descriptions.of(object_id),
                temporal=_temporal(row["temporal_type"]),
                history_table=".".join(history) if history else None,
                graph="node" if row["is_node"] else "edge" if row["is_edge"] else "none",
                memory_optimized=bool(row["is_memory_optimized"]),
                external=bool(row["is_external"]),
                filetable=bool(row["is_filetable"]),
            )
        )
    return tuple(tables)


def _why_not(row: Row, tool: Collection[int]) -> str | None:
    """Why a user table is none of the user's."""
    if row["object_id"] in tool or str(row["name"]).lower() == "sysdiagrams":
        return "belongs to the database diagram tool and is"
    return "is a ledger table that was dropped; it is" if row["is_dropped_ledger_table"] else None


def _column_maker(parts: TableParts, types: TypeTable, descriptions: Descriptions) -> Callable[[Row], Column]:
    """A function from a row of sys.columns to a `Column`, with its identity, default and computed definition."""
    identities = {(row["object_id"], row["column_id"]): row for row in parts.identities}
    computed = {(row["object_id"], row["column_id"]): row for row in parts.computed}
    defaults = {(row["parent_object_id"], row["parent_column_id"]): row for row in parts.defaults}
    limits = _limits(parts)
    bound = {(row["object_id"], row["column_id"]): row for row in parts.bound if _kind(row) == "D"}
    rules = {(row["object_id"], row["column_id"]) for row in parts.bound if _kind(row) == "R"}
    collections = {(row["object_id"], row["column_id"]) for row in parts.xml_schemas}

    def make(row: Row) -> Column:
        at = (row["object_id"], row["column_id"])
        return Column(
            name=str(row["name"]),
            type=types.resolve(row),
            nullable=bool(row["is_nullable"]),
            ordinal=int(row["column_id"]),
            identity=_identity(identities.get(at)) if row["is_identity"] else None,
            computed=_computed(computed.get(at)) if row["is_computed"] else None,
            default=_default(row, defaults.get(at), bound.get(at)),
            rowguid=bool(row["is_rowguidcol"]),
            sparse=bool(row["is_sparse"]),
            column_set=bool(row["is_column_set"]),
            hidden=bool(row["is_hidden"]),
            generated_always=int(row["generated_always_type"] or 0),
            graph_type=row["graph_type"],
            encrypted=row["encryption_type"] is not None,
            masked=bool(row["is_masked"]),
            filestream=bool(row["is_filestream"]),
            bound=(*limits.get(at, ()), *_unseen_limits(row, rules, collections)),
            description=descriptions.of(*at),
        )

    return make


def _kind(row: Row) -> str:
    return str(row["type"]).strip()


def _limits(parts: TableParts) -> dict[tuple[int, int], list[str]]:
    """What limits columns and will not be carried, by (object_id, column_id)."""
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in parts.bound:
        if _kind(row) == "R":
            text = f"rule {row['schema_name']}.{row['name']}, which is bound to it: make it a check constraint"
            found[row["object_id"], row["column_id"]].append(text)
    for row in parts.xml_schemas:
        text = f"XML schema collection {row['schema_name']}.{row['name']}: PostgreSQL does not validate the column"
        found[row["object_id"], row["column_id"]].append(text)
    return found


def _unseen_limits(row: Row, rules: set[tuple[int, int]], collections: set[tuple[int, int]]) -> list[str]:
    """Limits of a column whose own rows the catalog does not show: objects of other rights than the table's."""
    at = (row["object_id"], row["column_id"])
    found = []
    if row["rule_object_id"] and at not in rules:
        found.append("a rule bound to it, which is not visible to the login (GRANT VIEW DEFINITION)")
    if row["xml_collection_id"] and at not in collections:
        found.append("XML schema collection, not visible to the login: PostgreSQL does not validate the column")
    return found


_NAME = r"(?:\[(?:[^\]]|\]\])*\]|\"(?:[^\"]|\"\")*\"|[\w@#$]+)"
_CREATE_DEFAULT = re.compile(rf"\bCREATE\s+DEFAULT\s+(?:{_NAME}\s*\.\s*)*{_NAME}\s+AS\s+(.+?)[\s;]*$", re.I | re.S)


def _default(column: Row, constraint: Row | None, bound: Row | None) -> Default | None:
    """A default constraint, else the stand-alone default bound to the column (sp_bindefault) by its expression.

    In this order: where a server does not show whose a default constraint is, it looks like a stand-alone one, too. A
    default of which the column has the id only is one that the login may not see.
    """
    if constraint is not None:
        return Default(str(constraint["name"]), _definition(constraint))
    if bound is None:
        return Default("", HIDDEN) if column["default_object_id"] else None
    if bound["definition"] is None:
        return Default(str(bound["name"]), HIDDEN)
    found = _CREATE_DEFAULT.search(str(bound["definition"]))
    # Where its text is not understood its name stands for it, which the plan will name as not carried.
    text = f"({found[1]})" if found else f"[{bound['schema_name']}].[{bound['name']}]"
    return Default(str(bound["name"]), text)


def _definition(row: Row) -> str:
    """A definition column. NULL in it is what a login without VIEW DEFINITION sees ("Metadata Visibility
    Configuration" of Microsoft's documentation)."""
    return HIDDEN if row["definition"] is None else str(row["definition"])


def _identity(row: Row | None) -> Identity:
    """An identity; SQL Server's own defaults where the server does not tell seed and increment."""
    if row is None:
        return Identity(seed=1, increment=1)
    seed, increment, last = row["seed_value"], row["increment_value"], row["last_value"]
    return Identity(
        seed=int(seed) if seed is not None else 1,
        increment=int(increment) if increment is not None else 1,
        last_value=int(last) if last is not None else None,
        not_for_replication=bool(row["is_not_for_replication"]),
    )


def _computed(row: Row | None) -> Computed:
    if row is None:
        return Computed(HIDDEN, persisted=False)
    return Computed(_definition(row), persisted=bool(row["is_persisted"]))


class _IndexBuilder:
    """Keys and indexes per table from ``sys.indexes`` and ``sys.index_columns``."""

    def __init__(self, parts: TableParts, column_names: dict[tuple[int, int], str], descriptions: Descriptions) -> None:
        self._descriptions = descriptions
        self._indexes = grouped(parts.indexes, "object_id")
        self._column_names = column_names
        self._columns: dict[tuple[int, int], list[Row]] = defaultdict(list)
        for row in parts.index_columns:
            self._columns[row["object_id"], row["index_id"]].append(row)
        self._constraints = {(row["parent_object_id"], row["unique_index_id"]): row for row in parts.key_constraints}

    def of(self, object_id: int) -> tuple[Key | None, tuple[Key, ...], tuple[Index, ...]]:
        """Primary key, unique constraints and all other indexes of a table."""
        primary: Key | None = None
        unique: list[Key] = []
        others: list[Index] = []
        for row in sorted(self._indexes.get(object_id, ()), key=lambda row: row["index_id"]):
            if row["is_hypothetical"]:
                continue
            if row["is_primary_key"]:
                primary = self._key(row, primary=True)
            elif row["is_unique_constraint"]:
                unique.append(self._key(row, primary=False))
            else:
                others.append(self._index(row))
        return primary, tuple(unique), tuple(others)

    def _key_columns(self, row: Row) -> tuple[KeyColumn, ...]:
        rows = [one for one in self._columns[row["object_id"], row["index_id"]] if one["key_ordinal"]]
        return tuple(
            KeyColumn(self._name(one), bool(one["is_descending_key"]))
            for one in sorted(rows, key=lambda one: one["key_ordinal"])
        )

    def _name(self, row: Row) -> str:
        return self._column_names.get((row["object_id"], row["column_id"]), "")

    def _key(self, row: Row, *, primary: bool) -> Key:
        at = (row["object_id"], row["index_id"])
        constraint = self._constraints.get(at)
        return Key(
            name=str(row["name"] if constraint is None else constraint["name"]),
            columns=self._key_columns(row),
            primary=primary,
            clustered=row["type_desc"] == "CLUSTERED",
            disabled=bool(row["is_disabled"]),
            description=self._descriptions.of(None if constraint is None else constraint["object_id"]),
            index_description=self._descriptions.index(*at),
        )

    def _index(self, row: Row) -> Index:
        included = [one for one in self._columns[row["object_id"], row["index_id"]] if one["is_included_column"]]
        return Index(
            name=str(row["name"]),
            columns=self._key_columns(row),
            included=tuple(self._name(one) for one in sorted(included, key=lambda one: one["index_column_id"])),
            unique=bool(row["is_unique"]),
            clustered=row["type_desc"] == "CLUSTERED",
            filter=_filter(row),
            kind=str(row["type_desc"]),
            disabled=bool(row["is_disabled"]),
            ignore_dup_key=bool(row["ignore_dup_key"]),
            description=self._descriptions.index(row["object_id"], row["index_id"]),
        )


def _filter(row: Row) -> str | None:
    """filter_definition of sys.indexes: NULL without a filter, and for a login that may not see it."""
    if row["filter_definition"] is None:
        return HIDDEN if row["has_filter"] else None
    return str(row["filter_definition"])


def _foreign_keys(
    parts: TableParts,
    names: dict[int, tuple[str, str]],
    column_names: dict[tuple[int, int], str],
    descriptions: Descriptions,
    losses: list[Loss],
) -> dict[int, list[ForeignKey]]:
    pairs = grouped(parts.foreign_key_columns, "constraint_object_id")
    found: dict[int, list[ForeignKey]] = defaultdict(list)
    for row in by_name(parts.foreign_keys):
        parent, referenced = row["parent_object_id"], row["referenced_object_id"]
        if parent not in names:
            continue
        if referenced not in names:
            table = ".".join(names[parent])
            text = "foreign key: the table it refers to is not visible to the login"
            losses.append(Loss(f"{table} constraint {row['name']}", text, table))
            continue
        columns = sorted(pairs.get(row["object_id"], ()), key=lambda one: one["constraint_column_id"])
        found[parent].append(
            ForeignKey(
                name=str(row["name"]),
                columns=tuple(column_names[parent, one["parent_column_id"]] for one in columns),
                referenced_schema=names[referenced][0],
                referenced_table=names[referenced][1],
                referenced_columns=tuple(column_names[referenced, one["referenced_column_id"]] for one in columns),
                on_delete=_action(row["delete_referential_action_desc"]),
                on_update=_action(row["update_referential_action_desc"]),
                disabled=bool(row["is_disabled"]),
                not_trusted=bool(row["is_not_trusted"]),
                description=descriptions.of(row["object_id"]),
            )
        )
    return found


def _action(text: object) -> ReferentialAction:
    name = str(text or "NO_ACTION").upper().replace(" ", "_")
    return cast("ReferentialAction", name if name in ("CASCADE", "SET_NULL", "SET_DEFAULT") else "NO_ACTION")


def _check(row: Row, column_names: dict[tuple[int, int], str], descriptions: Descriptions) -> Check:
    return Check(
        name=str(row["name"]),
        definition=_definition(row),
        column=column_names.get((row["parent_object_id"], row["parent_column_id"])),
        disabled=bool(row["is_disabled"]),
        not_trusted=bool(row["is_not_trusted"]),
        description=descriptions.of(row["object_id"]),
    )


def _temporal(number: object) -> Literal["none", "history", "versioned"]:
    """sys.tables.temporal_type: 1 is a history table, 2 a system-versioned one."""
    return "history" if number == 1 else "versioned" if number == 2 else "none"
