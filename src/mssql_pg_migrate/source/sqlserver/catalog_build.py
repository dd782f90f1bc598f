"""Rows of the catalog queries put together into the model. Pure functions, no I/O.

A row is a dict by the query's column names (`catalog_sql`). Ids are compared with ids only: which number a type or a
table has differs from server to server.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ...model import (
    HIDDEN,
    AliasType,
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
    Module,
    ReferentialAction,
    Sequence,
    SqlType,
    Table,
)

Row = dict[str, Any]
Schemas = frozenset[str] | None

_PAGE = 8192
_DIAGRAM_TOOL = "microsoft_database_tools_support"
_MODULE_KINDS: dict[str, Literal["view", "procedure", "function", "trigger"]] = {
    "V": "view",
    "P": "procedure",
    "PC": "procedure",
    "FN": "function",
    "IF": "function",
    "TF": "function",
    "FS": "function",
    "FT": "function",
    "AF": "function",
    "TR": "trigger",
    "TA": "trigger",
}


class TypeTable:
    """``sys.types``: from the ids of a column to its system type."""

    def __init__(self, rows: Iterable[Row], code_pages: Iterable[Row] = ()) -> None:
        self._types = {row["user_type_id"]: row for row in rows}
        self._bases = {
            row["system_type_id"]: row for row in self._types.values() if row["user_type_id"] == row["system_type_id"]
        }
        self._code_pages: dict[str, int | None] = {row["collation_name"]: row["code_page"] for row in code_pages}

    def resolve(self, row: Row) -> SqlType:
        """The type of a column (or sequence) row: alias types by their base, CLR types by their own name."""
        declared = self._types.get(row["user_type_id"])
        base = self._bases.get(row["system_type_id"])
        if base is None or (declared is not None and (declared["is_assembly_type"] or _is_vector(declared))):
            base = declared
        name = str(base["name"]).lower() if base is not None else f"type {row['system_type_id']}"
        if name == "sysname":  # a base type of its own on a server that is PostgreSQL behind
            name = "nvarchar"
        alias = None
        if declared is not None and declared["is_user_defined"]:
            alias = f"{declared['schema_name']}.{declared['name']}"
            if declared["is_assembly_type"]:
                name = str(declared["name"])
        collation = row.get("collation_name")
        return SqlType(
            name=name,
            max_length=int(row.get("max_length") or 0),
            precision=int(row["precision"] or 0),
            scale=int(row["scale"] or 0),
            collation=collation,
            code_page=self._code_pages.get(collation) if collation else None,
            alias=alias,
            vector_base=row.get("vector_base_type_desc"),
        )

    def alias_types(self, schemas: Schemas) -> tuple[AliasType, ...]:
        """The alias types of the wanted schemas (no CLR types, no table types)."""
        return tuple(
            AliasType(
                schema=row["schema_name"], name=row["name"], base=self._base(row), nullable=bool(row["is_nullable"])
            )
            for row in sorted(self._types.values(), key=lambda row: (str(row["schema_name"]), str(row["name"])))
            if row["is_user_defined"]
            and not row["is_assembly_type"]
            and not row["is_table_type"]
            and _wanted(row["schema_name"], schemas)
        )

    def _base(self, row: Row) -> SqlType:
        base = self._bases.get(row["system_type_id"])
        return SqlType(
            name=str(base["name"]).lower() if base is not None else f"type {row['system_type_id']}",
            max_length=int(row["max_length"] or 0),
            precision=int(row["precision"] or 0),
            scale=int(row["scale"] or 0),
            collation=row["collation_name"],
        )


def _is_vector(declared: Row) -> bool:
    """Whether a type is SQL Server 2025's vector: a type of its own with the system_type_id of varbinary."""
    return not declared["is_user_defined"] and str(declared["name"]).lower() == "vector"


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

    def tool_objects(self) -> frozenset[int]:
        """Objects that the database diagram tool put into the database."""
        return frozenset(row["major_id"] for row in self.properties if row["name"] == _DIAGRAM_TOOL)


def build_tables(
    parts: TableParts, types: TypeTable, schemas: Schemas, notes: list[str], losses: list[Loss]
) -> tuple[Table, ...]:
    """The tables of the wanted schemas, by schema and name; what is left out is added to ``notes`` and ``losses``."""
    tool = parts.tool_objects()
    names = {row["object_id"]: (str(row["schema_name"]), str(row["name"])) for row in parts.tables}
    columns = _group(parts.columns, "object_id")
    column_names = {
        (object_id, row["column_id"]): str(row["name"]) for object_id, rows in columns.items() for row in rows
    }
    indexes = _IndexBuilder(parts, column_names)
    foreign_keys = _foreign_keys(parts, names, column_names, losses)
    checks = _group(parts.checks, "parent_object_id")
    fulltext = _group(parts.fulltext, "object_id")
    descriptions = _descriptions(parts)
    row_counts = {row["object_id"]: int(row["row_count"] or 0) for row in parts.rows}
    pages = {row["object_id"]: row["used_pages"] for row in parts.sizes}
    make_column = _column_maker(parts, types, descriptions)
    tables: list[Table] = []
    for row in sorted(parts.tables, key=lambda row: (str(row["schema_name"]), str(row["name"]))):
        object_id = row["object_id"]
        schema, name = names[object_id]
        if not _wanted(schema, schemas):
            continue
        if object_id in tool or name.lower() == "sysdiagrams":
            notes.append(f"{schema}.{name} belongs to the database diagram tool and is not migrated.")
            continue
        if row["is_dropped_ledger_table"]:
            notes.append(f"{schema}.{name} is a ledger table that was dropped; it is not migrated.")
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
                checks=tuple(_check(check, column_names) for check in _by_name(checks.get(object_id, ()))),
                fulltext=tuple(column_names.get((object_id, one["column_id"]), "") for one in fulltext[object_id]),
                row_estimate=max(0, row_counts.get(object_id, 0)),
                size_bytes=int(used) * _PAGE if used is not None else None,
                description=descriptions.get((object_id, 0)),
                temporal=_temporal(row["temporal_type"]),
                history_table=".".join(history) if history else None,
                graph="node" if row["is_node"] else "edge" if row["is_edge"] else "none",
                memory_optimized=bool(row["is_memory_optimized"]),
                external=bool(row["is_external"]),
                filetable=bool(row["is_filetable"]),
            )
        )
    return tuple(tables)


def _column_maker(
    parts: TableParts, types: TypeTable, descriptions: dict[tuple[int, int], str]
) -> Callable[[Row], Column]:
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
            description=descriptions.get(at),
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

    def __init__(self, parts: TableParts, column_names: dict[tuple[int, int], str]) -> None:
        self._indexes = _group(parts.indexes, "object_id")
        self._column_names = column_names
        self._columns: dict[tuple[int, int], list[Row]] = defaultdict(list)
        for row in parts.index_columns:
            self._columns[row["object_id"], row["index_id"]].append(row)
        self._constraints = {
            (row["parent_object_id"], row["unique_index_id"]): str(row["name"]) for row in parts.key_constraints
        }

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
        return Key(
            name=self._constraints.get(at) or str(row["name"]),
            columns=self._key_columns(row),
            primary=primary,
            clustered=row["type_desc"] == "CLUSTERED",
            disabled=bool(row["is_disabled"]),
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
    losses: list[Loss],
) -> dict[int, list[ForeignKey]]:
    pairs = _group(parts.foreign_key_columns, "constraint_object_id")
    found: dict[int, list[ForeignKey]] = defaultdict(list)
    for row in _by_name(parts.foreign_keys):
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
            )
        )
    return found


def _action(text: object) -> ReferentialAction:
    name = str(text or "NO_ACTION").upper().replace(" ", "_")
    return cast("ReferentialAction", name if name in ("CASCADE", "SET_NULL", "SET_DEFAULT") else "NO_ACTION")


def _check(row: Row, column_names: dict[tuple[int, int], str]) -> Check:
    return Check(
        name=str(row["name"]),
        definition=_definition(row),
        column=column_names.get((row["parent_object_id"], row["parent_column_id"])),
        disabled=bool(row["is_disabled"]),
        not_trusted=bool(row["is_not_trusted"]),
    )


def _temporal(number: object) -> Literal["none", "history", "versioned"]:
    """sys.tables.temporal_type: 1 is a history table, 2 a system-versioned one."""
    return "history" if number == 1 else "versioned" if number == 2 else "none"


def build_sequences(
    rows: Iterable[Row], types: TypeTable, schemas: Schemas, losses: list[Loss]
) -> tuple[Sequence, ...]:
    """The sequences of the wanted schemas. Adds to ``losses`` those whose values the login may not see."""
    found: list[Sequence] = []
    for row in rows:
        if not _wanted(row["schema_name"], schemas):
            continue
        values = [row[name] for name in ("start_value", "increment", "minimum_value", "maximum_value")]
        if any(value is None for value in values):
            text = "sequence: its definition is not visible to the login (GRANT VIEW DEFINITION)"
            losses.append(Loss(f"{row['schema_name']}.{row['name']}", text))
            continue
        start, increment, minimum, maximum = (int(value) for value in values)
        current, last = row["current_value"], row["last_used_value"]
        found.append(
            Sequence(
                schema=str(row["schema_name"]),
                name=str(row["name"]),
                type=types.resolve(row),
                start=start,
                increment=increment,
                minimum=minimum,
                maximum=maximum,
                cycle=bool(row["is_cycling"]),
                current=int(current) if current is not None else start,
                cache=int(row["cache_size"]) if row["cache_size"] is not None else None,
                last_used=int(last) if last is not None else None,
            )
        )
    return tuple(sorted(found, key=lambda one: (one.schema, one.name)))


def build_modules(
    modules: Iterable[Row],
    synonyms: Iterable[Row],
    view_columns: Iterable[Row],
    database_triggers: Iterable[Row],
    parts: TableParts,
    schemas: Schemas,
) -> tuple[Module, ...]:
    """Views, routines, triggers and synonyms of the wanted schemas; triggers on the database have no schema."""
    tool = parts.tool_objects()
    tables = {row["object_id"]: f"{row['schema_name']}.{row['name']}" for row in parts.tables}
    modules = list(modules)
    parents = tables | {row["object_id"]: f"{row['schema_name']}.{row['name']}" for row in modules}
    indexed = {row["object_id"] for row in parts.indexes}
    columns = _group(view_columns, "object_id")
    descriptions = _descriptions(parts)
    found = [
        Module(
            schema=str(row["schema_name"]),
            name=str(row["name"]),
            kind=_MODULE_KINDS[str(row["type"]).strip()],
            definition=row["definition"],
            parent=parents.get(row["parent_object_id"]),
            schema_bound=bool(row["is_schema_bound"]),
            columns=tuple(
                str(one["name"])
                for one in sorted(columns.get(row["object_id"], ()), key=lambda one: int(one["column_id"]))
            ),
            indexed=str(row["type"]).strip() == "V" and row["object_id"] in indexed,
            description=descriptions.get((row["object_id"], 0)),
        )
        for row in modules
        if row["object_id"] not in tool and _wanted(row["schema_name"], schemas)
    ]
    found += [
        Module(
            schema=str(row["schema_name"]),
            name=str(row["name"]),
            kind="synonym",
            definition=row["base_object_name"],
            description=descriptions.get((row["object_id"], 0)),
        )
        for row in synonyms
        if _wanted(row["schema_name"], schemas)
    ]
    found += [Module(schema="", name=str(row["name"]), kind="trigger") for row in database_triggers]
    return tuple(sorted(found, key=lambda one: (one.schema, one.name, one.kind)))


def _descriptions(parts: TableParts) -> dict[tuple[int, int], str]:
    """MS_Description by (object_id, column_id); column 0 is the object itself."""
    return {
        (row["major_id"], row["minor_id"]): str(row["value"])
        for row in parts.properties
        if row["name"] == "MS_Description" and row["value"] is not None
    }


def _wanted(schema: object, schemas: Schemas) -> bool:
    return schemas is None or schema in schemas


def _group(rows: Iterable[Row], key: str) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


def _by_name(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["name"]))
