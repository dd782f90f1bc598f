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


def settle(connection: psycopg.Connection[Any], full_name: str, *, logged: bool) -> bool:
    """Make a table LOGGED, if it shall be; False when there is none of that name (``schema.name``, unquoted)."""
    row = connection.execute(
        "SELECT n.nspname, c.relname, c.relpersistence = 'u' FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname = %s AND c.relkind IN ('r', 'p')",
        (full_name,),
    ).fetchone()
    if row is not None and row[2] and logged:
        connection.execute(f"ALTER TABLE {qualified(row[0], row[1])} SET LOGGED")
    return row is not None


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something outside the run that DROP TABLE ... CASCADE takes along."""

    table: str
    description: str


_DEPENDENTS = """
WITH RECURSIVE selected AS (
    SELECT to_regclass(name)::oid AS oid FROM unnest(%(names)s::text[]) AS name WHERE to_regclass(name) IS NOT NULL
), gone (root, class, object, part) AS (
    SELECT oid, 'pg_class'::regclass::oid, oid, 0 FROM selected
    UNION
    SELECT root, next.class, next.object, next.part FROM gone CROSS JOIN LATERAL (
        SELECT d.classid, d.objid, d.objsubid FROM pg_depend d
        WHERE d.refclassid = gone.class AND d.refobjid = gone.object AND (gone.part = 0 OR d.refobjsubid = gone.part)
        UNION ALL
        SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_depend d
        WHERE d.classid = gone.class AND d.objid = gone.object AND d.deptype = 'i' AND gone.part = 0
    ) AS next (class, object, part)
), named AS (
    SELECT gone.*, coalesce(c.oid, k.conrelid, t.tgrelid, p.polrelid, f.adrelid, r.ev_class) AS owner,
        coalesce(c.relkind, k.contype) AS kind, coalesce(t.tgisinternal, false) AS internal
    FROM gone LEFT JOIN pg_class c ON class = 'pg_class'::regclass AND c.oid = object
    LEFT JOIN pg_constraint k ON class = 'pg_constraint'::regclass AND k.oid = object
    LEFT JOIN pg_trigger t ON class = 'pg_trigger'::regclass AND t.oid = object
    LEFT JOIN pg_policy p ON class = 'pg_policy'::regclass AND p.oid = object
    LEFT JOIN pg_attrdef f ON class = 'pg_attrdef'::regclass AND f.oid = object
    LEFT JOIN pg_rewrite r ON class = 'pg_rewrite'::regclass AND r.oid = object
)
SELECT DISTINCT root::regclass::text, CASE
    WHEN kind = 'v' AND part = 0 THEN 'view ' || object::regclass
    WHEN kind = 'm' AND part = 0 THEN 'materialized view ' || object::regclass
    WHEN class = 'pg_constraint'::regclass AND kind = 'f'
        THEN format('foreign key %%s of table %%s', (SELECT conname FROM pg_constraint WHERE oid = object),
            owner::regclass)
    ELSE pg_describe_object(class, object, part) END
FROM named WHERE (
    class IN ('pg_proc'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_attrdef'::regclass,
        'pg_rewrite'::regclass)
    OR (class = 'pg_class'::regclass AND kind IN ('r', 'p', 'f', 'v', 'm'))
    OR (class = 'pg_constraint'::regclass AND kind IN ('f', 'c'))
) AND NOT internal AND (owner IS NULL OR owner NOT IN (SELECT oid FROM selected))
AND (class = 'pg_class'::regclass AND part = 0 OR owner IS NULL OR NOT EXISTS (
    SELECT 1 FROM gone whole WHERE whole.class = 'pg_class'::regclass AND whole.object = owner AND whole.part = 0))
ORDER BY 1, 2
"""
"""What DROP ... CASCADE follows: pg_depend from the tables on, and from a part to the whole it belongs to ("internal"
dependencies: a view's rule to the view). Parts of the tables themselves, and of objects listed whole, are left out."""


def dependents(connection: psycopg.Connection[Any], tables: Sequence[MappedTable]) -> list[Dependent]:
    """All that goes with existing target tables: views (of views), foreign keys of other tables, child tables, columns
    of their row type, functions, policies, rules, triggers, defaults drawn from their sequences."""
    names = [relation(table) for table in tables]
    rows = connection.execute(_DEPENDENTS, {"names": names}).fetchall() if names else []
    return [Dependent(row[0], row[1]) for row in rows]


def refuse_outside_references(
    connection: psycopg.Connection[Any], tables: Sequence[MappedTable], made: Sequence[MappedTable]
) -> None:
    """Raise SchemaError when a table that stays references one that is emptied: TRUNCATE would not be allowed.

    Tables ``made`` anew by the run are dropped first, and their foreign keys with them.
    """
    names = [relation(table) for table in tables]
    rows = connection.execute(
        "WITH selected AS (SELECT to_regclass(name)::oid AS oid FROM unnest(%s::text[]) AS name"
        " WHERE to_regclass(name) IS NOT NULL)"
        " SELECT format('foreign key %%s of table %%s references %%s', c.conname, c.conrelid::regclass,"
        " c.confrelid::regclass) FROM pg_constraint c WHERE c.contype = 'f'"
        " AND c.confrelid IN (SELECT oid FROM selected) AND c.conrelid NOT IN (SELECT oid FROM selected)"
        " AND c.conrelid <> ALL (SELECT to_regclass(name)::oid FROM unnest(%s::text[]) AS name"
        " WHERE to_regclass(name) IS NOT NULL) ORDER BY 1",
        (names, [relation(table) for table in made]),
    ).fetchall()
    if rows:
        raise SchemaError(
            f"cannot empty tables that others reference: {'; '.join(row[0] for row in rows[:10])}",
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


def unvalidated_constraints(
    connection: psycopg.Connection[Any], tables: Sequence[MappedTable]
) -> list[tuple[str, str, str]]:
    """Checks and foreign keys of the source that existing tables have NOT VALID: (schema, table, constraint).

    The source's rows need not satisfy them. Those of tables that belong to another role are left out.
    """
    wanted = [(relation(table), check.name) for table in tables for check in table.checks]
    wanted += [(relation(table), key.name) for table in tables for key in table.foreign_keys]
    rows = connection.execute(
        "SELECT n.nspname, t.relname, c.conname FROM unnest(%s::text[], %s::text[]) AS wanted (relation, name)"
        " JOIN pg_constraint c ON c.conrelid = to_regclass(wanted.relation) AND c.conname = wanted.name"
        " JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
        " WHERE c.contype IN ('c', 'f') AND NOT c.convalidated AND c.conparentid = 0 AND c.coninhcount = 0"
        " AND pg_has_role(t.relowner, 'USAGE') AND pg_get_constraintdef(c.oid) NOT LIKE '%%NOT ENFORCED'"
        " ORDER BY 1, 2, 3",
        ([item[0] for item in wanted], [item[1] for item in wanted]),
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def suspend_foreign_key(
    connection: psycopg.Connection[Any], ledger: Ledger, schema: str, table: str, constraint: str
) -> None:
    """Drop a foreign key or check after entering its definition in the ledger; call inside a transaction."""
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

    Each constraint is added NOT VALID (new rows are checked from then on); with ``validate`` those that were valid
    before are validated, and stay NOT VALID if rows violate them. Only then a constraint leaves the ledger, so that
    an interrupted call can be made again.
    """
    import psycopg

    problems = []
    for schema, table, name, definition, validated in ledger.constraints(connection):
        target = qualified(schema, table)
        suffix = "" if definition.rstrip().endswith("NOT VALID") else " NOT VALID"
        label = f"{'check' if definition.startswith('CHECK') else 'foreign key'} {name} of {schema}.{table}"
        try:
            with connection.transaction():
                connection.execute(f"ALTER TABLE {target} ADD CONSTRAINT {quote_ident(name)} {definition}{suffix}")
        except psycopg.errors.DuplicateObject:
            pass  # put back by an attempt that was interrupted before it could say so
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
        ledger.forget_constraint(connection, schema, table, name)
    return problems
