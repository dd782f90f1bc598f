"""The trial of what PostgreSQL will compute, over rows of the source: the last thing a plan does.

A computed column that comes out differently becomes a plain one with the source's values, a check that does not hold is
not carried, and the plan says so with one row as an example. What was found is kept in the run's ledger: a resumed run
goes on with the same columns, whatever its own sample would say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import DataError, TransferError, TransientError
from ..mapping.objects import MappedTable, Note
from ..mapping.options import MappingOptions
from ..model import Catalog
from ..source.reader import tuples
from ..source.source import SourceSession
from ..target.ledger import Ledger
from ..target.refusals import Refusals, without
from ..target.sampled import RefusedRows, SampleTrial, TimeUp, Trial, sampled, trials
from ..target.verify import trial_of
from ..transfer.plan import TablePlan

if TYPE_CHECKING:
    import psycopg

    from ..config.models import MigrationConfig

SECONDS = 10.0
"""For all tables together."""
_SECONDS_PER_TABLE = 3.0
_NAMED = 3


@dataclass(slots=True)
class _Found:
    """Clauses on what comes out differently, by the full names of tables and the names of their objects."""

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    checks: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def add(self, table: str, trial: Trial, clause: str) -> None:
        kind = self.columns if trial.kind == "column" else self.checks
        kind.setdefault(table, {})[trial.name] = clause

    def applied(self, plan: TablePlan) -> TablePlan:
        """The table's plan as what was found has it; adds to the notes."""
        source = plan.table.source
        columns, checks = self.columns.get(source.full_name, {}), self.checks.get(source.full_name, {})
        if not columns and not checks:
            return plan
        refusals = Refusals(
            columns={(source.schema, source.name, name): clause for name, clause in columns.items()},
            checks={(source.schema, source.name, name): clause for name, clause in checks.items()},
        )
        kept = json.dumps({"columns": columns, "checks": checks})
        return replace(plan, table=without(plan.table, refusals, self.notes), trial=kept)


def as_before(
    target: psycopg.Connection[Any], ledger: Ledger, plans: Sequence[TablePlan]
) -> tuple[list[TablePlan], list[Note]]:
    """The plans with what the run's first attempt found, by its ledger."""
    entries = {entry.target: entry for entry in ledger.tables(target).values()}
    found = _Found()
    for plan in plans:
        entry = entries.get(plan.table.full_name)
        if entry is not None and entry.trial:
            kept = json.loads(entry.trial)
            found.columns[plan.table.source.full_name] = kept["columns"]
            found.checks[plan.table.source.full_name] = kept["checks"]
    return [found.applied(plan) for plan in plans], found.notes


def try_rows(
    source: SourceSession,
    target: psycopg.Connection[Any],
    catalog: Catalog,
    options: MappingOptions,
    plans: Sequence[TablePlan],
    migration: MigrationConfig,
    readable: Collection[str],
) -> tuple[list[TablePlan], list[Note]]:
    """The plans, those of tables that the run makes without what comes out differently over sampled rows of each.

    ``readable`` names the source's tables that nothing speaks against. Takes SECONDS at most; tables it has no time for
    are named. Raises TransientError, ConnectionFailed.
    """
    wanted = {
        plan.table.source.full_name: tried
        for plan in plans
        if plan.built and plan.table.source.full_name in readable and (tried := trials(plan.table))
    }
    if not wanted or migration.preflight_sample == 0:
        return list(plans), []
    found = _Found()
    late: list[str] = []
    needed = trial_of(catalog, replace(options, selected=frozenset(wanted), create_views=False))
    with SampleTrial(target, needed, _SECONDS_PER_TABLE).session() as trial:
        end = time.monotonic() + SECONDS
        for table in trial.tables:
            tried = _same(trials(table), wanted[table.source.full_name])
            left = end - time.monotonic()
            if left <= 0:
                late.append(table.source.full_name)
                continue
            try:
                _try_table(source, trial, table, tried, found, migration, left)
            except TimeUp:
                late.append(table.source.full_name)
    found.notes.extend(_not_tried(late))
    return [found.applied(plan) for plan in plans], found.notes


def _same(tried: Sequence[Trial], wanted: Sequence[Trial]) -> tuple[Trial, ...]:
    """Without what PostgreSQL has refused before."""
    left = {(trial.kind, trial.name) for trial in wanted}
    return tuple(trial for trial in tried if (trial.kind, trial.name) in left)


def _try_table(
    source: SourceSession,
    trial: SampleTrial,
    table: MappedTable,
    tried: Sequence[Trial],
    found: _Found,
    migration: MigrationConfig,
    seconds: float,
) -> None:
    """Raises TimeUp, and errors that concern more than this table."""
    name = table.source.full_name
    try:
        while tried:
            reduced = sampled(table, tried)
            try:
                data = _sample(source, reduced, migration, min(seconds, _SECONDS_PER_TABLE))
            except DataError as error:
                left = tuple(item for item in tried if item.kind != "column" or item.name != error.column)
                if len(left) == len(tried):
                    raise
                tried = left  # no plain column could hold these values either
                text = f"computed column: PostgreSQL computes other values in some rows: {error.message}"
                found.notes.append(Note("warning", f"{name}.{error.column}", text))
                continue
            for difference in trial.compare(reduced, tried, tuples(data)):
                found.add(name, difference.trial, difference.clause)
            break
    except (TransferError, LookupError, RefusedRows) as error:
        if isinstance(error, TransferError) and error.retryable:
            raise
        text = f"its computed columns and checks were not tried on rows of the source: {error.args[0]}"
        found.notes.append(Note("info", name, text))


def _sample(source: SourceSession, table: MappedTable, migration: MigrationConfig, seconds: float) -> bytes:
    """Rows of the table; asked again once, as what is only tried must not fail a run by a deadlock."""
    try:
        return source.sample(table, migration.preflight_sample, on_nul=migration.on_nul, seconds=seconds)
    except TransientError:
        return source.sample(table, migration.preflight_sample, on_nul=migration.on_nul, seconds=seconds)


def _not_tried(late: Sequence[str]) -> list[Note]:
    if not late:
        return []
    named = ", ".join(late[:_NAMED]) + (f" and {len(late) - _NAMED} more" if len(late) > _NAMED else "")
    text = f"{named}: there was no time to try their computed columns and checks on rows of the source"
    return [Note("info", "preflight_sample", text)]
