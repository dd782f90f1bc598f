"""Rows of the catalog queries: how they are grouped, and how the ids in them become types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ...model import AliasType, Loss, SqlType

Row = dict[str, Any]
Schemas = frozenset[str] | None
"""The schemas that are wanted; None for all."""


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
            and is_wanted(row["schema_name"], schemas)
        )

    def losses(self, schemas: Schemas) -> list[Loss]:
        """Types that are not carried, by name: table types, and CLR types, whose values become text."""
        return [
            Loss(f"{row['schema_name']}.{row['name']}", text)
            for row in sorted(self._types.values(), key=lambda row: (str(row["schema_name"]), str(row["name"])))
            if row["is_user_defined"] and is_wanted(row["schema_name"], schemas)
            for wanted, text in (
                (row["is_table_type"], "table type: PostgreSQL has none"),
                (row["is_assembly_type"], "CLR type: its columns become text"),
            )
            if wanted
        ]

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


def is_wanted(schema: object, schemas: Schemas) -> bool:
    return schemas is None or schema in schemas


def grouped(rows: Iterable[Row], key: str) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


def by_name(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["name"]))
