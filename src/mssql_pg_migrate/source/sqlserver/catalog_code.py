"""Sequences, views, routines, triggers and synonyms from the rows of the catalog queries. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ...model import Loss, Module, Sequence
from .catalog_build import TableParts
from .catalog_properties import Descriptions, property_losses
from .catalog_types import Row, Schemas, TypeTable, grouped, is_wanted

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


def build_sequences(
    rows: Iterable[Row], types: TypeTable, descriptions: Descriptions, schemas: Schemas, losses: list[Loss]
) -> tuple[Sequence, ...]:
    """The sequences of the wanted schemas. Adds to ``losses`` those whose values the login may not see."""
    found: list[Sequence] = []
    for row in rows:
        if not is_wanted(row["schema_name"], schemas):
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
                description=descriptions.of(row["object_id"]),
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
    descriptions = parts.descriptions
    tool = descriptions.tool_objects
    tables = {row["object_id"]: f"{row['schema_name']}.{row['name']}" for row in parts.tables}
    modules = list(modules)
    parents = tables | {row["object_id"]: f"{row['schema_name']}.{row['name']}" for row in modules}
    indexed = {row["object_id"] for row in parts.indexes}
    columns = {
        object_id: sorted(rows, key=lambda one: int(one["column_id"]))
        for object_id, rows in grouped(view_columns, "object_id").items()
    }
    found = [
        Module(
            schema=str(row["schema_name"]),
            name=str(row["name"]),
            kind=_MODULE_KINDS[str(row["type"]).strip()],
            definition=row["definition"],
            parent=parents.get(row["parent_object_id"]),
            schema_bound=bool(row["is_schema_bound"]),
            columns=tuple(str(one["name"]) for one in columns.get(row["object_id"], ())),
            indexed=str(row["type"]).strip() == "V" and row["object_id"] in indexed,
            description=descriptions.of(row["object_id"]),
            column_descriptions=_column_descriptions(columns.get(row["object_id"], ()), descriptions),
        )
        for row in modules
        if row["object_id"] not in tool and is_wanted(row["schema_name"], schemas)
    ]
    found += [
        Module(
            schema=str(row["schema_name"]),
            name=str(row["name"]),
            kind="synonym",
            definition=row["base_object_name"],
            description=descriptions.of(row["object_id"]),
        )
        for row in synonyms
        if is_wanted(row["schema_name"], schemas)
    ]
    found += [Module(schema="", name=str(row["name"]), kind="trigger") for row in database_triggers]
    return tuple(sorted(found, key=lambda one: (one.schema, one.name, one.kind)))


def _column_descriptions(columns: Iterable[Row], descriptions: Descriptions) -> tuple[str | None, ...]:
    texts = tuple(descriptions.of(one["object_id"], int(one["column_id"])) for one in columns)
    return texts if any(texts) else ()


def property_losses_of(
    parts: TableParts, modules: Iterable[Row], sequences: Iterable[Row], database: str, schemas: Schemas
) -> list[Loss]:
    """Extended properties that become no comment (`catalog_properties.property_losses`)."""
    schema_of = {row["object_id"]: row["schema_name"] for row in (*parts.tables, *modules, *sequences)}
    views = {row["object_id"] for row in modules if _MODULE_KINDS[str(row["type"]).strip()] == "view"}
    constraints = {row["object_id"]: row["parent_object_id"] for row in (*parts.key_constraints, *parts.foreign_keys)}
    constraints |= {row["object_id"]: row["parent_object_id"] for row in parts.checks}
    defaults = {row["object_id"]: row["parent_object_id"] for row in parts.defaults}
    for object_id, parent in (constraints | defaults).items():
        schema_of.setdefault(object_id, schema_of.get(parent))
    kinds = {row["object_id"]: f"{_MODULE_KINDS[str(row['type']).strip()]}s" for row in modules}
    return property_losses(
        parts.properties,
        database,
        described={*(row["object_id"] for row in (*parts.tables, *sequences)), *views, *constraints},
        unwanted={object_id for object_id, schema in schema_of.items() if schema and not is_wanted(schema, schemas)},
        kinds={**kinds, **dict.fromkeys(defaults, "defaults")},
    )
