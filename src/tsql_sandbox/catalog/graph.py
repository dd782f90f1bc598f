"""The pseudo-columns of node and edge tables."""

from __future__ import annotations

from ..values import sqltypes as st
from ..values.text import literal as quoted
from .database import Database
from .model import Column, Table

GRAPH_ID, ROW_ID, FROM_ID, FROM_OBJECT, FROM, TO_ID, TO_OBJECT, TO = range(1, 9)
"""graph_type of sys.columns."""
_NODE = (("graph_id", "bigint", GRAPH_ID), ("$node_id", "nvarchar", ROW_ID))
_EDGE = (
    ("graph_id", "bigint", GRAPH_ID),
    ("$edge_id", "nvarchar", ROW_ID),
    ("from_obj_id", "int", FROM_OBJECT),
    ("from_id", "bigint", FROM_ID),
    ("$from_id", "nvarchar", FROM),
    ("to_obj_id", "int", TO_OBJECT),
    ("to_id", "bigint", TO_ID),
    ("$to_id", "nvarchar", TO),
)


def add_columns(table: Table) -> None:
    """Give a node or edge table its pseudo-columns; those that are no JSON are hidden."""
    suffix = f"{table.object_id:032X}"
    for name, kind, number in _NODE if table.graph == "NODE" else _EDGE:
        sized = st.make(kind, 1000) if kind == "nvarchar" else st.make(kind)
        column = Column(f"{name}_{suffix}", sized, table.next_column_id, graph_type=number)
        column.nullable = kind == "nvarchar"
        column.hidden = kind != "nvarchar"
        table.next_column_id += 1
        table.columns.append(column)


def can_be_inserted(column: Column) -> bool:
    """Whether an INSERT may name the column: of the pseudo-columns only the ends of an edge."""
    return column.graph_type in (None, FROM, TO)


def value(database: Database, table: Table, column: Column) -> str:
    """SQL for a pseudo-column that an INSERT fills, over staged rows `s` numbered by `rn`."""
    kind = column.graph_type
    if kind in (FROM, TO):
        return f"CAST(NULL AS {column.type.storage})"
    if kind in (FROM_ID, FROM_OBJECT, TO_ID, TO_OBJECT):
        end = next(c for c in table.columns if c.graph_type == (FROM if kind in (FROM_ID, FROM_OBJECT) else TO))
        if kind in (FROM_ID, TO_ID):
            return f"CAST(regexp_extract(s.{end.physical}, '\"id\":([0-9]+)', 1) AS BIGINT)"
        cases = " ".join(
            f"WHEN s.{end.physical} LIKE {quoted('%' + _place(database, node) + '%')} THEN {node.object_id}"
            for node in database.tables()
            if node.graph == "NODE"
        )
        return f"CAST(CASE {cases or 'WHEN false THEN 0'} ELSE 0 END AS INTEGER)"
    identifier = f"(SELECT coalesce(max({table.columns[0].physical}), -1) FROM {table.physical}) + rn"
    if kind == GRAPH_ID:
        return f"CAST({identifier} AS BIGINT)"
    head = f'{{"type":"{table.graph.lower()}",{_place(database, table)},"id":'
    return f"{quoted(head)} || CAST({identifier} AS VARCHAR) || '}}'"


def _place(database: Database, table: Table) -> str:
    return f'"schema":"{database.schemas[table.schema_id]}","table":"{table.name}"'
