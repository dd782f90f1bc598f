"""Everything that is decided before anything is touched: catalog, mapping, fit of existing tables, ranges, limits.

Reads both servers, changes neither. Its result is what ``run`` carries out and what ``plan`` and ``--dry-run`` show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config.tuning import Tuning
from ..errors import ConfigError
from ..mapping.build import build
from ..mapping.objects import MappedDatabase, MappedTable, Note
from ..mapping.options import MappingOptions, TargetAbilities
from ..model import Catalog
from ..source.selection import idle_patterns, select_tables
from ..source.source import SourceSession
from ..sync.plan import planned_notes
from ..target.comments import with_allowed_comments
from ..target.inspect import read_abilities
from ..target.ledger import LEDGER_RELATIONS, Ledger
from ..target.taken import read_taken
from ..target.verify import verify
from ..transfer.plan import RunPlan, TablePlan, cut_for_balance, transfer_order
from .relevant import relevant_notes
from .sampling import as_before, try_rows
from .tables import TargetSide, look_at_target, unfinished_run

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
            f"no table of {config.source.label} ({wanted}) is selected",
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
    resumed: str | None = None,
) -> RunPlan:
    """Decide everything; see RunPlan. Raises ConfigError, SchemaError, ConnectionFailed.

    ``lock`` is called with the target schemas before their tables are looked at: what another run is about to change
    is no ground to plan on. With ``on_refused_table: skip`` tables that are refused are left out, and the plan is made
    again without them, as long as others remain. ``resumed`` is the id of the run that is to go on.
    """
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(read_abilities, target)  # while the source answers
        catalog, selected = read_source(config, source)
        abilities = asked.result()
    refused: dict[str, str] = {}
    while True:
        options = mapping_options(config, catalog, selected, abilities)
        plan = _plan_selected(config, tuning, source, target, catalog, options, only=only, lock=lock, resumed=resumed)
        errors = plan.table_errors()
        remaining = selected - set(errors)
        if config.migration.on_refused_table != "skip" or not errors or not remaining:
            break
        for name, found in errors.items():
            said = [note.message if note.object == name else f"{note.object}: {note.message}" for note in found]
            refused[name] = "; ".join(said)
        selected, lock = remaining, None
    if not refused:
        return plan
    shown = {plan.table.source.schema for plan in plan.tables} | {name.partition(".")[0] for name in refused}
    notes = [Note("not_carried", name, f"left out (on_refused_table: skip): {text}") for name, text in refused.items()]
    return replace(
        plan,
        notes=(*notes, *plan.notes),
        refused=tuple((name if len(shown) > 1 else name.partition(".")[2], text) for name, text in refused.items()),
    )


def _plan_selected(
    config: Config,
    tuning: Tuning,
    source: SourceSession,
    target: psycopg.Connection[Any],
    catalog: Catalog,
    options: MappingOptions,
    *,
    only: Part | None,
    lock: Callable[[tuple[str, ...]], None] | None,
    resumed: str | None,
) -> RunPlan:
    database = build(catalog, options)
    if lock is not None:
        lock(database.schemas)
    options, database = _freely_named(target, catalog, options, database)
    database = with_allowed_comments(target, verify(target, catalog, options, database), catalog.description)
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(lambda: list(_unreadable(source, database.tables)))  # while the target answers
        side = look_at_target(config, target, database, only=only)
        unreadable = asked.result()
    plans = [replace(plan, resumable=source.resumable(plan.table)) for plan in side.plans]
    notes = [
        *_relevant(catalog, database, side),
        *_selection(config, catalog, database),
        *unreadable,
    ]
    if config.sync is not None:
        facts = source.change_facts([table.source for table in database.tables])
        notes.extend(planned_notes(database.tables, facts, config.sync))
    notes += side.notes
    if only != "schema":
        notes += _collisions(config, source, [*_without_errors(plans, notes)])
    if resumed is not None and unfinished_run(target, database.schemas) == resumed:
        plans, tried = as_before(target, Ledger(database.schemas[0], resumed), plans)
    else:
        readable = {plan.table.source.full_name for plan in _without_errors(plans, notes)}
        plans, tried = try_rows(source, target, catalog, options, plans, config.migration, readable)
    notes += tried
    notes.extend(
        Note("info", plan.table.source.full_name, "has no key to resume by: interrupted, it begins again")
        for plan in plans
        if not plan.resumable
    )
    return RunPlan(
        mode=config.migration.target_mode,
        source=config.source.label,
        target=config.target.settings().label,
        database=replace(side.database, tables=tuple(plan.table for plan in plans)),
        tables=tuple(transfer_order(cut_for_balance(plans, config.migration, tuning.machine.cores))),
        notes=tuple(dict.fromkeys(notes)),
        tuning=tuning,
        suspended=side.suspended,
    )


def _relevant(catalog: Catalog, database: MappedDatabase, side: TargetSide) -> Iterator[Note]:
    """The mapping's notes, as far as they are on what this run does."""
    views = {f"{module.schema}.{module.name}" for module in catalog.modules if module.kind == "view"}
    created = {f"{view.source.schema}.{view.source.name}" for view in side.database.views}
    translated = {f"{view.source.schema}.{view.source.name}" for view in database.views}
    kept = translated - created if any(plan.built for plan in side.plans) else views
    return relevant_notes(database.notes, side.plans, all_views=views, kept_views=kept)


def _without_errors(plans: Iterable[TablePlan], notes: Iterable[Note]) -> Iterator[TablePlan]:
    refused = {note.object for note in notes if note.severity == "error"}
    yield from (plan for plan in plans if plan.table.source.full_name not in refused)


def _freely_named(
    target: psycopg.Connection[Any], catalog: Catalog, options: MappingOptions, database: MappedDatabase
) -> tuple[MappingOptions, MappedDatabase]:
    """The mapping with other names where the target has those of indexes, sequences or views for something else."""
    stopped_midway = unfinished_run(target, database.schemas) is not None
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
    config: Config, catalog: Catalog, selected: frozenset[str], abilities: TargetAbilities
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
        abilities=abilities,
    )


def _unreadable(source: SourceSession, tables: tuple[MappedTable, ...]) -> Iterator[Note]:
    """What cannot be read as it is: told before the target is prepared."""
    for obstacle in source.obstacles([table.source for table in tables]):
        yield Note("error", obstacle.name, obstacle.clause)


def _collisions(config: Config, source: SourceSession, plans: Iterable[TablePlan]) -> Iterator[Note]:
    """Primary keys that the target could not tell apart.

    upsert would lose rows without a word, a key that is there refuses them, and one that is to be made after the rows
    cannot be made.
    """
    for plan in plans:
        found = source.key_collision(plan.table, config.migration.on_nul)
        if found is None:
            continue
        name = plan.table.source.full_name
        if plan.merges or not plan.built:
            yield Note("error" if found.certain else "warning", name, found.message)
        else:
            yield Note("warning", name, found.message + "; the rows arrive, the primary key will not be there")
