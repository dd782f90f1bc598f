"""Which tables a run carries, in which order, and into how many ranges each is cut."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from ..config.models import MigrationConfig
from ..config.tuning import Tuning
from ..errors import SchemaError
from ..mapping.folding import fold
from ..mapping.objects import NO_PRIMARY_KEY, MappedDatabase, MappedTable, Note
from ..target.ledger import Action

WIDE_ROW_BYTES = 500
"""From this average row on, a table's size rather than its row count says whether it is large."""

SHARE_BYTES = 32 * 1024 * 1024
"""Size of the smallest range that a table is cut into for the balance of the run."""
SHARES_PER_CORE = 8


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table of the run."""

    table_id: int
    display: str
    """Name in events, state file and messages: the source table's, with its schema where that is needed."""
    table: MappedTable
    action: Action
    max_ranges: int
    """1: one range, the whole table."""
    min_rows_per_range: int
    unlogged: bool
    """Rows go to an unlogged table."""
    restore_logged: bool
    """The table is to be logged again once its rows are there."""
    resumable: bool = True
    """Whether an interrupted table goes on from its last chunk; else it begins again."""
    level: int = 0
    """Tables of a level wait for those of lower levels (foreign keys of existing tables in upsert mode)."""
    partitioned: bool = False
    """The target has it as a partitioned table."""
    trial: str = ""
    """What a sample of rows found, as JSON (see `jobs.sampling`): a resumed run keeps to it."""

    @property
    def built(self) -> bool:
        """Whether this run makes the table, and so its keys, indexes and constraints too."""
        return self.action in ("create", "recreate", "create_merge")

    @property
    def merges(self) -> bool:
        """Whether rows are merged into what is there (upsert) rather than copied into an empty table."""
        return self.action in ("merge", "create_merge")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run will do. ``tables`` is in transfer order; ``notes`` name all that does not arrive as it was."""

    mode: str
    source: str
    target: str
    database: MappedDatabase
    tables: tuple[TablePlan, ...]
    notes: tuple[Note, ...]
    tuning: Tuning
    suspended: tuple[tuple[str, str, str], ...] = ()
    """Foreign keys of existing tables set aside during the load: (schema, table, constraint)."""
    refused: tuple[tuple[str, str], ...] = ()
    """Tables left out by ``on_refused_table: skip``: their names as ``TablePlan.display``, and why."""

    @property
    def errors(self) -> tuple[Note, ...]:
        """Notes that refuse the run."""
        return tuple(note for note in self.notes if note.severity == "error")

    @property
    def warnings(self) -> list[str]:
        """What a run says before it touches anything, folded: what a dropped table takes along, for example."""
        return [line.text() for line in fold(self.notes) if line.severity == "warning"]

    def table_errors(self) -> dict[str, list[Note]]:
        """Errors that concern one table only, by its source name; none when another error refuses the run anyway."""
        names = {plan.table.source.full_name for plan in self.tables}
        found: dict[str, list[Note]] = {}
        for note in self.errors:
            table = table_of(note.object, names)
            if table is None:
                return {}
            found.setdefault(table, []).append(note)
        return found

    def _way_out(self) -> str | None:
        """How the tables that are not refused can be carried."""
        refused = self.table_errors()
        if not refused or len(refused) >= len(self.tables):
            return None
        patterns = ", ".join(json.dumps(re.sub(r"([\[*?])", r"[\1]", name), ensure_ascii=False) for name in refused)
        return f"to carry the others: exclude_tables: [{patterns}] under migration, or on_refused_table: skip"

    def refuse_errors(self) -> None:
        """Raise SchemaError when a note refuses the run."""
        if self.errors:
            listed = "\n".join(f"  {note.object}: {note.message}" for note in self.errors)
            first = self.errors[0]
            keyless = any(note.message.endswith(NO_PRIMARY_KEY) for note in self.errors)
            hint = (
                "add a primary key to the source table, exclude it, or use target_mode: truncate" if keyless else None
            )
            hint = "\n  ".join(line for line in (hint, self._way_out()) if line is not None) or None
            if len(self.errors) == 1:
                raise SchemaError(f"{first.object}: {first.message}", table=first.object, hint=hint)
            raise SchemaError(f"{len(self.errors)} problems prevent the run; nothing was changed:\n{listed}", hint=hint)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--output-json``."""
        return {
            "mode": self.mode,
            "source": self.source,
            "target": self.target,
            "tables": [_table_dict(plan) for plan in self.tables],
            "views": [f"{view.schema}.{view.name}" for view in self.database.views],
            "sequences": [f"{sequence.schema}.{sequence.name}" for sequence in self.database.sequences],
            "notes": [
                {"severity": note.severity, "object": note.object, "message": note.message} for note in self.notes
            ],
            "refused": [{"table": table, "reason": reason} for table, reason in self.refused],
            "tuning": self.tuning.to_dict(),
        }


def table_of(name: str, tables: Collection[str]) -> str | None:
    """The table whose part a note's object is: ``dbo.t``, ``dbo.t.c``, ``dbo.t index i``; None when it is of none."""
    while name not in tables:
        end = max(name.rfind("."), name.rfind(" "))
        if end <= 0:
            return None
        name = name[:end]
    return name


def _table_dict(plan: TablePlan) -> dict[str, Any]:
    table = plan.table
    return {
        "source": table.source.full_name,
        "target": table.full_name,
        "action": plan.action,
        "estimated_rows": table.source.row_estimate,
        "estimated_bytes": table.source.size_bytes,
        "max_ranges": plan.max_ranges,
        "range_key": [column.name for column in table.range_key.columns] if table.range_key else None,
        "resumable": plan.resumable,
        "unlogged": plan.unlogged,
        "columns": [
            {
                "source": column.source.name,
                "source_type": str(column.source.type),
                "target": column.name,
                "target_type": column.pg_type,
                "nullable": column.nullable,
                "copied": column.copied,
                "lossy": column.lossy,
            }
            for column in table.columns
        ],
        "primary_key": [column.name for column in table.primary_key.columns] if table.primary_key else None,
        "indexes": [index.name for index in table.indexes if plan.built],
        "unique_keys": [key.name for key in table.unique_keys if plan.built],
        "foreign_keys": [key.name for key in table.foreign_keys if plan.built],
        "checks": [check.name for check in table.checks if plan.built],
    }


def display_names(tables: tuple[MappedTable, ...]) -> dict[tuple[str, str], str]:
    """Per (source schema, table): the bare name where all tables are of one schema, ``schema.name`` otherwise."""
    schemas = {table.source.schema for table in tables}
    return {
        (table.source.schema, table.source.name): table.source.name if len(schemas) == 1 else table.source.full_name
        for table in tables
    }


def range_count(rows: int, size_bytes: int | None, migration: MigrationConfig, max_partitions: int) -> int:
    """How many ranges a table is cut into: 1 up to ``large_table_threshold`` rows.

    Wide tables count by size: with rows of more than 500 bytes on average the threshold is compared with the number
    of 500-byte rows that the table's bytes would make, so that one wide table is not the long tail of the run.
    """
    weight = max(rows, size_bytes // WIDE_ROW_BYTES if size_bytes else 0)
    if weight <= migration.large_table_threshold or rows < 2 * migration.min_rows_per_partition:
        return 1
    return max(1, min(max_partitions, rows // migration.min_rows_per_partition))


def cut_for_balance(plans: list[TablePlan], migration: MigrationConfig, cores: int) -> list[TablePlan]:
    """Cut also tables below ``large_table_threshold`` that hold more than one of ``2 * cores`` equal shares of all
    bytes: whole, such a table would be the only one left at the end. Not where the threshold is configured."""
    if "large_table_threshold" in migration.model_fields_set:
        return plans
    share = max(sum(map(_weight, plans)) / (SHARES_PER_CORE * cores), SHARE_BYTES)
    balanced = []
    for plan in plans:
        ranges = min(round(_weight(plan) / share), migration.max_partitions)
        if plan.resumable and plan.max_ranges == 1 and ranges > 1:
            least = min(plan.min_rows_per_range, max(1, plan.table.source.row_estimate // ranges))
            plan = replace(plan, max_ranges=ranges, min_rows_per_range=least)
        balanced.append(plan)
    return balanced


def transfer_order(plans: list[TablePlan]) -> list[TablePlan]:
    """Largest first within a level, so that no large table is left to run alone at the end."""
    return sorted(plans, key=lambda plan: (plan.level, -_weight(plan), plan.display))


def _weight(plan: TablePlan) -> int:
    source = plan.table.source
    return source.size_bytes if source.size_bytes is not None else source.row_estimate * 100


def foreign_key_levels(edges: dict[int, set[int]]) -> tuple[dict[int, int], set[tuple[int, int]]]:
    """Order tables so that referenced ones come first.

    ``edges`` maps a table to those it references. Returns the level per table (0: references none) and the edges
    ``(from, to)`` that close a cycle, self-references included: their constraints cannot hold while rows arrive.
    """
    level: dict[int, int] = {}
    cyclic: set[tuple[int, int]] = set()
    state: dict[int, int] = {}

    for root in sorted(edges):
        if root in state:
            continue
        stack: list[tuple[int, list[int]]] = [(root, sorted(edges.get(root, ())))]
        state[root] = 1
        while stack:
            node, targets = stack[-1]
            if not targets:
                stack.pop()
                state[node] = 2
                reached = [
                    level[target] + 1
                    for target in edges.get(node, ())
                    if target in level and (node, target) not in cyclic
                ]
                level[node] = max(reached, default=0)
                continue
            target = targets.pop()
            if state.get(target) == 1:
                cyclic.add((node, target))
            elif target not in state:
                state[target] = 1
                stack.append((target, sorted(edges.get(target, ()))))
    return level, cyclic
