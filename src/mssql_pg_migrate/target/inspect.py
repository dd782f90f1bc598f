"""What the target database already has: tables and their columns, keys, indexes and constraints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import SchemaError
from ..mapping.options import TargetAbilities
from .ddl import has_identity

if TYPE_CHECKING:
    import psycopg

    from ..mapping.objects import MappedTable


@dataclass(slots=True)
class BuiltObjects:
    """Indexes and constraints by table; keys are ``(schema, table, name)``."""

    indexes: set[tuple[str, str, str]] = field(default_factory=set)
    constraints: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    """Whether the constraint is validated."""

    def has_index(self, table: MappedTable, name: str) -> bool:
        """Whether the table has a valid index of that name."""
        return (table.schema, table.name, name) in self.indexes

    def has_constraint(self, table: MappedTable, name: str) -> bool:
        """Whether the table has a constraint of that name."""
        return (table.schema, table.name, name) in self.constraints

    def needs_validation(self, table: MappedTable, name: str) -> bool:
        """Whether the constraint is there but NOT VALID."""
        return self.constraints.get((table.schema, table.name, name)) is False

    def add_constraint(self, table: MappedTable, name: str, *, valid: bool) -> None:
        """Remember a constraint that was just created or validated."""
        self.constraints[table.schema, table.name, name] = valid


def read_built_objects(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> BuiltObjects:
    """The valid indexes and the constraints (but NOT NULL) of every table in those schemas."""
    found = BuiltObjects()
    names = list(schemas)
    for schema, table, name in connection.execute(
        "SELECT n.nspname, t.relname, i.relname FROM pg_catalog.pg_index x"
        " JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = ANY (%s) AND x.indisvalid",
        (names,),
    ):
        found.indexes.add((schema, table, name))
    for schema, table, name, valid in connection.execute(
        "SELECT n.nspname, t.relname, c.conname, c.convalidated FROM pg_catalog.pg_constraint c"
        " JOIN pg_catalog.pg_class t ON t.oid = c.conrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = ANY (%s)"
        # From PostgreSQL 18 on NOT NULL has constraints too, under names nobody chose.
        " AND c.contype <> 'n'",
        (names,),
    ):
        found.constraints[schema, table, name] = valid
    return found


@dataclass(frozen=True, slots=True)
class ExistingColumn:
    """One column of a table the target already has."""

    name: str
    base: str
    """pg_type.typname of the type, for a domain of the type beneath it: ``int4``, ``varchar``, ``numeric``."""
    typmod: int
    """As in pg_attribute: -1 where the type has no length or precision."""
    display: str
    """The declared type for people: ``character varying(50)``."""
    not_null: bool
    default: str | None
    """The default's expression; also that of a generated column."""
    identity: str
    """``a`` GENERATED ALWAYS, ``d`` BY DEFAULT, empty otherwise."""
    generated: bool


@dataclass(frozen=True, slots=True)
class ExistingUnique:
    """A unique index ON CONFLICT can use: valid, immediate, over plain columns, without a predicate."""

    name: str
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class ExistingTable:
    """A relation of the target under the name of a mapped table."""

    schema: str
    name: str
    kind: str
    """pg_class.relkind: ``r`` table, ``p`` partitioned table, ``v`` view, ``m`` materialized view, ``f`` foreign."""
    unlogged: bool
    referenced_by_logged: bool
    """Whether a foreign key of another, logged table refers to it: then it cannot become unlogged."""
    columns: tuple[ExistingColumn, ...]
    uniques: tuple[ExistingUnique, ...]
    triggers: tuple[str, ...] = ()
    """Enabled user triggers that rows coming in would fire."""
    owner: str = ""
    rights: frozenset[str] = frozenset()
    """What the session may do: ``OWN``, ``DROP`` (its own, or the schema's owner), TRUNCATE, INSERT, UPDATE, SELECT."""
    locked_sequences: tuple[str, ...] = ()
    """Sequences behind identity columns that the session may not set past the rows."""
    rules: tuple[str, ...] = ()
    """Its INSERT and UPDATE rules."""
    row_security: bool = False
    """Whether policies bind this session."""
    children: tuple[str, ...] = ()
    """Tables that inherit from it, partitions aside."""

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"


def read_existing(
    connection: psycopg.Connection[Any], tables: Sequence[MappedTable]
) -> dict[tuple[str, str], ExistingTable]:
    """The relations the target has under the names of mapped tables, by (schema, name)."""
    wanted = {(table.schema, table.name) for table in tables}
    found = connection.execute(
        "SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence = 'u',"
        " EXISTS (SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class r ON r.oid = k.conrelid"
        " WHERE k.confrelid = c.oid AND k.contype = 'f' AND r.relpersistence = 'p' AND r.oid <> c.oid),"
        " pg_catalog.pg_get_userbyid(c.relowner), ARRAY[CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN 'OWN' END,"
        " CASE WHEN pg_has_role(c.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE') THEN 'DROP' END,"
        " CASE WHEN has_table_privilege(c.oid, 'TRUNCATE') THEN 'TRUNCATE' END,"
        " CASE WHEN has_any_column_privilege(c.oid, 'INSERT') THEN 'INSERT' END,"
        " CASE WHEN has_any_column_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END,"
        " CASE WHEN has_any_column_privilege(c.oid, 'SELECT') THEN 'SELECT' END],"
        # ev_type: 2 UPDATE, 3 INSERT.
        " ARRAY(SELECT rulename::text FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND ev_type IN ('2', '3')"
        " ORDER BY 1), c.relkind IN ('r', 'p') AND row_security_active(c.oid),"
        " ARRAY(SELECT i.inhrelid::regclass::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class h"
        " ON h.oid = i.inhrelid WHERE i.inhparent = c.oid AND NOT h.relispartition ORDER BY 1)"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY (%s) AND c.relname = ANY (%s)",
        (sorted({schema for schema, _ in wanted}), sorted({name for _, name in wanted})),
    ).fetchall()
    found = [row for row in found if (row[1], row[2]) in wanted]
    oids = [row[0] for row in found]
    with connection.pipeline():  # one round trip for the three
        asked = [connection.execute(question, (oids,)) for question in (_COLUMNS, _UNIQUES, _TRIGGERS)]
    columns: dict[int, list[ExistingColumn]] = defaultdict(list)
    for oid, *column in asked[0]:
        columns[oid].append(ExistingColumn(*column))
    uniques: dict[int, list[ExistingUnique]] = defaultdict(list)
    for oid, name, names in asked[1]:
        uniques[oid].append(ExistingUnique(name, frozenset(names)))
    triggers: dict[int, list[str]] = defaultdict(list)
    for oid, name in asked[2]:
        triggers[oid].append(name)
    locked = read_locked_sequences(connection, tables)
    return {
        (schema, name): ExistingTable(
            schema=schema,
            name=name,
            kind=kind,
            unlogged=unlogged,
            referenced_by_logged=referenced,
            columns=tuple(columns[oid]),
            uniques=tuple(uniques[oid]),
            triggers=tuple(triggers[oid]),
            owner=owner,
            rights=frozenset(right for right in rights if right is not None),
            locked_sequences=tuple(locked.get((schema, name), ())),
            rules=tuple(rules),
            row_security=secured,
            children=tuple(children),
        )
        for oid, schema, name, kind, unlogged, referenced, owner, rights, rules, secured, children in found
    }


@dataclass(slots=True)
class Namesakes:
    """What the target has beside the tables of a run, under a name that is theirs or almost theirs."""

    types: dict[tuple[str, str], str] = field(default_factory=dict)
    """Types that are no table's row type, in words, under the very name of a table."""
    others: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """By table: relations whose names differ from its own in upper and lower case only."""


def read_namesakes(connection: psycopg.Connection[Any], tables: Sequence[MappedTable]) -> Namesakes:
    """Types and relations in the way of, or easily taken for, the tables; keys are (schema, table)."""
    found = Namesakes()
    schemas, names = [table.schema for table in tables], [table.name for table in tables]
    if not tables:
        return found
    for schema, name, kind in connection.execute(
        "SELECT w.schema, w.name, t.typtype::text FROM unnest(%s::text[], %s::text[]) AS w (schema, name)"
        " JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"
        " JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = w.name"
        # Row types have a relation; array types, which PostgreSQL renames by itself, have an element type.
        " WHERE t.typrelid = 0 AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)",
        (schemas, names),
    ):
        found.types[schema, name] = {"e": "an enum", "d": "a domain", "r": "a range", "m": "a multirange"}.get(
            kind, "a base type"
        )
    wanted = set(zip(schemas, names, strict=True))
    for schema, name, other in connection.execute(
        "SELECT w.schema, w.name, c.relname FROM unnest(%s::text[], %s::text[]) AS w (schema, name)"
        " JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"
        " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname <> w.name"
        " AND lower(c.relname) = lower(w.name) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1, 2, 3",
        (schemas, names),
    ):
        if (schema, other) not in wanted:
            found.others[schema, name].append(other)
    return found


def read_locked_sequences(
    connection: psycopg.Connection[Any], tables: Sequence[MappedTable]
) -> dict[tuple[str, str], list[str]]:
    """The sequences behind identity columns for which setval is not granted, by the (schema, name) of their table."""
    fed = [
        (table.schema, table.name, column.name) for table in tables for column in table.columns if has_identity(column)
    ]
    locked: dict[tuple[str, str], list[str]] = defaultdict(list)
    if fed:
        for schema, name, sequence in connection.execute(
            _LOCKED_SEQUENCES, [list(names) for names in zip(*fed, strict=True)]
        ):
            locked[schema, name].append(sequence)
    return locked


_LOCKED_SEQUENCES = (
    "SELECT w.schema, w.name, format('%%I.%%I', o.nspname, s.relname)"
    " FROM unnest(%s::text[], %s::text[], %s::text[]) AS w (schema, name, column_name)"
    " JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema"
    " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.column_name"
    " JOIN pg_catalog.pg_depend d ON d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')"
    " AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.classid = 'pg_catalog.pg_class'::regclass"
    " JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
    " JOIN pg_catalog.pg_namespace o ON o.oid = s.relnamespace"
    # An index over the column depends on it in the same way, and is no sequence: CASE keeps the order of the two tests.
    " WHERE CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'UPDATE') END ORDER BY 1, 2, 3"
)
_COLUMNS = (
    "SELECT a.attrelid, a.attname, b.typname, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,"
    " pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull OR t.typnotnull,"
    " pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text <> ''"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END"
    " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE a.attrelid = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"
)
_UNIQUES = (
    "SELECT x.indrelid, i.relname, array_agg(a.attname::text) FROM pg_catalog.pg_index x"
    " JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid"
    " CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k (attnum, position)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum"
    " WHERE x.indrelid = ANY (%s) AND x.indisunique AND x.indisvalid AND x.indimmediate"
    " AND x.indpred IS NULL AND x.indexprs IS NULL AND k.position <= x.indnkeyatts"
    " GROUP BY x.indrelid, i.relname ORDER BY i.relname"
)
_TRIGGERS = (
    "SELECT tgrelid, tgname FROM pg_catalog.pg_trigger WHERE tgrelid = ANY (%s) AND NOT tgisinternal"
    " AND tgenabled IN ('O', 'A') ORDER BY tgname"
)


def read_abilities(connection: psycopg.Connection[Any]) -> TargetAbilities:
    """What the server can do, for the mapping (``MappingOptions.abilities``).

    Raises SchemaError for a database that is not in UTF8: it cannot even be asked about names and text.
    """
    from .connect import read_server_facts

    facts = read_server_facts(connection)
    if facts.encoding != "UTF8":
        raise SchemaError(
            f"the target database's encoding is {facts.encoding}: text arrives complete in UTF8 only",
            hint="create it with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
        )
    with connection.pipeline():  # one round trip for the three
        letters = connection.execute("SELECT lower('ÜÉЖ') = 'üéж', lower('I') <> 'i', upper('ß') <> 'ß'")
        extensions = connection.execute(
            "SELECT e.extname, n.nspname FROM pg_catalog.pg_extension e"
            " JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname IN ('citext', 'vector')"
        )
        available = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector')"
            " AND (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)"
        )
    row, installed, may_install = letters.fetchone(), extensions.fetchall(), available.fetchone()
    return TargetAbilities(
        version_num=facts.version_num,
        extensions=facts.extensions,
        extension_schemas=dict(installed),
        pgvector=any(name == "vector" for name, _ in installed) or (may_install is not None and bool(may_install[0])),
        icu=facts.icu,
        encoding=facts.encoding,
        folds_unicode=row is not None and bool(row[0]),
        turkic=row is not None and bool(row[1]),
        maps_whole_words=row is not None and bool(row[2]),
    )
