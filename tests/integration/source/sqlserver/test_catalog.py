"""The catalog of a database made by a T-SQL script, as the model shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mssql_pg_migrate.errors import SchemaError, TransientError
from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.model import Catalog, Column, Computed, Default, Identity, KeyColumn, Module, Table
from mssql_pg_migrate.source.selection import select_tables
from mssql_pg_migrate.source.sqlserver.catalog import CatalogSession, read_catalog
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from mssql_pg_migrate.source.sqlserver.health import access_problems, check_health
from servers import MssqlDatabase, MssqlServer
from source_tools import settings_of

SCRIPT = """
CREATE SCHEMA Sales
GO
CREATE SCHEMA [odd ]] schema]
GO
CREATE TYPE Sales.Phone FROM nvarchar(20) NOT NULL
GO
CREATE SEQUENCE Sales.Numbers AS bigint START WITH 1000 INCREMENT BY -5 MINVALUE -99999 MAXVALUE 1000 CYCLE CACHE 50
GO
CREATE SEQUENCE Sales.UsedOnce AS int START WITH 7
GO
SELECT NEXT VALUE FOR Sales.UsedOnce
GO
CREATE TABLE Sales.Customer (
    CustomerId int IDENTITY(100, 5) NOT NULL,
    Name nvarchar(50) COLLATE Latin1_General_BIN2 NOT NULL CONSTRAINT DF_Name DEFAULT (N'nobody'),
    Phone Sales.Phone NULL,
    Code char(3) NOT NULL,
    Born date NULL CONSTRAINT CK_Born CHECK (Born >= '1900-01-01'),
    Credit decimal(12, 3) NOT NULL,
    Twice AS (Credit * 2) PERSISTED,
    Shout AS (UPPER(Name)),
    Row uniqueidentifier ROWGUIDCOL NOT NULL CONSTRAINT DF_Row DEFAULT (NEWID()),
    Version rowversion NOT NULL,
    Note nvarchar(max) NULL,
    CONSTRAINT PK_Customer PRIMARY KEY CLUSTERED (CustomerId DESC),
    CONSTRAINT UQ_Code UNIQUE NONCLUSTERED (Code, Born),
    CONSTRAINT CK_Both CHECK (Credit >= 0 OR Code = 'VIP')
)
GO
CREATE UNIQUE NONCLUSTERED INDEX IX_Name ON Sales.Customer (Name DESC, Credit) INCLUDE (Note, Born) WHERE Credit > 0
GO
CREATE TABLE Sales.[Order] (
    OrderId bigint NOT NULL PRIMARY KEY NONCLUSTERED,
    CustomerId int NOT NULL,
    ParentId bigint NULL,
    At datetime2(3) NOT NULL DEFAULT (SYSUTCDATETIME()),
    CONSTRAINT FK_Customer FOREIGN KEY (CustomerId) REFERENCES Sales.Customer (CustomerId)
        ON DELETE CASCADE ON UPDATE NO ACTION,
    CONSTRAINT FK_Parent FOREIGN KEY (ParentId) REFERENCES Sales.[Order] (OrderId)
)
GO
CREATE CLUSTERED INDEX CX_At ON Sales.[Order] (At)
GO
ALTER TABLE Sales.[Order] WITH NOCHECK ADD CONSTRAINT CK_Late CHECK (OrderId > 0)
GO
ALTER TABLE Sales.[Order] NOCHECK CONSTRAINT FK_Parent
GO
CREATE TABLE [odd ]] schema].[a.b "c" 日本] ([col]]umn, one] int NULL, [select] varchar(max) NULL)
GO
CREATE TABLE dbo.sysdiagrams (name sysname NOT NULL, diagram_id int NOT NULL)
GO
EXEC sp_addextendedproperty 'MS_Description', N'Who buys', 'SCHEMA', 'Sales', 'TABLE', 'Customer'
GO
EXEC sp_addextendedproperty 'MS_Description', N'Full name', 'SCHEMA', 'Sales', 'TABLE', 'Customer', 'COLUMN', 'Name'
GO
CREATE VIEW Sales.Names AS SELECT CustomerId, Name FROM Sales.Customer
GO
CREATE PROCEDURE Sales.Nothing AS SELECT 1
GO
CREATE SYNONYM dbo.Buyers FOR Sales.Customer
GO
INSERT INTO Sales.Customer (Name, Code, Born, Credit) VALUES (N'Ann', 'A', '2000-02-29', 1), (N'Bob', 'B', NULL, 0)
GO
INSERT INTO [odd ]] schema].[a.b "c" 日本] ([select]) VALUES ('x')
"""


@pytest.fixture
def connection(source_db: MssqlDatabase) -> Iterator[Any]:
    source_db.execute_script(SCRIPT)
    connection = connect_source(settings_of(source_db))
    yield connection
    connection.close()


@pytest.fixture
def catalog(connection: Any) -> Catalog:
    return read_catalog(connection, None)


def table(catalog: Catalog, name: str) -> Table:
    (found,) = (table for table in catalog.tables if table.full_name == name)
    return found


def test_the_whole_catalog(catalog: Catalog) -> None:
    assert [found.full_name for found in catalog.tables] == [
        "Sales.Customer",
        "Sales.Order",
        'odd ] schema.a.b "c" 日本',
    ]
    assert catalog.collation
    assert catalog.server_version.split(".")[0].isdigit()
    assert any("sysdiagrams" in note for note in catalog.notes)
    check_columns(table(catalog, "Sales.Customer"))
    check_keys_and_indexes(catalog)
    check_foreign_keys_and_checks(catalog)
    check_other_objects(catalog)
    check_counts_and_descriptions(catalog)


def check_columns(customer: Table) -> None:
    def type_of(name: str) -> str:
        return str(customer.column(name).type)

    assert customer.column("CustomerId").identity == Identity(seed=100, increment=5, last_value=105)
    assert customer.column("CustomerId").nullable is False
    name = customer.column("Name")
    assert (type_of("Name"), name.type.collation) == ("nvarchar(50)", "Latin1_General_BIN2")
    assert name.default == Default("DF_Name", "(N'nobody')")
    phone = customer.column("Phone")
    assert (type_of("Phone"), phone.type.alias, phone.nullable) == ("nvarchar(20)", "Sales.Phone", True)
    assert (type_of("Code"), customer.column("Code").type.code_page) == ("char(3)", 1252)
    assert [type_of(other) for other in ("Born", "Credit", "Row", "Version", "Note")] == [
        "date",
        "decimal(12,3)",
        "uniqueidentifier",
        "timestamp",
        "nvarchar(max)",
    ]
    twice, shout = customer.column("Twice"), customer.column("Shout")
    assert isinstance(twice.computed, Computed)
    assert twice.computed.persisted
    assert "Credit" in twice.computed.definition
    assert shout.computed is not None
    assert not shout.computed.persisted
    row = customer.column("Row")
    assert row.rowguid
    assert row.default is not None
    assert "newid()" in row.default.definition.lower()
    assert [column.ordinal for column in customer.columns] == list(range(1, 12))
    plain = Column("Note", customer.column("Note").type, True, 11)
    assert customer.column("Note") == plain


def check_keys_and_indexes(catalog: Catalog) -> None:
    customer, order = table(catalog, "Sales.Customer"), table(catalog, "Sales.Order")
    assert customer.primary_key is not None
    assert (customer.primary_key.name, customer.primary_key.clustered) == ("PK_Customer", True)
    assert customer.primary_key.columns == (KeyColumn("CustomerId", descending=True),)
    (unique,) = customer.unique_keys
    assert (unique.name, [part.name for part in unique.columns], unique.clustered) == (
        "UQ_Code",
        ["Code", "Born"],
        False,
    )
    (index,) = customer.indexes
    assert (index.name, index.unique, index.kind) == ("IX_Name", True, "NONCLUSTERED")
    assert index.columns == (KeyColumn("Name", descending=True), KeyColumn("Credit"))
    assert set(index.included) == {"Note", "Born"}
    assert index.filter is not None
    assert "Credit" in index.filter
    assert order.primary_key is not None
    assert order.primary_key.clustered is False
    assert [(one.name, one.clustered, one.unique) for one in order.indexes] == [("CX_At", True, False)]
    assert table(catalog, 'odd ] schema.a.b "c" 日本').primary_key is None


def check_foreign_keys_and_checks(catalog: Catalog) -> None:
    keys = {key.name: key for key in table(catalog, "Sales.Order").foreign_keys}
    customer, parent = keys["FK_Customer"], keys["FK_Parent"]
    assert (customer.columns, customer.referenced_schema, customer.referenced_table) == (
        ("CustomerId",),
        "Sales",
        "Customer",
    )
    assert (customer.referenced_columns, customer.on_delete, customer.on_update) == (
        ("CustomerId",),
        "CASCADE",
        "NO_ACTION",
    )
    assert (customer.disabled, customer.not_trusted) == (False, False)
    assert (parent.referenced_table, parent.disabled, parent.not_trusted) == ("Order", True, True)
    checks = {check.name: check for check in table(catalog, "Sales.Customer").checks}
    assert (checks["CK_Born"].column, checks["CK_Both"].column) == ("Born", None)
    assert "Credit" in checks["CK_Both"].definition
    assert not checks["CK_Both"].not_trusted
    (late,) = table(catalog, "Sales.Order").checks
    assert (late.name, late.not_trusted, late.disabled) == ("CK_Late", True, False)


def check_other_objects(catalog: Catalog) -> None:
    sequence, once = catalog.sequences
    assert (once.name, once.current, once.last_used, sequence.last_used) == ("UsedOnce", 7, 7, None)
    assert (sequence.schema, sequence.name, sequence.type.name) == ("Sales", "Numbers", "bigint")
    assert (sequence.start, sequence.increment, sequence.minimum, sequence.maximum) == (1000, -5, -99999, 1000)
    assert (sequence.cycle, sequence.current, sequence.cache) == (True, 1000, 50)
    modules: dict[str, Module] = {module.name: module for module in catalog.modules}
    assert (modules["Names"].kind, modules["Names"].columns) == ("view", ("CustomerId", "Name"))
    assert "SELECT CustomerId, Name" in str(modules["Names"].definition)
    assert modules["Nothing"].kind == "procedure"
    assert modules["Buyers"].kind == "synonym"
    assert "Customer" in str(modules["Buyers"].definition)
    (phone,) = catalog.alias_types
    assert (phone.schema, phone.name, str(phone.base), phone.nullable) == ("Sales", "Phone", "nvarchar(20)", False)


def check_counts_and_descriptions(catalog: Catalog) -> None:
    assert [found.row_estimate for found in catalog.tables] == [2, 0, 1]
    customer = table(catalog, "Sales.Customer")
    assert (customer.description, customer.column("Name").description) == ("Who buys", "Full name")


def test_schemas_are_found_in_any_case_and_missing_ones_are_named(connection: Any) -> None:
    found = read_catalog(connection, ["SALES"])
    assert {one.schema for one in found.tables} == {"Sales"}
    assert {one.schema for one in found.sequences} == {"Sales"}
    assert read_catalog(connection, ["dbo"]).tables == ()
    with pytest.raises(SchemaError, match="no schema 'Purchasing'") as caught:
        read_catalog(connection, ["Sales", "Purchasing"])
    assert "Sales" in str(caught.value.hint)


def test_tables_are_selected_by_pattern(catalog: Catalog) -> None:
    assert [found.name for found in select_tables(catalog.tables, ["sales.*"], ["*ORDER*"])] == ["Customer"]


def test_health_and_access(connection: Any, source_db: MssqlDatabase, catalog: Catalog) -> None:
    health = check_health(connection, settings_of(source_db))
    assert health.version == catalog.server_version
    assert health.facts["database"] == catalog.database
    assert 0 < (health.latency_ms or 0) < 10_000
    assert access_problems(connection, catalog.tables) == ()


def test_a_table_that_the_login_may_not_read_is_named(source_db: MssqlDatabase) -> None:
    source_db.execute_script(SCRIPT)
    login = f"reader_{time.time_ns()}"
    source_db.execute_script(
        f"CREATE LOGIN {login} WITH PASSWORD = 'Read-0nly!'\nGO\nCREATE USER {login} FOR LOGIN {login}\nGO\n"
        f"GRANT SELECT ON SCHEMA::Sales TO {login}\nGO\nDENY SELECT ON Sales.Customer TO {login}\nGO\n"
        f"GRANT VIEW DEFINITION TO {login}"
    )
    try:
        mine = connect_source(replace(settings_of(source_db), user=login, password="Read-0nly!"))
        try:
            found = read_catalog(mine, ["Sales"])
            (problem,) = access_problems(mine, found.tables)
        finally:
            mine.close()
    finally:
        source_db.execute_script(f"DROP USER {login}\nGO\nDROP LOGIN {login}")
    assert problem.name == "Sales.Customer"
    assert "SELECT permission was denied" in problem.reason


def test_what_later_versions_brought(source_db: MssqlDatabase) -> None:
    """Temporal and graph tables, sparse columns with their column set, masked columns: SQL Server 2017 and later."""
    login = f"reader_{time.time_ns()}"
    source_db.execute_script(
        f"""
        CREATE TABLE dbo.Prices (
            id int NOT NULL PRIMARY KEY,
            since datetime2(7) GENERATED ALWAYS AS ROW START HIDDEN NOT NULL,
            till datetime2(7) GENERATED ALWAYS AS ROW END HIDDEN NOT NULL,
            PERIOD FOR SYSTEM_TIME (since, till)
        ) WITH (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.OldPrices))
        GO
        CREATE TABLE dbo.Person (id int NOT NULL) AS NODE
        GO
        CREATE TABLE dbo.Sparse (
            id int NOT NULL PRIMARY KEY, a int SPARSE NULL, s xml COLUMN_SET FOR ALL_SPARSE_COLUMNS
        )
        GO
        CREATE TABLE dbo.Secret (id int NOT NULL PRIMARY KEY, mail nvarchar(50) MASKED WITH (FUNCTION = 'email()') NULL)
        GO
        CREATE LOGIN {login} WITH PASSWORD = 'Read-0nly!'
        GO
        CREATE USER {login} FOR LOGIN {login}
        GO
        GRANT SELECT TO {login}
        """
    )
    mine = connect_source(replace(settings_of(source_db), user=login, password="Read-0nly!"))
    try:
        catalog = read_catalog(mine)
        problems = access_problems(mine, catalog.tables)
    finally:
        mine.close()
        source_db.execute_script(
            f"DROP USER {login}\nGO\nDROP LOGIN {login}\nGO\nALTER TABLE dbo.Prices SET (SYSTEM_VERSIONING = OFF)"
        )
    prices, old = table(catalog, "dbo.Prices"), table(catalog, "dbo.OldPrices")
    assert (prices.temporal, prices.history_table, old.temporal) == ("versioned", "dbo.OldPrices", "history")
    assert [(one.hidden, one.generated_always) for one in prices.columns] == [(False, 0), (True, 1), (True, 2)]
    person = table(catalog, "dbo.Person")
    assert person.graph == "node"
    assert [one.name for one in person.columns if one.graph_type is None] == ["id"]
    sparse = table(catalog, "dbo.Sparse")
    assert (sparse.column("a").sparse, sparse.column("s").column_set) == (True, True)
    assert table(catalog, "dbo.Secret").column("mail").masked
    (problem,) = problems
    assert problem.name == "dbo.Secret"
    assert "UNMASK" in problem.reason
    assert any("VIEW DEFINITION" in note for note in catalog.notes)


def test_a_table_whose_clustered_index_is_disabled_cannot_be_read(source_db: MssqlDatabase) -> None:
    source_db.execute_script(
        "CREATE TABLE dbo.Shut (id int NOT NULL, n int NULL)\nGO\nCREATE CLUSTERED INDEX IX_Shut ON dbo.Shut (id)\nGO\n"
        "CREATE TABLE dbo.Fine (id int NOT NULL, n int NULL)\nGO\nCREATE INDEX IX_Fine ON dbo.Fine (n)\nGO\n"
        "ALTER INDEX IX_Shut ON dbo.Shut DISABLE\nGO\nALTER INDEX IX_Fine ON dbo.Fine DISABLE"
    )
    connection = connect_source(settings_of(source_db))
    try:
        (problem,) = access_problems(connection, read_catalog(connection).tables)
    finally:
        connection.close()
    assert problem.name == "dbo.Shut"
    assert "IX_Shut is disabled" in problem.reason


@pytest.mark.sandbox_only  # a real server may lack the full-text component
def test_xml_schemas_and_full_text_indexes_are_named(source_db: MssqlDatabase) -> None:
    source_db.execute_script(
        """
        CREATE XML SCHEMA COLLECTION dbo.Notes AS N'<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema"/>'
        GO
        CREATE TABLE dbo.T (id int NOT NULL CONSTRAINT PK_T PRIMARY KEY, x xml (dbo.Notes) NULL, t nvarchar(99) NULL)
        GO
        CREATE FULLTEXT CATALOG ftc AS DEFAULT
        GO
        CREATE FULLTEXT INDEX ON dbo.T (t LANGUAGE 1033) KEY INDEX PK_T
        """
    )
    connection = connect_source(settings_of(source_db))
    try:
        catalog = read_catalog(connection)
    finally:
        connection.close()
    (found,) = catalog.tables
    assert found.fulltext == ("t",)
    assert catalog.notes == ()
    assert found.column("x").bound == ("XML schema collection dbo.Notes: PostgreSQL does not validate the column",)
    mapped = build(catalog, MappingOptions())
    said = {note.object: note.message for note in mapped.notes if note.severity == "not_carried"}
    assert set(said) == {"dbo.T.x", "dbo.T"}
    assert said["dbo.T"].startswith("full-text index on t")


def test_rights_on_a_database_whose_name_has_a_dot(mssql: MssqlServer) -> None:
    """HAS_PERMS_BY_NAME takes a name as it would stand in a statement: unquoted, this one has two parts."""
    database = MssqlDatabase(mssql, f"Shop.{time.time_ns()}")
    mssql.execute_script(f"CREATE DATABASE [{database.name}]")
    login = f"reader_{time.time_ns()}"
    try:
        database.execute_script(
            f"CREATE TABLE dbo.T (id int NOT NULL PRIMARY KEY)\nGO\nCREATE LOGIN {login} WITH PASSWORD = 'Read-0nly!'"
            f"\nGO\nCREATE USER {login} FOR LOGIN {login}\nGO\nGRANT SELECT TO {login}"
        )
        mine = connect_source(replace(settings_of(database), user=login, password="Read-0nly!"))
        try:
            notes = read_catalog(mine).notes
        finally:
            mine.close()
    finally:
        database.drop()
        mssql.execute_script(f"DROP LOGIN {login}")
    assert any("VIEW DEFINITION" in note for note in notes)


@pytest.mark.sandbox_only
def test_an_answer_that_is_cut_short_is_not_taken_for_a_small_one(mssql: MssqlServer) -> None:
    """mssql-python itself hands over the rows that came and raises nothing."""
    database = mssql.new_database()
    database.execute_script(
        "CREATE TABLE big (id int PRIMARY KEY)\nGO\n"
        "INSERT big SELECT TOP (5000) a.number * 2048 + b.number FROM master..spt_values a"
        " CROSS JOIN master..spt_values b WHERE a.number < 3"
    )
    assert mssql.sandbox is not None
    mssql.sandbox.faults.drop("big", after_rows=3000)
    connection = connect_source(settings_of(database))
    with contextlib.closing(connection), pytest.raises(TransientError, match=r"0x2746|Communication link failure"):
        CatalogSession(connection).rows("SELECT id FROM big ORDER BY id")
    database.drop()
