"""Making target tables ready for rows: dropped and made anew, emptied, or kept; foreign keys set aside meanwhile.

Each function works inside the caller's transaction or one statement, so that the ledger's entry and the change it
describes are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import SchemaError
from ..mapping.objects import MappedTable
from .ddl import qualified, quote_ident, relation
from .ledger import Ledger

if TYPE_CHECKING:
    import psycopg


def empty_table(connection: psycopg.Connection[Any], table: MappedTable) -> None:
    """TRUNCATE one table; waits for writers of an earlier attempt."""
    connection.execute(f"TRUNCATE TABLE {relation(table)}")


def empty_tables(connection: psycopg.Connection[Any], tables: Sequence[MappedTable]) -> None:
    """TRUNCATE several tables in one statement (they may reference one another)."""
    if tables:
        connection.execute(f"TRUNCATE TABLE {', '.join(relation(table) for table in tables)}")


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something outside the run that DROP TABLE ... CASCADE takes along."""

    table: str
    description: str


def dependents(connection: psycopg.Connection[Any], tables: Sequence[MappedTable]) -> list[Dependent]:
    """Views, materialized views and foreign keys of other tables that depend on existing target tables."""
    names = [relation(table) for table in tables]
    rows = connection.execute(
        "WITH selected AS (SELECT to_regclass(name)::oid AS oid FROM unnest(%s::text[]) AS name"
        " WHERE to_regclass(name) IS NOT NULL)"
        " SELECT DISTINCT d.refobjid::regclass::text,"
        " CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass::text"
        " FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
        " JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')"
        " WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM selected)"
        " UNION"
        " SELECT c.confrelid::regclass::text, format('foreign key %%s of table %%s', c.conname, c.conrelid::regclass)"
        " FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid IN (SELECT oid FROM selected)"
        " AND c.conrelid NOT IN (SELECT oid FROM selected) ORDER BY 1, 2",
        (names,),
    ).fetchall()
    return [Dependent(row[0], row[1]) for row in rows]


def refuse_outside_references(connection: psycopg.Connection[Any], tables: Sequence[MappedTable]) -> None:
    """Raise SchemaError when a table that is not emptied references one that is: TRUNCATE would not be allowed."""
    outside = [item for item in dependents(connection, tables) if item.description.startswith("foreign key")]
    if outside:
        listed = "; ".join(f"{item.description} references {item.table}" for item in outside[:10])
        raise SchemaError(
            f"cannot empty tables that others reference: {listed}",
            hint="include those tables in the run, drop the constraints, or use target_mode: upsert",
        )


def foreign_keys_between(
    connection: psycopg.Connection[Any], tables: Sequence[MappedTable]
) -> list[tuple[str, str, str, str, str]]:
    """Existing foreign keys from one of the tables to one of them.

    Each as (schema, table, constraint, referenced schema, referenced table).
    """
    names = [relation(table) for table in tables]
    rows = connection.execute(
        "SELECT n.nspname, t.relname, c.conname, rn.nspname, r.relname"
        " FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
        " JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace"
        " WHERE c.contype = 'f' AND c.conparentid = 0"
        " AND c.conrelid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)"
        " AND c.confrelid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY 1, 2, 3",
        (names, names),
    ).fetchall()
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


def suspend_foreign_key(
    connection: psycopg.Connection[Any], ledger: Ledger, schema: str, table: str, constraint: str
) -> None:
    """Drop a foreign key after entering its definition in the ledger; call inside a transaction."""
    target = qualified(schema, table)
    connection.execute(
        f"INSERT INTO {ledger.name('_mpm_constraint')} (target_schema, target_table, name, definition, validated)"
        " SELECT %s, %s, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE conrelid = to_regclass(%s) AND conname = %s ON CONFLICT DO NOTHING",
        (schema, table, target, constraint),
    )
    connection.execute(f"ALTER TABLE {target} DROP CONSTRAINT IF EXISTS {quote_ident(constraint)}")


def restore_foreign_keys(connection: psycopg.Connection[Any], *, ledger: Ledger, validate: bool) -> list[str]:
    """Put back what ``suspend_foreign_key`` took away; returns problems as sentences.

    Each constraint is added NOT VALID (new rows are checked from then on) and leaves the ledger in the same
    transaction; with ``validate`` those that were valid before are validated, and stay NOT VALID if rows violate them.
    """
    import psycopg

    problems = []
    rows = connection.execute(
        "SELECT target_schema, target_table, name, definition, validated"
        f" FROM {ledger.name('_mpm_constraint')} ORDER BY 1, 2, 3"
    ).fetchall()
    for schema, table, name, definition, validated in rows:
        target = qualified(schema, table)
        suffix = "" if definition.rstrip().endswith("NOT VALID") else " NOT VALID"
        label = f"foreign key {name} of {schema}.{table}"
        try:
            with connection.transaction():
                connection.execute(f"ALTER TABLE {target} ADD CONSTRAINT {quote_ident(name)} {definition}{suffix}")
                connection.execute(
                    f"DELETE FROM {ledger.name('_mpm_constraint')}"
                    " WHERE target_schema = %s AND target_table = %s AND name = %s",
                    (schema, table, name),
                )
        except psycopg.errors.DuplicateObject:
            connection.execute(
                f"DELETE FROM {ledger.name('_mpm_constraint')}"
                " WHERE target_schema = %s AND target_table = %s AND name = %s",
                (schema, table, name),
            )
        except psycopg.errors.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            problems.append(f"{label} could not be put back: {error.diag.message_primary}; it was: {definition}")
            continue
        if validate and validated:
            try:
                connection.execute(f"ALTER TABLE {target} VALIDATE CONSTRAINT {quote_ident(name)}")
            except psycopg.errors.ForeignKeyViolation as error:
                problems.append(
                    f"{label} is violated by the rows that arrived ({error.diag.message_detail});"
                    " it is left NOT VALID: new rows are checked, present ones are not"
                )
    return problems
