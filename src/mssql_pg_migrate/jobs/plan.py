"""Everything that is decided before anything is touched: catalog, mapping, fit of existing tables, ranges, limits.

Reads both servers, changes neither. Its result is what ``run`` carries out and what ``plan`` and ``--dry-run`` show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config.tuning import Tuning
from ..errors import ConfigError
from ..mapping.build import build
from ..mapping.objects import MappedDatabase, MappedTable, Note
from ..mapping.options import MappingOptions
from ..model import Catalog
from ..source.selection import idle_patterns, select_tables
from ..source.source import SourceSession
from ..target.comments import with_allowed_comments
from ..target.ddl import has_identity
from ..target.fit import KINDS, check_fit
from ..target.inspect import ExistingTable, read_abilities, read_existing
from ..target.ledger import LEDGER_RELATIONS, Action, Ledger, LedgerTable
from ..target.prepare import dependents, foreign_keys_between, refuse_outside_references, unvalidated_constraints
from ..target.taken import read_taken
from ..target.verify import verify
from ..transfer.plan import (
    RunPlan,
    TablePlan,
    cut_for_balance,
    display_names,
    foreign_key_levels,
    range_count,
    transfer_order,
)

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config
    from ..state import Part


def read_source(config: Config, source: SourceSession) -> tuple[Catalog, frozenset[str]]:
    """The catalog of the configured schemas and the full names of the selected tables."""
    catalog = source.catalog(config.source.schemas)
    selected = select_tables(catalog.tables, config.migration.include_tables, config.migration.exclude_tables)
    if not selected:
        wanted = ", ".join(config.source.schemas or ["any schema"])
        raise ConfigError(
            f"no table of database {config.source.database} ({wanted}) is selected",
            hint="check source.schema, include_tables and exclude_tables, and the login's rights",
        )
    return catalog, frozenset(table.full_name for table in selected)


def make_plan(
    config: Config,
    tuning: Tuning,
    source: SourceSession,
    target: psycopg.Connection[Any],
    *,
    only: Part | None = None,
    lock: Callable[[tuple[str, ...]], None] | None = None,
) -> RunPlan:
    """Decide everything; see RunPlan. Raises ConfigError, SchemaError, ConnectionFailed.

    ``lock`` is called with the target schemas before their tables are looked at: what another run is about to change
    is no ground to plan on.
    """
    data_only = only == "data"
    catalog, selected = read_source(config, source)
    options = mapping_options(config, catalog, selected, target)
    database = build(catalog, options)
    if lock is not None:
        lock(database.schemas)
    unfinished = _unfinished_tables(target, database.schemas[0])
    options, database = _freely_named(target, catalog, options, database)
    database = with_allowed_comments(target, verify(target, catalog, options, database), catalog.description)
    mode = config.migration.target_mode
    names = display_names(database.tables)
    notes = [*database.notes, *_selection(config, catalog, database), *_unreadable(source, database.tables)]
    existing = read_existing(target, database.tables)
    plans: list[TablePlan] = []
    tables: list[MappedTable] = []
    for table in database.tables:
        found = existing.get((table.schema, table.name))
        begun = unfinished.get(table.full_name)
        fitted, fit_notes = _fit(found, table, mode, begun, data_only=data_only)
        notes.extend(fit_notes)
        tables.append(fitted)
        plan = _plan_table(config, fitted, found, begun, len(plans), names, only=only)
        plans.append(replace(plan, resumable=source.resumable(fitted)))
    database = replace(database, tables=tuple(tables))
    if mode == "upsert" and only != "schema":
        refused = {note.object for note in notes if note.severity == "error"}
        notes.extend(_collisions(config, source, [table for table in tables if table.source.full_name not in refused]))
    plans, suspended = respect_foreign_keys(target, mode, plans)
    if only == "schema":
        suspended = ()
    notes.extend(_missing_rights(plans, existing, {item[:2] for item in suspended}, moves_rows=only != "schema"))
    notes.extend(
        Note("warning", item.table, f"dropping it also drops {item.description}")
        for item in dependents(target, [plan.table for plan in plans if plan.action in ("create", "recreate")])
    )
    emptied = [plan.table for plan in plans if plan.action == "truncate"]
    if emptied:
        # Those that an unfinished run made are made anew before any other is emptied.
        refuse_outside_references(target, emptied, [plan.table for plan in plans if plan.built])
    notes.extend(
        Note("info", plan.table.source.full_name, "has no key to resume by: interrupted, it begins again")
        for plan in plans
        if not plan.resumable
    )
    return RunPlan(
        mode=mode,
        source=f"{config.source.host}:{config.source.port}/{config.source.database}",
        target=config.target.settings().label,
        database=database,
        tables=tuple(transfer_order(cut_for_balance(plans, config.migration, tuning.machine.cores))),
        notes=tuple(dict.fromkeys(notes)),
        tuning=tuning,
        suspended=suspended,
    )


def _freely_named(
    target: psycopg.Connection[Any], catalog: Catalog, options: MappingOptions, database: MappedDatabase
) -> tuple[MappingOptions, MappedDatabase]:
    """The mapping with other names where the target has those of indexes, sequences or views for something else."""
    stopped_midway = Ledger(database.schemas[0], "").current_run(target) is not None
    taken = read_taken(target, database, unfinished=stopped_midway)
    if not taken:
        return options, database
    options = replace(options, taken=taken)
    return options, build(catalog, options)


def _selection(config: Config, catalog: Catalog, database: MappedDatabase) -> Iterator[Note]:
    """Patterns that select nothing, and tables that cannot be selected."""
    for pattern in idle_patterns(catalog.tables, config.migration.include_tables):
        yield Note("warning", "include_tables", f"the pattern {pattern} matches no table")
    for table in database.tables:
        if table.name in LEDGER_RELATIONS:
            text = f"the name {table.name} is that of a table this tool keeps; exclude it"
            yield Note("error", table.source.full_name, text)


def mapping_options(
    config: Config, catalog: Catalog, selected: frozenset[str], target: psycopg.Connection[Any]
) -> MappingOptions:
    """The mapping's options from the configuration and the target's abilities."""
    migration = config.migration
    schemas = dict.fromkeys(table.schema for table in catalog.tables)
    return MappingOptions(
        schemas=config.schema_mapping(schemas),
        reserved=LEDGER_RELATIONS,
        mode=migration.target_mode,
        identifier_case=migration.identifier_case,
        collation=migration.collation,
        create_indexes=migration.create_indexes,
        create_foreign_keys=migration.create_foreign_keys,
        create_check_constraints=migration.create_check_constraints,
        create_views=migration.create_views,
        selected=selected,
        abilities=read_abilities(target),
    )


def _unreadable(source: SourceSession, tables: tuple[MappedTable, ...]) -> Iterator[Note]:
    """What cannot be read as it is: told before the target is prepared."""
    for obstacle in source.obstacles([table.source for table in tables]):
        yield Note("error", obstacle.name, obstacle.clause)


def _collisions(config: Config, source: SourceSession, tables: list[MappedTable]) -> Iterator[Note]:
    """Primary keys that the target could not tell apart: upsert would lose rows without a word."""
    for table in tables:
        found = source.key_collision(table, config.migration.on_nul)
        if found is not None:
            yield Note("error" if found.certain else "warning", table.source.full_name, found.message)


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
        missing = needed - found.rights
        if missing & {"OWN", "DROP"}:
            reason = f"must be owned by the target user, its owner is {found.owner}"
        elif missing:
            reason = f"the target user lacks {', '.join(sorted(missing))} on it"
        elif fed and found.locked_sequences:
            sequences = ", ".join(found.locked_sequences)
            reason = f"the target user may not set its identity past the rows: GRANT UPDATE ON SEQUENCE {sequences}"
        else:
            continue
        yield Note("error", plan.table.source.full_name, f"{found.full_name}: {reason}")


def _unfinished_tables(target: psycopg.Connection[Any], schema: str) -> dict[str, LedgerTable]:
    """What an unfinished run, perhaps the one to be resumed, has begun to do with tables, by target name.

    A table it had not come to yet is the user's, as it stands.
    """
    current = Ledger(schema, "").current_run(target)
    if current is None:
        return {}
    entries = Ledger(schema, current[0]).tables(target).values()
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
