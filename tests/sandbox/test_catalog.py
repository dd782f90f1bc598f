"""What DDL leaves in the catalog views: the same as SQL Server would show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only
# ruff: noqa: E501  (tables of definitions read better with one case a line)


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    yield database
    database.drop()


@pytest.fixture
def raw(place: MssqlDatabase) -> Iterator[RawClient]:
    with RawClient(place.server, place.name) as client:
        yield client


DEFAULTS = [
    ("int", "0", "((0))"),
    ("int", "((0))", "((0))"),
    ("int", "-1", "((-1))"),
    ("decimal(5,2)", "1.50", "((1.50))"),
    ("bit", "1", "((1))"),
    ("nvarchar(9)", "N'it''s'", "(N'it''s')"),
    ("varchar(9)", "'a' + 'b'", "('a'+'b')"),
    ("datetime", "getdate()", "(getdate())"),
    ("datetime", "CURRENT_TIMESTAMP", "(getdate())"),
    ("datetime2", "(SYSUTCDATETIME())", "(sysutcdatetime())"),
    ("uniqueidentifier", "NEWID()", "(newid())"),
    ("nvarchar(128)", "SUSER_SNAME()", "(suser_sname())"),
    ("datetime", "DATEADD(DAY, 1, GETDATE())", "(dateadd(day,(1),getdate()))"),
    ("date", "CAST(GETDATE() AS date)", "(CONVERT([date],getdate()))"),
    ("varchar(20)", "CONVERT(varchar(20), GETDATE(), 112)", "(CONVERT([varchar](20),getdate(),(112)))"),
    ("varbinary(4)", "0x00ff", "(0x00FF)"),
    ("int", "NULL", "(NULL)"),
    ("money", "$1.5", "(($1.5000))"),
]


@pytest.mark.parametrize(("kind", "default", "stored"), DEFAULTS)
def test_defaults(raw: RawClient, kind: str, default: str, stored: str) -> None:
    raw.run("DROP TABLE IF EXISTS d")
    assert raw.run(f"CREATE TABLE d (i int, a {kind} NULL CONSTRAINT df_name DEFAULT {default})").errors == []
    assert raw.rows("SELECT name, definition, parent_column_id, is_system_named FROM sys.default_constraints") == [
        ["df_name", stored, 2, False]
    ]
    assert raw.run("INSERT d (i) VALUES (1); INSERT d (i) SELECT 2").errors == []


CHECKS = [
    ("a > 0", "([a]>(0))"),
    ("(a > 0 AND b <> 'x') OR a IS NULL", "([a]>(0) AND [b]<>'x' OR [a] IS NULL)"),
    ("a > 0 AND (b != 'x' OR a IS NOT NULL)", "([a]>(0) AND ([b]<>'x' OR [a] IS NOT NULL))"),
    ("a IN (1, 2, 3)", "([a]=(3) OR [a]=(2) OR [a]=(1))"),
    ("a BETWEEN 1 AND 9", "([a]>=(1) AND [a]<=(9))"),
    ("b LIKE '[A-Z]%'", "([b] like '[A-Z]%')"),
    ("NOT b LIKE 'x%'", "(NOT [b] like 'x%')"),
    ("len(b) >= 2", "(len([b])>=(2))"),
    ("a * (a - 1) > 2 + 3", "([a]*([a]-(1))>(2)+(3))"),
    ("CASE WHEN a > 0 THEN 1 ELSE 0 END = 1", "(case when [a]>(0) then (1) else (0) end=(1))"),
    ("upper(b) = 'X' COLLATE Latin1_General_BIN2", "(upper([b])='X' collate Latin1_General_BIN2)"),
]


@pytest.mark.parametrize(("check", "stored"), CHECKS)
def test_checks(raw: RawClient, check: str, stored: str) -> None:
    raw.run("DROP TABLE IF EXISTS d")
    assert raw.run(f"CREATE TABLE d (a int, b varchar(9), CONSTRAINT ck CHECK ({check}))").errors == []
    assert raw.rows("SELECT definition, is_disabled, is_not_trusted FROM sys.check_constraints") == [
        [stored, False, False]
    ]


@pytest.mark.parametrize(
    ("declared", "name", "row"),
    [
        # max_length, precision, scale
        ("bit", "bit", [1, 1, 0]),
        ("int", "int", [4, 10, 0]),
        ("bigint", "bigint", [8, 19, 0]),
        ("decimal", "decimal", [9, 18, 0]),
        ("numeric(38,10)", "numeric", [17, 38, 10]),
        ("dec(9,2)", "decimal", [5, 9, 2]),
        ("money", "money", [8, 19, 4]),
        ("float(24)", "real", [4, 24, 0]),
        ("double precision", "float", [8, 53, 0]),
        ("char(5)", "char", [5, 0, 0]),
        ("varchar(max)", "varchar", [-1, 0, 0]),
        ("nvarchar(50)", "nvarchar", [100, 0, 0]),
        ("national character varying(3)", "nvarchar", [6, 0, 0]),
        ("sysname", "sysname", [256, 0, 0]),
        ("text", "text", [16, 0, 0]),
        ("binary(3)", "binary", [3, 0, 0]),
        ("rowversion", "timestamp", [8, 0, 0]),
        ("date", "date", [3, 10, 0]),
        ("time(3)", "time", [4, 12, 3]),
        ("datetime2(0)", "datetime2", [6, 19, 0]),
        ("datetime2", "datetime2", [8, 27, 7]),
        ("datetimeoffset(7)", "datetimeoffset", [10, 34, 7]),
        ("datetime", "datetime", [8, 23, 3]),
        ("smalldatetime", "smalldatetime", [4, 16, 0]),
        ("uniqueidentifier", "uniqueidentifier", [16, 0, 0]),
        ("sql_variant", "sql_variant", [8016, 0, 0]),
        ("xml", "xml", [-1, 0, 0]),
        ("geography", "geography", [-1, 0, 0]),
        ("hierarchyid", "hierarchyid", [892, 0, 0]),
    ],
)
def test_columns(raw: RawClient, declared: str, name: str, row: list[int]) -> None:
    raw.run("DROP TABLE IF EXISTS d")
    assert raw.run(f"CREATE TABLE d (a {declared})").errors == []
    rows = raw.rows(
        "SELECT t.name, c.max_length, c.precision, c.scale FROM sys.columns AS c"
        " JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID('dbo.d')"
    )
    assert rows == [[name if name != "sysname" else "nvarchar", *row]] or rows == [[name, *row]]


class TestTables:
    def test_keys_and_indexes(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS k")
        raw.run(
            "CREATE TABLE k (a int NOT NULL, b int NOT NULL, c int NULL, d nvarchar(9),"
            " CONSTRAINT pk PRIMARY KEY NONCLUSTERED (b DESC, a), CONSTRAINT uq UNIQUE CLUSTERED (a), INDEX ix_in (c))"
        )
        raw.run("CREATE UNIQUE INDEX ix ON k (c DESC) INCLUDE (d, b) WHERE c IS NOT NULL AND d = N'x'")
        raw.run("CREATE NONCLUSTERED COLUMNSTORE INDEX cs ON k (a, b); ALTER INDEX ix_in ON k DISABLE")
        indexes = raw.rows(
            "SELECT index_id, name, type_desc, is_unique, is_primary_key, is_unique_constraint, filter_definition, is_disabled"
            " FROM sys.indexes WHERE object_id = OBJECT_ID('k') ORDER BY name"
        )
        assert [row[1:] for row in indexes] == [
            ["cs", "NONCLUSTERED COLUMNSTORE", False, False, False, None, False],
            ["ix", "NONCLUSTERED", True, False, False, "([c] IS NOT NULL AND [d]=N'x')", False],
            ["ix_in", "NONCLUSTERED", False, False, False, None, True],
            ["pk", "NONCLUSTERED", True, True, False, None, False],
            ["uq", "CLUSTERED", True, False, True, None, False],
        ]
        assert indexes[-1][0] == 1
        columns = raw.rows(
            "SELECT i.name, COL_NAME(ic.object_id, ic.column_id), ic.key_ordinal, ic.is_descending_key, ic.is_included_column"
            " FROM sys.index_columns AS ic JOIN sys.indexes AS i ON i.object_id = ic.object_id AND i.index_id = ic.index_id"
            " WHERE i.object_id = OBJECT_ID('k') AND i.name IN ('ix', 'pk') ORDER BY i.name, ic.index_column_id"
        )
        assert columns == [
            ["ix", "c", 1, True, False],
            ["ix", "d", 0, False, True],
            ["ix", "b", 0, False, True],
            ["pk", "b", 1, True, False],
            ["pk", "a", 2, False, False],
        ]
        names = raw.rows("SELECT name, type, unique_index_id FROM sys.key_constraints ORDER BY name")
        assert [row[:2] for row in names] == [["pk", "PK"], ["uq", "UQ"]]

    def test_foreign_keys(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS f; DROP TABLE IF EXISTS p; CREATE TABLE p (x int, y int, PRIMARY KEY (x, y))")
        raw.run(
            "CREATE TABLE f (a int, b int, c int, me int PRIMARY KEY, CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES p"
            " ON DELETE CASCADE ON UPDATE SET NULL, CONSTRAINT own FOREIGN KEY (c) REFERENCES f (me))"
        )
        raw.run("INSERT f VALUES (NULL, NULL, NULL, 1); UPDATE f SET c = 1")
        raw.run(
            "ALTER TABLE f WITH NOCHECK ADD CONSTRAINT loose FOREIGN KEY (c) REFERENCES f (me); ALTER TABLE f NOCHECK CONSTRAINT own"
        )
        assert raw.rows(
            "SELECT name, OBJECT_NAME(referenced_object_id), delete_referential_action_desc, update_referential_action_desc,"
            " is_disabled, is_not_trusted FROM sys.foreign_keys ORDER BY name"
        ) == [
            ["fk", "p", "CASCADE", "SET_NULL", False, False],
            ["loose", "f", "NO_ACTION", "NO_ACTION", False, True],
            ["own", "f", "NO_ACTION", "NO_ACTION", True, True],
        ]
        assert raw.rows(
            "SELECT constraint_column_id, COL_NAME(parent_object_id, parent_column_id),"
            " COL_NAME(referenced_object_id, referenced_column_id) FROM sys.foreign_key_columns"
            " WHERE constraint_object_id = OBJECT_ID('fk') ORDER BY 1"
        ) == [[1, "a", "x"], [2, "b", "y"]]
        raw.run("DROP TABLE f; DROP TABLE p")

    def test_identity_computed_sparse_and_the_like(self, raw: RawClient) -> None:
        raw.run(
            "DROP TABLE IF EXISTS o; CREATE TABLE o (a bigint IDENTITY(-5, 3) NOT FOR REPLICATION, b AS (a * 2) PERSISTED, c int SPARSE NULL, d uniqueidentifier ROWGUIDCOL, e nvarchar(9) MASKED WITH (FUNCTION = 'default()'), f xml COLUMN_SET FOR ALL_SPARSE_COLUMNS)"
        )
        raw.run("INSERT o (c) VALUES (1), (2)")
        assert raw.rows(
            "SELECT CAST(seed_value AS bigint), CAST(increment_value AS bigint), CAST(last_value AS bigint),"
            " is_not_for_replication FROM sys.identity_columns WHERE object_id = OBJECT_ID('o')"
        ) == [[-5, 3, -2, True]]
        assert raw.rows(
            "SELECT name, definition, is_persisted FROM sys.computed_columns WHERE object_id = OBJECT_ID('o')"
        ) == [["b", "([a]*(2))", True]]
        flags = raw.rows(
            "SELECT name, is_sparse, is_rowguidcol, is_masked, is_column_set FROM sys.columns WHERE object_id = OBJECT_ID('o')"
            " ORDER BY column_id"
        )
        assert [row[0] for row in flags if row[1]] == ["c"]
        assert [row[0] for row in flags if row[2]] == ["d"]
        assert [row[0] for row in flags if row[3]] == ["e"]
        assert [row[0] for row in flags if row[4]] == ["f"]

    def test_temporal_tables(self, raw: RawClient) -> None:
        raw.run(
            "CREATE TABLE t (id int PRIMARY KEY, v int, f datetime2(3) GENERATED ALWAYS AS ROW START HIDDEN NOT NULL,"
            " u datetime2(3) GENERATED ALWAYS AS ROW END HIDDEN NOT NULL, PERIOD FOR SYSTEM_TIME (f, u))"
            " WITH (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.t_history))"
        )
        raw.run("INSERT t (id, v) VALUES (1, 10), (2, 20); UPDATE t SET v = 11 WHERE id = 1; DELETE t WHERE id = 2")
        assert raw.rows("SELECT * FROM t") == [[1, 11]]
        assert raw.rows("SELECT id, v FROM t_history ORDER BY id") == [[1, 10], [2, 20]]
        assert raw.rows(
            "SELECT name, temporal_type_desc, OBJECT_NAME(history_table_id) FROM sys.tables WHERE name LIKE 't%' ORDER BY name"
        ) == [
            ["t", "SYSTEM_VERSIONED_TEMPORAL_TABLE", "t_history"],
            ["t_history", "HISTORY_TABLE", None],
        ]
        assert raw.rows(
            "SELECT name, generated_always_type, is_hidden FROM sys.columns WHERE object_id = OBJECT_ID('t') AND column_id > 2"
        ) == [
            ["f", 1, True],
            ["u", 2, True],
        ]
        assert raw.run("DROP TABLE t").numbers == [13552]
        raw.run("ALTER TABLE t SET (SYSTEM_VERSIONING = OFF); DROP TABLE t; DROP TABLE t_history")

    def test_graph_tables(self, raw: RawClient) -> None:
        raw.run(
            "CREATE TABLE node_ (id int PRIMARY KEY) AS NODE; CREATE TABLE edge_ (w int) AS EDGE; INSERT node_ VALUES (7)"
        )
        assert raw.rows("SELECT name, is_node, is_edge FROM sys.tables WHERE name LIKE '%[_]' ORDER BY name") == [
            ["edge_", False, True],
            ["node_", True, False],
        ]
        kinds = raw.rows(
            "SELECT graph_type_desc FROM sys.columns WHERE object_id = OBJECT_ID('node_') ORDER BY column_id"
        )
        assert kinds == [["GRAPH_ID"], ["GRAPH_ID_COMPUTED"], [None]]
        raw.run("INSERT node_ VALUES (8)")
        row = ["$node_id", "WHERE id"]
        ends = ", ".join(f"(SELECT {row[0]} FROM node_ {row[1]} = {number})" for number in (7, 8))
        assert raw.run(f"INSERT edge_ ($from_id, $to_id, w) VALUES ({ends}, 5)").errors == []
        rows = raw.rows("SELECT * FROM edge_")
        assert rows[0][1:] == [
            '{"type":"node","schema":"dbo","table":"node_","id":0}',
            '{"type":"node","schema":"dbo","table":"node_","id":1}',
            5,
        ]
        assert len(raw.rows("SELECT * FROM node_")[0]) == 2

    def test_changes_of_tables(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS a; CREATE TABLE a (id int, v varchar(5)); INSERT a VALUES (1, '7')")
        raw.run("ALTER TABLE a ADD n int NOT NULL CONSTRAINT df_n DEFAULT 5, m int NULL DEFAULT 6, s AS id + 1")
        assert raw.rows("SELECT * FROM a") == [[1, "7", 5, None, 2]]
        raw.run(
            "ALTER TABLE a ALTER COLUMN v int NOT NULL; ALTER TABLE a ALTER COLUMN id int NOT NULL; ALTER TABLE a ADD PRIMARY KEY (id)"
        )
        assert raw.rows("SELECT v FROM a") == [[7]]
        assert raw.run("ALTER TABLE a DROP COLUMN n").numbers == [5074]
        raw.run(
            "ALTER TABLE a DROP CONSTRAINT df_n; ALTER TABLE a DROP COLUMN n; EXEC sp_rename 'dbo.a.m', 'mm', 'COLUMN'; EXEC sp_rename 'dbo.a', 'aa'"
        )
        assert raw.rows("SELECT name, column_id FROM sys.columns WHERE object_id = OBJECT_ID('aa') ORDER BY column_id") == [
            ["id", 1], ["v", 2], ["mm", 4], ["s", 5],
        ]  # fmt: skip
        raw.run("DROP TABLE aa")

    def test_encrypted_columns_and_alias_types(self, raw: RawClient) -> None:
        raw.run("CREATE TYPE dbo.Phone FROM varchar(20) NOT NULL; CREATE TYPE dbo.List AS TABLE (a int)")
        raw.run(
            "CREATE TABLE al (p dbo.Phone, s varchar(9) COLLATE Latin1_General_BIN2 ENCRYPTED WITH (COLUMN_ENCRYPTION_KEY = k, ENCRYPTION_TYPE = Deterministic, ALGORITHM = 'x') NULL)"
        )
        assert raw.rows(
            "SELECT c.name, t.name, t.is_user_defined, c.is_nullable, c.encryption_type FROM sys.columns AS c"
            " JOIN sys.types AS t ON t.user_type_id = c.user_type_id WHERE c.object_id = OBJECT_ID('al') ORDER BY column_id"
        ) == [["p", "Phone", True, False, None], ["s", "varchar", False, True, 1]]
        assert raw.rows("SELECT name, is_table_type FROM sys.types WHERE is_user_defined = 1 ORDER BY name") == [
            ["List", True],
            ["Phone", False],
        ]
        raw.run("DROP TABLE al; DROP TYPE dbo.Phone; DROP TYPE dbo.List")


class TestOthers:
    def test_modules_sequences_and_synonyms(self, raw: RawClient) -> None:
        raw.run("CREATE SCHEMA app")
        raw.run("CREATE TABLE app.base (a int, b nvarchar(9))")
        text = "CREATE VIEW app.v (x, y) WITH SCHEMABINDING AS SELECT a, b FROM app.base WHERE a > 1"
        raw.run(text)
        raw.run("CREATE PROCEDURE app.p @a int = 1 AS SELECT @a")
        raw.run("CREATE FUNCTION app.f (@a int) RETURNS int AS BEGIN RETURN @a END")
        raw.run("CREATE FUNCTION app.tf () RETURNS TABLE AS RETURN SELECT 1 AS x")
        raw.run("CREATE TRIGGER app.tr ON app.base INSTEAD OF INSERT AS SELECT 1")
        raw.run(
            "CREATE SYNONYM app.syn FOR app.base; CREATE SEQUENCE app.sq AS int START WITH 3 INCREMENT BY -1 MINVALUE -9 MAXVALUE 9 CYCLE NO CACHE"
        )
        kinds = raw.rows(
            "SELECT name, RTRIM(type), type_desc FROM sys.objects WHERE schema_id = SCHEMA_ID('app') ORDER BY name"
        )
        assert [row[:2] for row in kinds] == [
            ["base", "U"], ["f", "FN"], ["p", "P"], ["sq", "SO"], ["syn", "SN"], ["tf", "IF"], ["tr", "TR"], ["v", "V"],
        ]  # fmt: skip
        assert raw.rows(
            "SELECT definition, is_schema_bound FROM sys.sql_modules WHERE object_id = OBJECT_ID('app.v')"
        ) == [[text, True]]
        assert raw.rows("SELECT name FROM sys.columns WHERE object_id = OBJECT_ID('app.v') ORDER BY column_id") == [
            ["x"],
            ["y"],
        ]
        raw.run("INSERT app.syn VALUES (1, N'a'), (2, N'b')")
        assert raw.rows("SELECT y FROM app.v") == [["b"]]
        assert raw.rows("SELECT name, base_object_name FROM sys.synonyms") == [["syn", "[app].[base]"]]
        assert raw.rows("SELECT OBJECT_NAME(parent_id), is_instead_of_trigger, is_disabled FROM sys.triggers") == [
            ["base", True, False]
        ]
        assert raw.rows(
            "SELECT CAST(start_value AS int), CAST(increment AS int), CAST(minimum_value AS int), CAST(maximum_value AS int),"
            " is_cycling, is_cached, CAST(current_value AS int) FROM sys.sequences WHERE name = 'sq'"
        ) == [[3, -1, -9, 9, True, False, 3]]

    def test_extended_properties(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS e; CREATE TABLE e (a int, CONSTRAINT ck_e CHECK (a > 0))")
        add = "EXEC sys.sp_addextendedproperty @name = N'MS_Description', @value = {}, @level0type = N'SCHEMA', @level0name = N'dbo', @level1type = N'TABLE', @level1name = N'e'"
        raw.run(add.format("N'the tÄble'"))
        raw.run(add.format("'a column'") + ", @level2type = N'COLUMN', @level2name = N'a'")
        assert raw.run(add.format("N'again'")).numbers == [15233]
        rows = raw.rows(
            "SELECT class, minor_id, name, CAST(value AS nvarchar(100)) FROM sys.extended_properties"
            " WHERE major_id = OBJECT_ID('e') ORDER BY minor_id"
        )
        assert rows == [[1, 0, "MS_Description", "the tÄble"], [1, 1, "MS_Description", "a column"]]

    def test_special_indexes(self, raw: RawClient) -> None:
        raw.run(
            "DROP TABLE IF EXISTS s; CREATE TABLE s (id int NOT NULL CONSTRAINT pk_s PRIMARY KEY, x xml, g geometry, t nvarchar(99))"
        )
        raw.run("CREATE PRIMARY XML INDEX xi ON s (x)")
        raw.run("CREATE SPATIAL INDEX si ON s (g) USING GEOMETRY_GRID WITH (BOUNDING_BOX = (0, 0, 9, 9))")
        raw.run("CREATE FULLTEXT INDEX ON s (t LANGUAGE 1033) KEY INDEX pk_s")
        kinds = raw.rows("SELECT name, type_desc FROM sys.indexes WHERE object_id = OBJECT_ID('s') ORDER BY name")
        assert kinds == [["pk_s", "CLUSTERED"], ["si", "SPATIAL"], ["xi", "XML"]]
        assert raw.rows("SELECT OBJECT_NAME(object_id) FROM sys.fulltext_indexes") == [["s"]]

    def test_rows_in_partitions(self, raw: RawClient) -> None:
        raw.run("DROP TABLE IF EXISTS r; CREATE TABLE r (a int); INSERT r VALUES (1), (2), (3)")
        assert raw.rows(
            "SELECT SUM(rows) FROM sys.partitions WHERE object_id = OBJECT_ID('r') AND index_id IN (0, 1)"
        ) == [[3]]

    def test_databases_and_other_names(self, place: MssqlDatabase, raw: RawClient) -> None:
        assert [place.name] in raw.rows("SELECT name FROM sys.databases")
        assert raw.rows(f"SELECT COUNT(*) FROM [{place.name}].sys.schemas WHERE name = 'dbo'") == [[1]]
        assert raw.rows(
            "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'app' AND TABLE_NAME = 'base'"
        ) == [[1]]

    def test_awkward_names(self, raw: RawClient) -> None:
        name = "we ird]. 'näme' \"x\" 日本"
        quoted = "[" + name.replace("]", "]]") + "]"
        raw.run(f"CREATE TABLE {quoted} ([select] int, [a b] int, [A.b] int); INSERT {quoted} VALUES (1, 2, 3)")
        assert raw.rows(f"SELECT x.[a b], [A.b], [select] FROM {quoted} AS x") == [[2, 3, 1]]
        literal = name.replace("'", "''")
        assert raw.rows(f"SELECT COUNT(*) FROM sys.tables WHERE name = N'{literal}'") == [[1]]

    def test_collation_of_a_database(self, mssql: MssqlServer) -> None:
        database = mssql.new_database("Cyrillic_General_CS_AS")
        with RawClient(mssql, database.name) as client:
            client.run(
                "CREATE TABLE c (a varchar(9), b nvarchar(9) COLLATE Latin1_General_CI_AI); INSERT c VALUES (N'Жук', N'É')"
            )
            assert client.rows("SELECT a, b FROM c WHERE a = N'Жук' AND b = 'e'") == [["Жук", "É"]]
            assert client.rows("SELECT COUNT(*) FROM c WHERE a = N'жук'") == [[0]]
            names = client.rows(
                "SELECT collation_name FROM sys.columns WHERE object_id = OBJECT_ID('c') ORDER BY column_id"
            )
            assert names == [["Cyrillic_General_CS_AS"], ["Latin1_General_CI_AI"]]
        database.drop()


def test_scripts_with_go_comments_and_strings() -> None:
    from tsql_sandbox.tsql.lexer import split_batches

    script = "SELECT 1\nGO\n/* GO\nGO\n*/ SELECT 'a\nGO\nb'\n go -- end\nSELECT [x\ny]\nGO 2\nSELECT 3"
    found: list[Any] = [batch.strip() for batch in split_batches(script)]
    assert found == ["SELECT 1", "/* GO\nGO\n*/ SELECT 'a\nGO\nb'", "SELECT [x\ny]", "SELECT [x\ny]", "SELECT 3"]
