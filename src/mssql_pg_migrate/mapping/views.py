"""Views: translated where possible, in dependency order."""

from __future__ import annotations

from .context import Context
from .objects import MappedTable, MappedView


def map_views(context: Context, tables: list[MappedTable]) -> list[MappedView]:
    """Name every view that is not created, with the reason."""
    for module in context.catalog.modules:
        if module.kind == "view":
            context.note("not_carried", f"{module.schema}.{module.name}", "view: create_views is false")
    return []
