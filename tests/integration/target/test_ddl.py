"""The DDL as a server takes it: awkward names, every type, the whole script."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.errors import SchemaError
from mssql_pg_migrate.mapping.names import IdentifierCase, default_object_name
from mssql_pg_migrate.model import Check, ForeignKey, Index, KeyColumn, Module, Sequence
from mssql_pg_migrate.target import ddl
from mssql_pg_migrate.target.inspect import read_abilities
from schema_samples import catalog, column, key, mapped, notes, table
from servers import PgDatabase, PgServer, fresh_name

NAMES = [
    "plain", "Mixed", "select", "table", 'quo"te', "apos'trophe", "br[ack]et", "dot.ted", "b lank", " lead",
    "back\\slash", "percent%s", "dollar$", "naïve", "注文明細", "Ω", "a" * 63, "b" * 64, "ü" * 40, "注" * 30,
    "semi;colon", "line\nbreak", "tab\t", "--comment", "/*x*/", "emoji😀", "CTID",
    "ctid", "user", "order", "group", "1st", "_", "#", "@x",
]  # fmt: skip


@pytest.mark.parametrize("case", ["preserve", "lower", "snake"])
def test_any_name_is_created_and_none_is_cut_by_the_server(
    target: psycopg.Connection[Any], case: IdentifierCase
) -> None:
    tables = [
        table(
            name,
            column("id", "int", nullable=False, identity=(1, 1)),
            *(column(other, "int") for other in NAMES),
            primary_key=key(f"PK {name}", "id", primary=True),
            unique_keys=(key(f"UQ {name}", name),),
            indexes=(Index("IX_Same", (KeyColumn(name),)), Index(f"IX {name}", (KeyColumn("plain"),))),
            checks=(Check(f"CK {name}", f"([{name.replace(']', ']]')}]>(0))"),),
            foreign_keys=(ForeignKey(f"FK {name}", (name,), "dbo", "plain", ("id",)),),
            description=f"about {name}",
        )
        for name in NAMES
    ]
    database = mapped(catalog(*tables), identifier_case=case)
    notices: list[str] = []
    target.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary or ""))
    for statement in (*ddl.pre_data(database), *ddl.post_data(database)):
        target.execute(statement.encode())
    assert [text for text in notices if "truncated" in text] == []
    found = target.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    assert {name for (name,) in found} == {item.name for item in database.tables}
    assert len(database.tables) == len(NAMES)
    assert all(len(item.checks) == 1 for item in database.tables), notes(database, "not_carried")
    if case == "preserve":
        kept = {item.source.name: item.name for item in database.tables}
        assert all(kept[name] == name for name in NAMES if len(name.encode()) <= 63)


@pytest.mark.parametrize(
    ("table_name", "column_name"),
    [("Orders", "Id"), ("t" * 63, "c" * 63), ("t" * 63, "c"), ("t", "c" * 63), ("ü" * 31, "ä" * 31), ("注" * 21, "Id")],
)
def test_the_servers_own_sequence_names_are_foreseen(
    target: psycopg.Connection[Any], table_name: str, column_name: str
) -> None:
    source = catalog(table(table_name, column(column_name, "int", nullable=False, identity=(1, 1))))
    for statement in ddl.pre_data(mapped(source)):
        target.execute(statement.encode())
    (name,) = target.execute("SELECT relname FROM pg_class WHERE relkind = 'S'").fetchall()
    assert name == (default_object_name(table_name, column_name, "seq"),)


def test_every_type_can_be_declared(target: psycopg.Connection[Any]) -> None:
    declared = [
        "bit", "tinyint", "smallint", "int", "bigint", "decimal(38,0)", "decimal(38,38)", "numeric(1,0)", "money",
        "smallmoney", "float", "real", "char(1)", "char(8000)", "varchar(1)", "varchar(8000)", "varchar(max)",
        "nchar(4000)", "nvarchar(4000)", "nvarchar(max)", "text", "ntext", "date", "time(0)", "time(7)", "datetime",
        "smalldatetime",
        "datetime2(0)", "datetime2(7)", "datetimeoffset(7)", "binary(8000)", "varbinary(max)", "image", "timestamp",
        "uniqueidentifier", "xml", "sql_variant", "hierarchyid", "geography", "json",
    ]  # fmt: skip
    columns = [column(f"c{number}", item) for number, item in enumerate(declared)]
    database = mapped(catalog(table("T", *columns)))
    assert len(database.tables[0].columns) == len(declared)
    for statement in ddl.pre_data(database):
        target.execute(statement.encode())


def test_the_whole_script_runs_as_one_text(target: psycopg.Connection[Any]) -> None:
    source = catalog(
        table(
            "Orders",
            column("Id", "int", nullable=False, identity=(5, 5, 20)),
            column("Parent", "int"),
            column("Number", "decimal(12,0)", nullable=False, identity=(1, 1)),
            column("Ticket", "int", default="(NEXT VALUE FOR [dbo].[Tickets])"),
            column("Note", "nvarchar(20)", default="(N'a;b -- c')", description="it's; a note"),
            primary_key=key("PK", "Id", primary=True),
            unique_keys=(key("UQ", "Note"),),
            foreign_keys=(ForeignKey("FK", ("Parent",), "dbo", "Orders", ("Id",)),),
            checks=(Check("CK", "([Id]>(0))"),),
        ),
        sequences=(Sequence("dbo", "Tickets", column("x", "int").type, 1, 1, 1, 10**6, False, 41),),
        modules=(Module("dbo", "V", "view", "create view V as select Id, Note from Orders"),),
    )
    database = mapped(source, create_views=True, version_num=target.info.server_version)
    target.execute(ddl.script(database).encode())
    row = target.execute(
        'INSERT INTO "Orders" DEFAULT VALUES RETURNING "Id", "Number"::int, "Ticket", "Note"'
    ).fetchone()
    assert row == (25, 1, 42, "a;b -- c")
    assert target.execute('SELECT * FROM "V"').fetchall() == [(25, "a;b -- c")]


def test_before_and_after_parts_run_around_the_rows(target: psycopg.Connection[Any]) -> None:
    source = catalog(
        table("T", column("Id", "int", nullable=False, identity=(1, 1)), primary_key=key("PK", "Id", primary=True))
    )
    database = mapped(source)
    target.execute(ddl.script(database, post=False).encode())
    target.execute('INSERT INTO "T" VALUES (1), (77)')
    target.execute(ddl.script(database, pre=False).encode())
    assert target.execute('INSERT INTO "T" DEFAULT VALUES RETURNING "Id"').fetchone() == (78,)


def test_a_database_in_another_encoding_is_refused_by_name(pg: PgServer) -> None:
    name = fresh_name("latin")
    pg.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    latin = PgDatabase(pg, name)
    try:
        with latin.connect() as connection, pytest.raises(SchemaError, match="encoding is LATIN1"):
            read_abilities(connection)
    finally:
        latin.drop()
