"""Staged changes brought over in one transaction: whatever the source went through, the target is equal afterwards.

The source is a second schema of the same PostgreSQL with the same constraints, so every state that is tried is one
that a database can have; the changes are the difference of two states, as change tracking would give them.
"""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.errors import MigrationError, TransferError
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.model import Column, Table
from mssql_pg_migrate.sync.apply import Applied, apply
from mssql_pg_migrate.sync.statements import StagedTable, create_stage
from mssql_pg_migrate.target.relations import read_relations
from schema_samples import catalog, column, key, mapped, table


def optional(name: str) -> Column:
    """An int that may be NULL."""
    return column(name, "int", nullable=True)


def keyed(name: str, *columns: Column) -> Table:
    """A table whose first column is its primary key."""
    return table(name, *columns, primary_key=key(f"pk_{name}", columns[0].name, primary=True))


CATALOG = catalog(
    keyed("A", column("id", "int"), optional("b"), column("t", "nvarchar(20)")),
    keyed("B", column("id", "int"), optional("a"), column("u", "int")),
    keyed("C", column("x", "int"), column("y", "int"), optional("a"), optional("parent"), optional("n")),
)
TABLES = {item.name: item for item in mapped(CATALOG).tables}
DDL = """
CREATE TABLE {s}."A" (id int PRIMARY KEY, b int, t varchar(20) NOT NULL);
CREATE TABLE {s}."B" (id int PRIMARY KEY, a int REFERENCES {s}."A" ON DELETE CASCADE, u int NOT NULL UNIQUE);
ALTER TABLE {s}."A" ADD CONSTRAINT fk_ab FOREIGN KEY (b) REFERENCES {s}."B" {late};
CREATE TABLE {s}."C" (x int PRIMARY KEY, y int NOT NULL UNIQUE, a int REFERENCES {s}."A" ON DELETE SET NULL,
    parent int REFERENCES {s}."C" ON DELETE CASCADE, n int UNIQUE);
"""


def stage(connection: psycopg.Connection[Any], wanted: MappedTable, changes: list[tuple[Any, ...]]) -> StagedTable:
    """A staging table with those rows: operation, then the columns."""
    assert wanted.source.primary_key is not None
    staged = StagedTable(wanted, tuple(part.name for part in wanted.source.primary_key.columns), f"_s_{wanted.name}")
    connection.execute(create_stage(staged))
    places = ", ".join(["%s"] * (len(staged.columns) + 1))
    with connection.cursor() as cursor:
        cursor.executemany(f'INSERT INTO pg_temp."{staged.stage}" VALUES ({places})', changes)
    return staged


def rows(connection: psycopg.Connection[Any], schema: str, name: str) -> dict[Any, tuple[Any, ...]]:
    """The rows of a table by their key."""
    names = ", ".join(f'"{item.name}"' for item in TABLES[name].columns)
    return {row[0]: row for row in connection.execute(f'SELECT {names} FROM {schema}."{name}"')}


def difference(before: dict[Any, tuple[Any, ...]], after: dict[Any, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What change tracking would say of the way from one to the other."""
    changes = [("D", gone, *[None] * (len(row) - 1)) for gone, row in before.items() if gone not in after]
    return changes + [("U" if k in before else "I", *row) for k, row in after.items() if before.get(k) != row]


def carry(connection: psycopg.Connection[Any], **options: Any) -> dict[tuple[str, str], Applied]:
    """Bring ``public`` to the state of ``src`` as a pass does."""
    return carry_only(connection, *TABLES, **options)


def carry_only(connection: psycopg.Connection[Any], *names: str, **options: Any) -> dict[tuple[str, str], Applied]:
    """The same for some tables."""
    with connection.transaction():
        staged = []
        for name in names:
            wanted = TABLES[name]
            changes = difference(rows(connection, "public", name), rows(connection, "src", name))
            if changes:
                staged.append(stage(connection, wanted, changes))
        relations = read_relations(connection, [(item.schema, item.name) for item in TABLES.values()])
        return apply(connection, staged, relations, **options)


@pytest.fixture
def pair(target: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Two equal empty schemas; the source's circle of foreign keys is deferrable, the target's is not."""
    target.execute("DROP SCHEMA IF EXISTS src CASCADE; CREATE SCHEMA src")
    target.execute(DDL.format(s="src", late="DEFERRABLE INITIALLY DEFERRED"))
    target.execute(DDL.format(s="public", late=""))
    return target


def constraints(connection: psycopg.Connection[Any], schema: str) -> list[tuple[Any, ...]]:
    """Everything that limits rows, by name."""
    return connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
        " WHERE connamespace = %s::regnamespace AND contype <> 'n' ORDER BY 1, 2",
        (schema,),
    ).fetchall()


def random_statement(rng: random.Random) -> str:
    """One change that an application might make; many will be refused."""
    small, other = rng.randrange(12), rng.randrange(12)
    maybe, parent = rng.choice(["NULL", str(rng.randrange(12))]), rng.choice(["NULL", str(small), str(other)])
    return rng.choice(
        [
            f"INSERT INTO src.\"A\" VALUES ({small}, {maybe}, 't{other}')",
            f"UPDATE src.\"A\" SET b = {maybe}, t = 'v{other}' WHERE id = {small}",
            f'DELETE FROM src."A" WHERE id = {small}',
            f'UPDATE src."A" SET id = {other} WHERE id = {small}',
            f'INSERT INTO src."B" VALUES ({small}, {maybe}, {other})',
            f'UPDATE src."B" SET a = {maybe} WHERE id = {small}',
            f'UPDATE src."B" SET u = {other} WHERE id = {small}',
            f'DELETE FROM src."B" WHERE id = {small}',
            f'INSERT INTO src."C" VALUES ({small}, {other}, {maybe}, {parent}, {maybe})',
            f'UPDATE src."C" SET parent = {maybe} WHERE x = {small}',
            f'UPDATE src."C" SET a = {maybe}, n = {maybe} WHERE x = {small}',
            f'DELETE FROM src."C" WHERE x = {small}',
            f'DELETE FROM src."C" WHERE y > {other}',
        ]
    )


def swap(connection: psycopg.Connection[Any], name: str, unique: str) -> None:
    """Two rows of a source table exchange their unique values."""
    found = connection.execute(f'SELECT * FROM src."{name}" ORDER BY random() LIMIT 2').fetchall()
    if len(found) < 2:
        return
    k = TABLES[name].columns[0].name
    connection.execute(f'ALTER TABLE src."{name}" DROP CONSTRAINT "{name}_{unique}_key"')
    connection.execute(
        f'UPDATE src."{name}" p SET {unique} = q.{unique} FROM src."{name}" q'
        f" WHERE p.{k} <> q.{k} AND p.{k} = ANY (%(two)s) AND q.{k} = ANY (%(two)s)",
        {"two": [found[0][0], found[1][0]]},
    )
    connection.execute(f'ALTER TABLE src."{name}" ADD CONSTRAINT "{name}_{unique}_key" UNIQUE ("{unique}")')


@pytest.mark.parametrize("seed", range(8))
def test_any_changes_that_keep_the_constraints(pair: psycopg.Connection[Any], seed: int) -> None:
    rng = random.Random(seed)
    wanted = constraints(pair, "public")
    for _ in range(12):
        for _ in range(rng.randrange(1, 40)):
            try:
                pair.execute(random_statement(rng))
            except psycopg.errors.IntegrityError:
                continue
        for name, unique in (("B", "u"), ("C", "y"), ("C", "n")):
            if rng.random() < 0.4:
                swap(pair, name, unique)
        carry(pair)
        for name in TABLES:
            assert rows(pair, "public", name) == rows(pair, "src", name)
        assert constraints(pair, "public") == wanted, "constraints are as they were, and valid"


def test_nothing_to_do_touches_no_row(pair: psycopg.Connection[Any]) -> None:
    pair.execute('INSERT INTO src."A" SELECT n, NULL, n::text FROM generate_series(1, 100) n')
    assert carry(pair)["public", "A"] == Applied(inserted=100)
    before = pair.execute('SELECT id, xmin::text FROM "A" ORDER BY 1').fetchall()
    with pair.transaction():
        same = [("U", *row) for row in rows(pair, "src", "A").values()]
        staged = [stage(pair, TABLES["A"], [*same, ("D", 777, None, None)])]
        assert apply(pair, staged, read_relations(pair, [("public", "A")])) == {("public", "A"): Applied()}
    assert pair.execute('SELECT id, xmin::text FROM "A" ORDER BY 1').fetchall() == before


def test_a_delete_that_would_cascade_to_rows_the_source_keeps(pair: psycopg.Connection[Any]) -> None:
    """The target has a child of its own: nothing is applied, and the row is named."""
    pair.execute("INSERT INTO src.\"A\" VALUES (1, NULL, 'x')")
    carry(pair)
    pair.execute('INSERT INTO public."B" VALUES (5, 1, 50)')
    pair.execute('DELETE FROM src."A"')
    with pytest.raises(TransferError, match=r"would delete rows of public\.B.*\(5,1,50\)"):
        carry_only(pair, "A")
    assert rows(pair, "public", "A")
    assert rows(pair, "public", "B")


def test_a_row_that_postgresql_refuses(pair: psycopg.Connection[Any]) -> None:
    pair.execute('ALTER TABLE public."B" ADD CONSTRAINT positive CHECK (u > 0)')
    pair.execute('INSERT INTO src."A" VALUES (1, NULL, \'x\'); INSERT INTO src."B" VALUES (3, 1, -4)')
    with pytest.raises(MigrationError, match=r"public\.B.*positive.*\(3, 1, -4\)"):
        carry(pair)
    assert not rows(pair, "public", "A"), "nothing is applied"


@pytest.mark.parametrize("fire", [False, True])
def test_triggers_of_the_target(pair: psycopg.Connection[Any], fire: bool) -> None:
    pair.execute(
        "CREATE TABLE fired (n int); CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO fired VALUES (1); RETURN NULL; END$$;"
        'CREATE TRIGGER told AFTER INSERT ON public."A" FOR EACH ROW EXECUTE FUNCTION tell();'
        'CREATE TRIGGER off AFTER INSERT ON public."A" FOR EACH ROW EXECUTE FUNCTION tell();'
        'ALTER TABLE public."A" DISABLE TRIGGER off'
    )
    pair.execute("INSERT INTO src.\"A\" VALUES (1, NULL, 'x')")
    carry(pair, fire_triggers=fire)
    assert len(pair.execute("SELECT * FROM fired").fetchall()) == int(fire)
    states = dict(pair.execute("SELECT tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal").fetchall())
    assert states == {"told": "O", "off": "D"}, "as they were"


def test_swapped_values_of_a_nullable_unique_column_leave_its_index_alone(pair: psycopg.Connection[Any]) -> None:
    pair.execute('INSERT INTO src."C" SELECT n, n, NULL, NULL, n FROM generate_series(1, 3) n')
    carry(pair)
    indexes = pair.execute("SELECT oid, relfilenode FROM pg_class WHERE relname LIKE 'C\\_%' ORDER BY 1").fetchall()
    swap(pair, "C", "n")
    assert carry(pair)["public", "C"] == Applied(updated=2)
    assert rows(pair, "public", "C") == rows(pair, "src", "C")
    pair.execute('UPDATE src."C" SET n = NULL WHERE x = 1')
    pair.execute('INSERT INTO src."C" VALUES (9, 9, NULL, 9, 10)')
    carry(pair)
    assert rows(pair, "public", "C") == rows(pair, "src", "C")
    now = pair.execute(
        "SELECT oid, relfilenode FROM pg_class WHERE relname LIKE 'C\\_%' AND relnamespace = 'public'::regnamespace"
    ).fetchall()
    assert set(now) <= set(indexes), "no index was made again"
