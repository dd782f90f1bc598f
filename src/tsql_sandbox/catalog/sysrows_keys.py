"""Rows of the catalog views of indexes, constraints and sizes."""

from __future__ import annotations

from collections.abc import Iterator

from .model import (
    CheckConstraint,
    DefaultConstraint,
    ForeignKey,
    Index,
    Module,
    Table,
)
from .session import CatalogSession
from .sysrows import Row, object_row, of_kind

_INDEX_TYPES = {
    "HEAP": 0,
    "CLUSTERED": 1,
    "NONCLUSTERED": 2,
    "XML": 3,
    "SPATIAL": 4,
    "CLUSTERED COLUMNSTORE": 5,
    "NONCLUSTERED COLUMNSTORE": 6,
    "NONCLUSTERED HASH": 7,
}
_ACTIONS = {"NO_ACTION": 0, "CASCADE": 1, "SET_NULL": 2, "SET_DEFAULT": 3}
PAGE = 8192


def _with_indexes(session: CatalogSession) -> Iterator[tuple[Table | Module, Index]]:
    for item in session.sight.objects():
        if isinstance(item, Table | Module):
            for index in item.indexes:
                yield item, index


def _is_heap(item: Table) -> bool:
    return not any(index.kind in ("CLUSTERED", "CLUSTERED COLUMNSTORE") for index in item.indexes)


def indexes(session: CatalogSession) -> Iterator[Row]:
    """sys.indexes, heaps included."""
    for table in session.sight.tables():
        if _is_heap(table):
            yield {"object_id": table.object_id, "index_id": 0, "type": 0, "type_desc": "HEAP", "data_space_id": 1}
    for item, index in _with_indexes(session):
        yield {
            "object_id": item.object_id,
            "name": index.name,
            "index_id": index.index_id,
            "type": _INDEX_TYPES[index.kind],
            "type_desc": index.kind,
            "is_unique": int(index.unique),
            "data_space_id": 1,
            "ignore_dup_key": int(index.ignore_dup_key),
            "is_primary_key": int(index.primary),
            "is_unique_constraint": int(index.constraint is not None and not index.primary),
            "fill_factor": index.fill_factor,
            "is_disabled": int(index.disabled),
            "allow_row_locks": 1,
            "allow_page_locks": 1,
            "has_filter": int(index.filter is not None),
            "filter_definition": index.filter if session.sight.defines(item) else None,
        }


def index_columns(session: CatalogSession) -> Iterator[Row]:
    """sys.index_columns."""
    for item, index in _with_indexes(session):
        columnstore = index.kind.endswith("COLUMNSTORE")
        keys = [(column_id, descending, False) for column_id, descending in index.columns]
        included = [(column_id, False, True) for column_id in index.included]
        if columnstore and not keys:
            keys = [(column.column_id, False, False) for column in item.columns]
        for number, (column_id, descending, is_included) in enumerate([*keys, *included], 1):
            yield {
                "object_id": item.object_id,
                "index_id": index.index_id,
                "index_column_id": number,
                "column_id": column_id,
                "key_ordinal": 0 if is_included or columnstore else number,
                "partition_ordinal": 0,
                "is_descending_key": int(descending),
                "is_included_column": int(is_included or columnstore),
                "column_store_order_ordinal": 0,
            }


def _indexes_of(session: CatalogSession, kind: str) -> Iterator[Row]:
    return (row for row in indexes(session) if row["type_desc"] == kind)


def xml_indexes(session: CatalogSession) -> Iterator[Row]:
    """sys.xml_indexes."""
    return (
        {**row, "xml_index_type": 0, "xml_index_type_description": "PRIMARY_XML"} for row in _indexes_of(session, "XML")
    )


def spatial_indexes(session: CatalogSession) -> Iterator[Row]:
    """sys.spatial_indexes."""
    return ({**row, "spatial_index_type": 1} for row in _indexes_of(session, "SPATIAL"))


def fulltext_indexes(session: CatalogSession) -> Iterator[Row]:
    """sys.fulltext_indexes."""
    for table in session.sight.tables():
        if table.fulltext is not None:
            yield {"object_id": table.object_id, "unique_index_id": table.fulltext[0], "is_enabled": 1}


def fulltext_index_columns(session: CatalogSession) -> Iterator[Row]:
    """sys.fulltext_index_columns."""
    for table in session.sight.tables():
        for column_id in table.fulltext[1] if table.fulltext is not None else ():
            yield {"object_id": table.object_id, "column_id": column_id, "language_id": 1033}


def key_constraints(session: CatalogSession) -> Iterator[Row]:
    """sys.key_constraints."""
    for _, index in _with_indexes(session):
        if index.constraint is not None:
            yield {**object_row(index.constraint), "unique_index_id": index.index_id, "is_enforced": 1}


def foreign_keys(session: CatalogSession) -> Iterator[Row]:
    """sys.foreign_keys."""
    for item in of_kind(session, ForeignKey):
        yield {
            **object_row(item),
            "referenced_object_id": item.referenced_id,
            "key_index_id": item.key_index_id,
            "is_disabled": int(item.disabled),
            "is_not_for_replication": int(item.not_for_replication),
            "is_not_trusted": int(item.not_trusted),
            "delete_referential_action": _ACTIONS[item.on_delete],
            "delete_referential_action_desc": item.on_delete,
            "update_referential_action": _ACTIONS[item.on_update],
            "update_referential_action_desc": item.on_update,
        }


def foreign_key_columns(session: CatalogSession) -> Iterator[Row]:
    """sys.foreign_key_columns."""
    for item in of_kind(session, ForeignKey):
        for number, (own, referenced) in enumerate(item.columns, 1):
            yield {
                "constraint_object_id": item.object_id,
                "constraint_column_id": number,
                "parent_object_id": item.parent_id,
                "parent_column_id": own,
                "referenced_object_id": item.referenced_id,
                "referenced_column_id": referenced,
            }


def check_constraints(session: CatalogSession) -> Iterator[Row]:
    """sys.check_constraints."""
    for item in of_kind(session, CheckConstraint):
        yield {
            **object_row(item),
            "is_disabled": int(item.disabled),
            "is_not_for_replication": int(item.not_for_replication),
            "is_not_trusted": int(item.not_trusted),
            "parent_column_id": item.column_id,
            "definition": item.definition if session.sight.defines(item) else None,
        }


def default_constraints(session: CatalogSession) -> Iterator[Row]:
    """sys.default_constraints."""
    for item in of_kind(session, DefaultConstraint):
        if not item.parent_id:
            continue  # Made by CREATE DEFAULT ("sys.default_constraints").
        shown = item.definition if session.sight.defines(item) else None
        yield {**object_row(item), "parent_column_id": item.column_id, "definition": shown}


def partitions(session: CatalogSession) -> Iterator[Row]:
    """sys.partitions: one a heap or index, with the rows it has now. Every user sees all of them, as of the pages."""
    for table in session.database.tables():
        count = session.row_count(table)
        numbers = [index.index_id for index in table.indexes if index.kind not in ("XML", "SPATIAL")]
        for number in ([0] if _is_heap(table) else []) + numbers:
            yield {
                "partition_id": table.object_id * 1000 + number,
                "object_id": table.object_id,
                "index_id": number,
                "partition_number": 1,
                "hobt_id": table.object_id * 1000 + number,
                "rows": count,
                "filestream_filegroup_id": 0,
                "data_compression": 0,
                "data_compression_desc": "NONE",
            }


def allocation_units(session: CatalogSession) -> Iterator[Row]:
    """sys.allocation_units: pages estimated from the rows and the widths of the columns."""
    for table in session.database.tables():
        width = sum(100 if c.type.length < 0 else min(c.type.length, 100) for c in table.columns) + 10
        pages = session.row_count(table) * width // PAGE + 1
        number = 0 if _is_heap(table) else 1
        yield {
            "allocation_unit_id": table.object_id * 1000 + number,
            "type": 1,
            "type_desc": "IN_ROW_DATA",
            "container_id": table.object_id * 1000 + number,
            "data_space_id": 1,
            "total_pages": pages,
            "used_pages": pages,
            "data_pages": pages,
        }
