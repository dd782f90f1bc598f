"""Of what the mapping notes, that which this run will do: nothing about the structure of tables that stay."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..mapping.collation import notes_on_keys
from ..mapping.objects import MappedDatabase, MappedView, Note
from ..target.ddl import relation
from ..target.prepare import dependents
from ..transfer.plan import TablePlan, table_of

if TYPE_CHECKING:
    import psycopg

_OF_ROWS = re.compile(r"left out|masked|^(table|column) becomes")
"""What is said of the rows of a table: columns that are left out or have another name, values that are hidden."""


def views_to_create(
    target: psycopg.Connection[Any], database: MappedDatabase, plans: Iterable[TablePlan], *, replace: bool
) -> tuple[MappedView, ...]:
    """Those that a run with these tables creates: none without a table of its own, all that it may ``replace``.

    Otherwise those that the target does not have, or that go with a table which the run makes anew.
    """
    built = [plan.table for plan in plans if plan.built]
    if not built:
        return ()
    if replace or not database.views:
        return database.views
    going = {item.description for item in dependents(target, built)}
    rows = target.execute(
        "SELECT name, to_regclass(name)::text FROM unnest(%s::text[]) AS name",
        ([relation(view) for view in database.views],),
    )
    there = dict(rows.fetchall())
    return tuple(
        view for view in database.views if there[relation(view)] is None or f"view {there[relation(view)]}" in going
    )


def relevant_notes(
    notes: Iterable[Note],
    plans: Iterable[TablePlan],
    *,
    all_views: Collection[str],
    kept_views: Collection[str],
) -> Iterator[Note]:
    """The notes without those on keys, indexes, constraints and defaults of tables that stay, and on views that do.

    ``all_views`` are the source's views by name, ``kept_views`` those of them that the run will not create.
    """
    plans = list(plans)
    kept = {plan.table.source.full_name for plan in plans if not plan.built}
    if not kept:
        yield from (note for note in notes if _view_of(note, all_views) not in kept_views)
        return
    of_keys = notes_on_keys([plan.table for plan in plans])
    for note in notes:
        table = table_of(note.object, kept)
        if note in of_keys or _view_of(note, all_views) in kept_views:
            continue
        if table is None or note.severity in ("error", "lossy") or _is_of_rows(note, table):
            yield note
    yield from notes_on_keys([plan.table for plan in plans if plan.built])


def _is_of_rows(note: Note, table: str) -> bool:
    part = note.object[len(table) :]
    return not part.startswith(" ") and _OF_ROWS.search(note.message) is not None


def _view_of(note: Note, views: Collection[str]) -> str | None:
    """The view that a note is on, or on a column of which."""
    return table_of(note.object, views)
