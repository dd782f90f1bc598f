"""Rows from all over a table in one statement: every n-th row of pages chosen at random."""

from __future__ import annotations

from ...mapping.objects import MappedTable
from ...model import Table
from .query import order_by
from .tsql import qualified_name, quote_name

_PAGE = 8192
_ROWS_PER_PAGE = 100
"""Assumed where the server does not tell a table's size."""
_PAGES_SAMPLED = 100
"""At least: of few pages TABLESAMPLE may choose none."""
_DENSITY = 4
"""Rows of the sampled pages for each one that is taken."""
MOST_SAMPLED = 0.3
"""A sample of more than this part of the table is no cheaper than reading all of it."""


def spread(table: MappedTable, rows: int) -> str | None:
    """About ``rows`` rows of the table as a relation with its columns; None where these are all of its rows.

    Microsoft, "FROM clause plus JOIN, APPLY, PIVOT": TABLESAMPLE SYSTEM names a part of the pages.
    """
    source = table.source
    if source.row_estimate <= rows:
        return None
    name = qualified_name(source.schema, source.name)
    part = max(_PAGES_SAMPLED / pages(source, source.row_estimate), _DENSITY * rows / source.row_estimate)
    percent = max(round(part * 100, 4), 0.0001) if part < MOST_SAMPLED else 100.0
    sample = f" TABLESAMPLE SYSTEM ({percent:.4f} PERCENT)" if percent < 100.0 else ""
    step = round(source.row_estimate * percent / 100 / rows)
    if step < 2:
        return f"{name}{sample}"
    columns = dict.fromkeys(column.source.name for column in table.copied_columns)
    order = "(SELECT NULL)"
    if table.range_key is not None:
        columns |= dict.fromkeys(part.name for part in table.range_key.columns)
        order = order_by(table.range_key)
    inner = ", ".join(map(quote_name, columns))
    ranked = f"SELECT {inner}, ROW_NUMBER() OVER (ORDER BY {order}) AS [_mpm_rank] FROM {name}{sample}"
    return f"(SELECT {inner} FROM ({ranked}) AS r WHERE r.[_mpm_rank] % {step} = 0) AS q"


def pages(table: Table, rows: int) -> float:
    """The pages of a table, at least one; ``rows`` counts where the server does not tell its size."""
    return max(1.0, table.size_bytes / _PAGE if table.size_bytes else rows / _ROWS_PER_PAGE)
