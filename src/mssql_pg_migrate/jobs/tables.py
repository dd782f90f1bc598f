"""What a run would do to the target's tables, and what keeps it from doing so: asked by the plan and by health-check.

Reads the target's catalog, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedDatabase, MappedTable, Note
from ..mapping.rowsize import MAX_ROW, row_size
from ..target.access import Needs, closed_schemas, missing_abilities, table_problem
from ..target.ddl import has_identity
from ..target.fit import KINDS, check_fit
from ..target.inspect import ExistingTable, Namesakes, read_existing, read_namesakes
from ..target.ledger import Action, Ledger, LedgerTable
from ..target.losses import own_things
from ..target.prepare import dependents, foreign_keys_between, refuse_outside_references, unvalidated_constraints
from ..transfer.plan import TablePlan, display_names, foreign_key_levels, range_count
from .relevant import views_to_create

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config
    from ..state import Part


@dataclass(frozen=True, slots=True)
class TargetSide:
    """``database`` has its tables as they fit those that are there; ``plans`` is in its order."""

    database: MappedDatabase
    plans: tuple[TablePlan, ...]
    suspended: tuple[tuple[str, str, str], ...]
    """Constraints of existing tables to be set aside: (schema, table, constraint)."""
    notes: tuple[Note, ...]


def look_at_target(
    config: Config, target: psycopg.Connection[Any], database: MappedDatabase, *, only: Part | None = None
) -> TargetSide:
    """Decide what happens to each table of the mapped database. Raises SchemaError, psycopg errors."""
    mode = config.migration.target_mode
    notes: list[Note] = []
    closed = closed_schemas(target, database.schemas)
    existing = read_existing(target, database.tables)
    begun = _unfinished_tables(target, database.schemas)
    names = display_names(database.tables)
    plans: list[TablePlan] = []
    for table in database.tables:
        found = existing.get((table.schema, table.name))
        fitted, fit_notes = _fit(found, table, mode, begun.get(table.full_name), data_only=only == "data")
        notes.extend(fit_notes)
        entry = begun.get(table.full_name)
        plans.append(_plan_table(config, fitted, found, entry, len(plans), names, only=only))
    database = replace(database, tables=tuple(plan.table for plan in plans))
    if not closed:
        views = () if only == "data" else views_to_create(target, database, plans, replace=mode == "drop_recreate")
        database = replace(database, views=views)
    suspended: tuple[tuple[str, str, str], ...] = ()
    if not closed:
        plans, suspended = respect_foreign_keys(target, mode, plans)
    if only == "schema":
        suspended = ()
    needs = _needs(database, plans, only)
    notes = [*(Note("error", "target", text) for text in missing_abilities(target, needs)), *notes]
    notes.extend(_missing_rights(plans, existing, {item[:2] for item in suspended}, moves_rows=only != "schema"))
    notes.extend(_namesakes(plans, existing, read_namesakes(target, database.tables)))
    if only != "schema":
        notes.extend(_too_wide(database.tables))
    if not closed:
        notes.extend(_consequences(target, plans))
    return TargetSide(database, tuple(plans), suspended, tuple(notes))


def _needs(database: MappedDatabase, plans: Iterable[TablePlan], only: Part | None) -> Needs:
    creates = {database.schemas[0], *(plan.table.schema for plan in plans if plan.built)}
    if only != "data":
        creates |= {sequence.schema for sequence in database.sequences}
    if any(plan.built for plan in plans):
        creates |= {view.schema for view in database.views}
    return Needs(
        schemas=database.schemas,
        creates_in=creates,
        extensions=() if only == "data" else database.extensions,
        stages=only != "schema" and any(plan.merges for plan in plans),
    )


def _too_wide(tables: Iterable[MappedTable]) -> Iterator[Note]:
    """Tables of which no row fits PostgreSQL's page, and those of which a row may not."""
    for table in tables:
        size = row_size(table)
        if size.least > MAX_ROW:
            text = f"every row takes at least {size.least:,} bytes in its page, PostgreSQL's hold {MAX_ROW:,}"
            yield Note("error" if table.source.row_estimate else "warning", table.source.full_name, text)
        elif size.most > MAX_ROW:
            text = (
                f"a row may take {size.most:,} bytes in its page, PostgreSQL's hold {MAX_ROW:,} (long values are moved"
                " out, numbers, times and short texts are not): one that takes more fails the table, and is named"
            )
            yield Note("warning", table.source.full_name, text)


def _consequences(target: psycopg.Connection[Any], plans: list[TablePlan]) -> Iterator[Note]:
    """What dropping and emptying takes along. Raises SchemaError for what TRUNCATE does not allow."""
    dropped = [plan.table for plan in plans if plan.action in ("create", "recreate")]
    for item in dependents(target, dropped):
        yield Note("warning", item.table, f"dropping it also drops {item.description}")
    for table, things in own_things(target, [plan.table for plan in plans if plan.action == "recreate"]):
        yield Note("warning", table.source.full_name, f"dropping {table.full_name} loses what it has: {things}")
    emptied = [plan.table for plan in plans if plan.action == "truncate"]
    if emptied:
        # Those that an unfinished run made are made anew before any other is emptied.
        refuse_outside_references(target, emptied, [plan.table for plan in plans if plan.built])


def _namesakes(
    plans: Iterable[TablePlan], existing: dict[tuple[str, str], ExistingTable], found: Namesakes
) -> Iterator[Note]:
    """Names that PostgreSQL will not let have, and names that are easily taken for those of the run."""
    for plan in plans:
        place = (plan.table.schema, plan.table.name)
        if place in existing:
            continue
        kind = found.types.get(place)
        if kind is not None:
            text = f"{plan.table.full_name} is {kind} (a type) in the target, and a table needs a type of its name"
            yield Note("error", plan.table.source.full_name, f"{text}: drop or rename it first")
        for other in found.others.get(place, ()):
            text = f'the target has "{other}", which is another table: "{plan.table.name}" is made beside it'
            yield Note("warning", plan.table.source.full_name, f"{text} (see identifier_case)")


_NEEDED: dict[Action, frozenset[str]] = {
    "create": frozenset({"DROP"}),  # an unfinished run made it
    "recreate": frozenset({"DROP"}),
    "truncate": frozenset({"TRUNCATE", "INSERT"}),
    "merge": frozenset({"SELECT", "INSERT", "UPDATE"}),
    "create_merge": frozenset({"OWN"}),
}


def _missing_rights(
    plans: list[TablePlan],
    existing: dict[tuple[str, str], ExistingTable],
    suspended: set[tuple[str, str]],
    *,
    moves_rows: bool,
) -> Iterator[Note]:
    """What the target user may not do with tables that are there: told before the first of them is dropped."""
    for plan in plans:
        name = (plan.table.schema, plan.table.name)
        found = existing.get(name)
        if found is None:
            continue
        needed = _NEEDED[plan.action] if moves_rows or plan.built else frozenset()
        if name in suspended or (plan.restore_logged and not plan.built):
            needed |= {"OWN"}
        fed = moves_rows and not plan.built and any(has_identity(column) for column in plan.table.columns)
        if fed:
            needed |= {"SELECT"}  # the greatest value, past which the sequence goes on
        problem = table_problem(found, needed, fed=fed)
        if problem is not None:
            yield Note("error", plan.table.source.full_name, problem)


def unfinished_run(target: psycopg.Connection[Any], schemas: Sequence[str]) -> str | None:
    """The id of the run whose ledger is in the (first) schema; None as well where the role may not look."""
    if closed_schemas(target, schemas):
        return None
    current = Ledger(schemas[0], "").current_run(target)
    return None if current is None else current[0]


def _unfinished_tables(target: psycopg.Connection[Any], schemas: Sequence[str]) -> dict[str, LedgerTable]:
    """What an unfinished run, perhaps the one to be resumed, has begun to do with tables, by target name.

    A table it had not come to yet is the user's, as it stands.
    """
    run = unfinished_run(target, schemas)
    if run is None:
        return {}
    entries = Ledger(schemas[0], run).tables(target).values()
    return {entry.target: entry for entry in entries if not entry.untouched}


def _half_built(begun: LedgerTable | None) -> bool:
    """Whether a table is there only because an unfinished run made it: bare, its keys and defaults still due."""
    return begun is not None and begun.action in ("create", "recreate", "create_merge")


def _fit(
    existing: ExistingTable | None, table: MappedTable, mode: str, begun: LedgerTable | None, *, data_only: bool
) -> tuple[MappedTable, list[Note]]:
    name = table.source.full_name
    if existing is None:
        if data_only:
            return table, [Note("error", name, f"target table {table.full_name} does not exist")]
        return table, []
    if not data_only and (mode == "drop_recreate" or (mode == "truncate" and _half_built(begun))):
        if existing.kind not in ("r", "p"):
            what = KINDS.get(existing.kind, "not a table")
            text = f"{existing.full_name} is {what} in the target: drop or rename it first"
            return table, [Note("error", name, text)]
        return table, []
    half_built = mode == "upsert" and _half_built(begun) and not data_only
    fit = check_fit(existing, table, "upsert" if mode == "upsert" and not half_built else "truncate")
    notes = [
        *(Note("error", name, problem) for problem in fit.problems),
        *(Note("warning", name, warning) for warning in fit.warnings),
    ]
    return (table if half_built else fit.table), notes


def _plan_table(
    config: Config,
    table: MappedTable,
    existing: ExistingTable | None,
    begun: LedgerTable | None,
    table_id: int,
    names: dict[tuple[str, str], str],
    *,
    only: Part | None,
) -> TablePlan:
    migration = config.migration
    mode = migration.target_mode
    action: Action
    if existing is None or (_half_built(begun) and mode != "drop_recreate" and only != "data"):
        action = "create" if mode != "upsert" else "create_merge"
    elif mode == "drop_recreate" and only != "data":
        action = "recreate"
    elif mode == "upsert" or only == "schema":
        action = "merge"  # kept as it is
    else:
        action = "truncate"
    # An earlier run may have made it unlogged for the load; only what the user chose stays so.
    chosen = existing is not None and existing.unlogged and not (begun is not None and begun.restore_logged)
    unlogged = migration.use_unlogged_tables and mode != "upsert" and only != "schema"
    if existing is not None and action == "truncate":
        unlogged = (unlogged or chosen) and not existing.referenced_by_logged and existing.kind == "r"
    elif action in ("merge", "create_merge"):
        unlogged = chosen
    return TablePlan(
        table_id=table_id,
        display=names[(table.source.schema, table.source.name)],
        table=table,
        action=action,
        max_ranges=range_count(table.source.row_estimate, table.source.size_bytes, migration, migration.max_partitions),
        min_rows_per_range=migration.min_rows_per_partition,
        unlogged=unlogged,
        restore_logged=unlogged and not (action in ("truncate", "merge", "create_merge") and chosen),
        partitioned=existing is not None and existing.kind == "p" and action in ("truncate", "merge"),
    )


def respect_foreign_keys(
    target: psycopg.Connection[Any], mode: str, plans: list[TablePlan]
) -> tuple[list[TablePlan], tuple[tuple[str, str, str], ...]]:
    """Foreign keys of existing tables that stay: which are set aside, and in which order upsert takes the tables.

    truncate sets all of them aside (tables load side by side). upsert keeps them and loads referenced tables first;
    only those that close a cycle, self-references included, cannot hold meanwhile. Both set aside what is NOT VALID,
    checks too: the source's rows need not satisfy it.
    """
    # A table that an unfinished upsert made, and that is completed now, may have its foreign keys already.
    kept = [plan for plan in plans if plan.action in ("truncate", "merge", "create_merge")]
    found = foreign_keys_between(target, [plan.table for plan in kept])
    loose = unvalidated_constraints(target, [plan.table for plan in kept])
    if mode != "upsert":
        return plans, tuple(dict.fromkeys((*((schema, table, name) for schema, table, name, _, _ in found), *loose)))
    ids = {(plan.table.schema, plan.table.name): plan.table_id for plan in kept}
    edges: dict[int, set[int]] = {plan.table_id: set() for plan in plans}
    for schema, table, _, referenced_schema, referenced_table in found:
        edges[ids[schema, table]].add(ids[referenced_schema, referenced_table])
    levels, cyclic = foreign_key_levels(edges)
    closing = [
        (schema, table, name)
        for schema, table, name, referenced_schema, referenced_table in found
        if (ids[schema, table], ids[referenced_schema, referenced_table]) in cyclic
    ]
    suspended = tuple(dict.fromkeys((*closing, *loose)))
    return [replace(plan, level=levels.get(plan.table_id, 0)) for plan in plans], suspended
