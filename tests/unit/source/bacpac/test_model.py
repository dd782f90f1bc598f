"""model.xml into the catalog: everything that is read, every default, and the names of what is not."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from bcp_rows import MAX, Column
from mssql_pg_migrate.errors import MigrationError
from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.model import Catalog, Check, Default, Identity, Index, Key, KeyColumn, Loss, SqlType, Table
from mssql_pg_migrate.source.bacpac.catalog import catalog_of, read_contents
from mssql_pg_migrate.source.bacpac.model_xml import split_name
from packages import (
    COLLATION,
    bracketed,
    element,
    model_xml,
    prop,
    reference,
    relation,
    script,
    type_specifier,
    write_package,
)
from packages import Table as Made

ANNOTATION = '<Annotation Type="{}" />'


def catalog(tmp_path: Path, tables: list[Made], elements: str = "", **others: str | None) -> Catalog:
    """The catalog of a package that holds these."""
    return read_contents(str(write_package(tmp_path / "x.bacpac", tables, elements=elements, **others))).catalog  # type: ignore[arg-type]


def only(found: Catalog) -> Table:
    """Its one table."""
    (table,) = found.tables
    return table


@pytest.mark.parametrize(
    ("text", "parts"),
    [("[a]", ("a",)), ("[a].[b].[c]", ("a", "b", "c")), ("[a]]b].[].[x.y]", ("a]b", "", "x.y")), ("", ())],
)
def test_names(text: str, parts: tuple[str, ...]) -> None:
    """Brackets inside names are doubled."""
    assert split_name(text) == parts


TYPES = [
    (Column("nvarchar", length=10), SqlType("nvarchar", 20, collation=COLLATION)),
    (Column("nchar", length=3), SqlType("nchar", 6, collation=COLLATION)),
    (Column("varchar", length=10), SqlType("varchar", 10, collation=COLLATION, code_page=1252)),
    (Column("char"), SqlType("char", 1, collation=COLLATION, code_page=1252)),
    (Column("varchar", length=MAX), SqlType("varchar", -1, collation=COLLATION, code_page=1252)),
    (Column("varbinary", length=MAX), SqlType("varbinary", -1)),
    (Column("binary", length=9), SqlType("binary", 9)),
    (Column("decimal", precision=12, scale=3), SqlType("decimal", 9, 12, 3)),
    (Column("numeric"), SqlType("numeric", 9, 18, 0)),
    (Column("float"), SqlType("float", 8, 53)),
    (Column("float", precision=24), SqlType("real", 4, 24)),
    (Column("datetime2", scale=7), SqlType("datetime2", 8, 27, 7)),
    (Column("datetime2", scale=0), SqlType("datetime2", 8, 19, 0)),
    (Column("time", scale=3), SqlType("time", 5, 12, 3)),
    (Column("datetimeoffset", scale=7), SqlType("datetimeoffset", 10, 34, 7)),
    (Column("int"), SqlType("int", 4, 10)),
    (Column("money"), SqlType("money", 8, 19, 4)),
    (Column("timestamp"), SqlType("timestamp", 8)),
    (Column("sysname"), SqlType("nvarchar", 256, collation=COLLATION)),
    (Column("xml"), SqlType("xml", -1)),
    (Column("geography"), SqlType("geography", -1)),
    (Column("hierarchyid"), SqlType("hierarchyid", 892)),
    (Column("sql_variant"), SqlType("sql_variant", 8016)),
    (Column("ntext"), SqlType("ntext", 16, collation=COLLATION)),
]


def test_types(tmp_path: Path) -> None:
    """As sys.columns would tell them, with the defaults of what is not written."""
    columns = [
        Column(one.type, True, one.length, one.precision, one.scale, f"c{number}")
        for number, (one, _) in enumerate(TYPES)
    ]
    table = only(catalog(tmp_path, [Made("T", columns)]))
    assert [column.type for column in table.columns] == [wanted for _, wanted in TYPES]
    assert all(column.nullable for column in table.columns)
    assert [column.ordinal for column in table.columns] == list(range(1, len(TYPES) + 1))


def test_the_scale_that_is_not_written_is_seven(tmp_path: Path) -> None:
    """time, datetime2 and datetimeoffset."""
    kind = relation(
        "TypeSpecifier", element("SqlTypeSpecifier", None, relation("Type", reference("time", built_in=True)))
    )
    column = element("SqlSimpleColumn", "[dbo].[T].[a]", kind)
    found = catalog(tmp_path, [], element("SqlTable", "[dbo].[T]", relation("Columns", column)))
    assert only(found).columns[0].type == SqlType("time", 5, 16, 7)


def test_columns(tmp_path: Path) -> None:
    """Identity, rowguid, sparse, masked, hidden, periods, collations, defaults, computed ones, descriptions."""
    table = Made(
        "T",
        [Column("int", name="id"), Column("int", True, name="a"), Column("uniqueidentifier", name="g"),
         Column("nvarchar", length=5, name="n"), Column("datetime2", scale=7, name="f"), Column("int", name="id2")],
        computed={"sum": "([a]+(1))"},
        properties={
            "id": {"IsIdentity": "True", "IdentitySeed": "-5", "IdentityIncrement": "3"},
            "id2": {"IsIdentity": "True"},
            "a": {"IsSparse": "True", "MaskingFunction": "default()"},
            "g": {"IsRowGuidColumn": "True"},
            "n": {"Collation": "Turkish_CI_AS"},
            "f": {"GeneratedAlwaysType": "1", "IsHidden": "True"},
        },
    )  # fmt: skip
    default = element(
        "SqlDefaultConstraint", "[dbo].[DF_a]", script("DefaultExpressionScript", "((7))"),
        relation("DefiningTable", reference("dbo", "T")), relation("ForColumn", reference("dbo", "T", "a")),
    )  # fmt: skip
    words = element(
        "SqlExtendedProperty", "[SqlColumn].[dbo].[T].[a].[MS_Description]", script("Value", "N'it''s ours'"),
        relation("Host", reference("dbo", "T", "a")),
    )  # fmt: skip
    words += element(
        "SqlExtendedProperty", "[SqlTableBase].[dbo].[T].[MS_Description]", script("Value", "N'all'"),
        relation("Host", reference("dbo", "T")),
    )  # fmt: skip
    found = only(catalog(tmp_path, [table], default + words))
    by = {column.name: column for column in found.columns}
    assert by["id"].identity == Identity(-5, 3)
    assert by["id2"].identity == Identity(1, 1)
    assert (by["a"].sparse, by["a"].masked, by["a"].description) == (True, True, "it's ours")
    assert by["a"].default == Default("DF_a", "((7))")
    assert by["g"].rowguid
    assert by["n"].type.collation == "Turkish_CI_AS"
    assert (by["f"].generated_always, by["f"].hidden, by["f"].nullable) == (1, True, False)
    assert by["sum"].computed is not None
    assert (by["sum"].computed.definition, by["sum"].computed.persisted) == ("([a]+(1))", False)
    assert found.description == "all"


def _specifications(*columns: str, descending: str = "") -> str:
    return relation(
        "ColumnSpecifications",
        *(
            element(
                "SqlIndexedColumnSpecification",
                None,
                *([prop("IsAscending", "False")] if column == descending else []),
                relation("Column", reference("dbo", "T", column)),
            )
            for column in columns
        ),
    )


THREE = [Column("int", name="a"), Column("int", name="b"), Column("int", True, name="c")]
ON_T = relation("DefiningTable", reference("dbo", "T"))


def test_keys_and_indexes(tmp_path: Path) -> None:
    """Named and unnamed keys, clustered or not, order, INCLUDE, filters, columnstore, XML, disabled ones."""
    indexed = relation("IndexedObject", reference("dbo", "T"))
    elements = "".join(
        (
            element("SqlPrimaryKeyConstraint", None, prop("IsClustered", "False"), _specifications("a"), ON_T,
                    '<Annotation Type="SqlInlineConstraintAnnotation" Name="[dbo].[PK__T__1]" Disambiguator="3" />'),
            element("SqlUniqueConstraint", "[dbo].[UQ]", _specifications("b", "a", descending="b"), ON_T),
            element("SqlIndex", "[dbo].[T].[IX1]", prop("IsUnique", "True"), prop("IsClustered", "True"),
                    script("FilterPredicate", "[c] IS NOT NULL"), _specifications("c", descending="c"), indexed,
                    relation("IncludedColumns", reference("dbo", "T", "a"), reference("dbo", "T", "b"))),
            element("SqlIndex", "[dbo].[T].[IX2]", prop("IgnoreDuplicateKeys", "True"), prop("IsDisabled", "True"),
                    prop("FillFactor", "80"), _specifications("b"), indexed),
            element("SqlColumnStoreIndex", "[dbo].[T].[IX3]", _specifications("a", "b"), indexed),
            element("SqlColumnStoreIndex", "[dbo].[T].[IX4]", prop("IsClustered", "True"), indexed),
            element("SqlXmlIndex", "[dbo].[T].[IX5]", prop("IsPrimary", "True"), indexed,
                    relation("Column", reference("dbo", "T", "c"))),
            element("SqlFullTextIndex", "[dbo].[T]", indexed, relation("Columns",
                    element("SqlFullTextIndexColumnSpecifier", None, relation("Column", reference("dbo", "T", "b"))))),
        )
    )  # fmt: skip
    found = catalog(tmp_path, [Made("T", THREE)], elements)
    table = only(found)
    assert table.primary_key == Key("PK__T__1", (KeyColumn("a"),), primary=True)
    assert table.unique_keys == (Key("UQ", (KeyColumn("b", True), KeyColumn("a")), primary=False),)
    assert table.indexes == (
        Index("IX1", (KeyColumn("c", True),), ("a", "b"), True, True, "([c] IS NOT NULL)", "CLUSTERED"),
        Index("IX2", (KeyColumn("b"),), disabled=True, ignore_dup_key=True),
        Index("IX3", (KeyColumn("a"), KeyColumn("b")), kind="NONCLUSTERED COLUMNSTORE"),
        Index("IX4", (), kind="CLUSTERED COLUMNSTORE"),
        Index("IX5", (KeyColumn("c"),), kind="XML"),
    )
    assert table.fulltext == ("b",)
    assert found.losses == (Loss("dbo.T.IX5", "IsPrimary (SqlXmlIndex): set by the package's model"),)


def test_constraints(tmp_path: Path) -> None:
    """Foreign keys with what they do, checks, trust, and a reference to nowhere."""

    def foreign(name: str, target: str, *more: str) -> str:
        return element("SqlForeignKeyConstraint", f"[dbo].[{name}]", *more, ON_T,
                       relation("Columns", reference("dbo", "T", "a"), reference("dbo", "T", "b")),
                       relation("ForeignTable", reference("dbo", target)),
                       relation("ForeignColumns", reference("dbo", target, "b"), reference("dbo", target, "a")),
                       )  # fmt: skip

    check = element("SqlCheckConstraint", "[dbo].[CK]", script("CheckExpressionScript", "[a]>(0) OR [b]>(0)"), ON_T,
                    relation("CheckExpressionDependencies", reference("dbo", "T", "a")),
                    ANNOTATION.format("IsNotTrustedPropertyAnnotation"))  # fmt: skip
    elements = (
        foreign("FK1", "U", prop("OnDeleteAction", "1"), prop("OnUpdateAction", "3"))
        + foreign("FK2", "U", ANNOTATION.format("IsNotTrustedPropertyAnnotation"))
        + foreign("FK3", "V")
        + check
    )
    found = catalog(tmp_path, [Made("T", THREE), Made("U", THREE)], elements)
    table = found.tables[0]
    one, two = table.foreign_keys
    assert (one.name, one.columns, one.referenced_table, one.referenced_columns) == ("FK1", ("a", "b"), "U", ("b", "a"))
    assert (one.on_delete, one.on_update, one.not_trusted) == ("CASCADE", "SET_DEFAULT", False)
    assert (two.on_delete, two.not_trusted) == ("NO_ACTION", True)
    assert table.checks == (Check("CK", "([a]>(0) OR [b]>(0))", not_trusted=True),)
    assert found.losses == (Loss("dbo.T constraint FK3", "foreign key: dbo.V is not in the package", "dbo.T"),)


def test_temporal_graph_and_other_tables(tmp_path: Path) -> None:
    """A versioned table and its history; memory, external tables and diagrams."""
    elements = (
        element("SqlTable", "[dbo].[Now]", relation("Columns"),
                relation("TemporalSystemVersioningHistoryTable", reference("dbo", "T")))
        + element("SqlTable", "[dbo].[sysdiagrams]", relation("Columns"))
        + element("SqlTable", "[dbo].[M]", prop("IsMemoryOptimized", "True"), relation("Columns"))
        + element("SqlExternalTable", "[dbo].[E]")
    )  # fmt: skip
    found = catalog(tmp_path, [Made("T", THREE)], elements)
    by = {table.name: table for table in found.tables}
    assert set(by) == {"Now", "T", "M"}
    assert (by["Now"].temporal, by["Now"].history_table, by["T"].temporal) == ("versioned", "dbo.T", "history")
    assert by["M"].memory_optimized
    assert any("dbo.sysdiagrams" in note for note in found.notes)
    assert found.losses == (Loss("dbo.E", "external table: its rows live in another system"),)


def test_sequences_types_and_code(tmp_path: Path) -> None:
    """Sequences with and without bounds, alias types and their columns, views, routines, triggers, synonyms."""
    integer = type_specifier(Column("int"))
    head = '<Annotation Type="SysCommentsObjectAnnotation">' + prop("HeaderContents", "CREATE VIEW dbo.V AS\r\n")
    head += prop("FooterContents", ";") + "</Annotation>"
    body = element("SqlScriptFunctionImplementation", None, script("BodyScript", "RETURN 1"))
    alias = element("SqlUserDefinedDataType", "[dbo].[Name]", prop("Length", "50"), prop("IsNullable", "False"),
                    relation("Type", reference("nvarchar", built_in=True)))  # fmt: skip
    kind = relation("TypeSpecifier", element("SqlTypeSpecifier", None, relation("Type", reference("dbo", "Name"))))
    clr = relation("TypeSpecifier", element("SqlTypeSpecifier", None, relation("Type", reference("dbo", "Point"))))
    elements = "".join(
        (
            element("SqlSequence", "[dbo].[S]", prop("Increment", "2"), prop("StartValue", "5"), integer,
                    '<Annotation Type="OnlinePropertyAnnotation" Name="[CurrentValue]">' + prop("Value", 9)
                    + "</Annotation>"),
            element("SqlSequence", "[dbo].[S2]", prop("Increment", "-1"), prop("MinValue", "-9"), prop("MaxValue", "9"),
                    prop("IsCycling", "True"), integer),
            alias,
            element("SqlTable", "[dbo].[T]", relation("Columns", element("SqlSimpleColumn", "[dbo].[T].[n]", kind),
                    element("SqlSimpleColumn", "[dbo].[T].[p]", clr))),
            element("SqlView", "[dbo].[V]", script("QueryScript", "SELECT 1 AS a"), head,
                    relation("Columns", element("SqlComputedColumn", "[dbo].[V].[a]"))),
            element("SqlView", "[dbo].[W]", script("QueryScript", "SELECT 2 AS b")),
            element("SqlScalarFunction", "[dbo].[F]", relation("FunctionBody", body)),
            element("SqlProcedure", "[dbo].[P]", script("BodyScript", "SELECT 1")),
            element("SqlDmlTrigger", "[dbo].[T].[Tr]", script("BodyScript", "x"),
                    relation("Parent", reference("dbo", "T"))),
            element("SqlSynonym", "[dbo].[Y]", script("ForObjectScript", "[other].[dbo].[T]")),
            element("SqlDatabaseDdlTrigger", "[D]", script("BodyScript", "x")),
        )
    )  # fmt: skip
    found = catalog(tmp_path, [], elements)
    one, two = found.sequences
    assert (one.start, one.increment, one.minimum, one.maximum, one.current) == (5, 2, -(2**31), 2**31 - 1, 9)
    assert (two.start, two.minimum, two.maximum, two.cycle, two.current) == (9, -9, 9, True, 9)
    (named,) = found.alias_types
    assert (named.schema, named.name, named.base, named.nullable) == (
        "dbo", "Name", SqlType("nvarchar", 100, collation=COLLATION), False,
    )  # fmt: skip
    name, point = only(found).columns
    assert (name.type.name, name.type.alias, name.nullable) == ("nvarchar", "dbo.Name", True)
    assert (point.type.name, point.type.alias) == ("Point", "dbo.Point")
    assert [(module.kind, module.schema, module.name, module.definition) for module in found.modules] == [
        ("trigger", "", "D", None),
        ("function", "dbo", "F", "RETURN 1"),
        ("procedure", "dbo", "P", "SELECT 1"),
        ("trigger", "dbo", "Tr", "x"),
        ("view", "dbo", "V", "CREATE VIEW dbo.V AS\r\nSELECT 1 AS a;"),
        ("view", "dbo", "W", "CREATE VIEW [dbo].[W] AS\nSELECT 2 AS b"),
        ("synonym", "dbo", "Y", "[other].[dbo].[T]"),
    ]
    assert found.modules[4].columns == ("a",)
    assert found.modules[3].parent == "dbo.T"


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    """Elements of other types, unknown properties, options, data files of no table."""
    elements = element("SqlRole", "[r1]") + element("SqlRole", "[r2]") + element("SqlTableType", "[dbo].[TT]")
    table = Made("T", THREE, properties={"a": {"IsSecret": "1"}, "b": {"IsSecret": "1"}})
    path = write_package(
        tmp_path / "x.bacpac", [table], elements=elements, replaced={"Data/dbo.Gone/TableData-000-00000.BCP": b"1"}
    )
    gone = "Data/dbo.Gone/TableData-000-00000.BCP"
    assert read_contents(str(path)).catalog.losses == (
        Loss("dbo.T.a", "IsSecret (SqlSimpleColumn): set by the package's model, here and in 1 more"),
        Loss("dbo.TT", "table type: PostgreSQL has none"),
        Loss("model element SqlRole", "2 elements of the package's model (r1, r2)"),
        Loss(gone, "data file: it belongs to no table of the package's model"),
    )


def test_the_database(tmp_path: Path) -> None:
    """Name, version, collation: named or assumed; schemas in any case, and those that are not there."""
    path = str(write_package(tmp_path / "x.bacpac", [Made("T", THREE), Made("U", THREE, schema="Sales")]))
    contents = read_contents(path)
    found = contents.catalog
    assert (found.database, found.server_version, found.collation) == ("Shop", "15.0.2000.5", COLLATION)
    assert [table.full_name for table in catalog_of(contents, ["sales"]).tables] == ["Sales.U"]
    with pytest.raises(Exception, match="has no schema 'nope'"):
        catalog_of(contents, ["nope"])
    plain = catalog(tmp_path, [Made("T", THREE)], collation=None)
    assert plain.collation == "Latin1_General_CI_AS"
    assert any("does not name the database's collation" in note for note in plain.notes)
    assert bracketed("a]b") == "[a]]b]"


def test_descriptions(tmp_path: Path) -> None:
    """Of everything that has them; those of other things, and other properties, are counted."""

    def words(kind: str, *host: str, name: str = "MS_Description", value: str = "N'x'") -> str:
        return element(
            "SqlExtendedProperty",
            bracketed(kind, *host, name),
            script("Value", value),
            relation("Host", reference(*host)),
        )

    table = Made("T", THREE, key=["a"])
    check = element("SqlCheckConstraint", "[dbo].[CK]", script("CheckExpressionScript", "[a]>(0)"), ON_T)
    database = element(
        "SqlExtendedProperty", "[SqlDatabaseOptions].[MS_Description]", script("Value", "'all of it'"),
        relation("Host", '<References Disambiguator="1" />'),
    )  # fmt: skip
    elements = check + database
    for host in (("dbo", "T"), ("dbo", "T", "a"), ("dbo", "PK_T"), ("dbo", "T", "PK_T"), ("dbo", "CK"), ("dbo",)):
        elements += words("SqlConstraint", *host)
    elements += words("SqlProcedure", "dbo", "P") + words("SqlColumn", "dbo", "T", "b", name="Author", value="1")
    found = catalog(tmp_path, [table], elements)
    made = only(found)
    assert (made.description, made.columns[0].description, made.columns[1].description) == ("x", "x", None)
    assert made.primary_key is not None
    assert (made.primary_key.description, made.primary_key.index_description) == ("x", "x")
    assert made.checks[0].description == "x"
    assert (found.description, found.schema_descriptions) == ("all of it", (("dbo", "x"),))
    assert found.losses == (
        Loss("Shop", "descriptions of what PostgreSQL does not get or has none for: 1 (dbo.P)"),
        Loss("Shop", "extended properties other than MS_Description: Author (1)"),
    )


def test_damaged_models_end_in_an_error_of_ours(tmp_path: Path) -> None:
    """Attributes, elements and names lost or changed all over a rich model: a catalog, or a refusal in words."""
    table = Made("T", THREE, [[[1, 2, 3]]], key=["a", "b"], computed={"s": "([a]+(1))"})
    elements = element(
        "SqlIndex", "[dbo].[T].[IX]", _specifications("b"), relation("IndexedObject", reference("dbo", "T"))
    )
    elements += element("SqlCheckConstraint", "[dbo].[CK]", script("CheckExpressionScript", "[a]>(0)"), ON_T)
    elements += element("SqlForeignKeyConstraint", "[dbo].[FK]", ON_T, relation("Columns", reference("dbo", "T", "a")),
                        relation("ForeignTable", reference("dbo", "T")),
                        relation("ForeignColumns", reference("dbo", "T", "b")))  # fmt: skip
    elements += element("SqlSequence", "[dbo].[S]", prop("StartValue", "1"), type_specifier(Column("int")))
    elements += element("SqlView", "[dbo].[V]", script("QueryScript", "SELECT 1 AS a"))
    elements += element("SqlSynonym", "[dbo].[Y]", relation("ForObject", reference("dbo", "T")))
    elements += element("SqlUserDefinedDataType", "[dbo].[N]", relation("Type", reference("int", built_in=True)))
    text = model_xml([table], elements)
    random_ = random.Random(3)
    marks = [found.span() for found in re.finditer(r' \w+="[^"]*"|<Property[^>]*/>|\[\w+\]|<References[^>]*/>', text)]
    refused = 0
    for _ in range(400):
        start, end = random_.choice(marks)
        put = random_.choice(["", "x", text[start:end] * 2, "99999999999", "[a].[b].[c].[d]"])
        path = write_package(
            tmp_path / "x.bacpac", [table], replaced={"model.xml": text[:start] + put + text[end:], "Origin.xml": None}
        )
        try:
            build(read_contents(str(path)).catalog, MappingOptions())
        except MigrationError:
            refused += 1
    assert 20 < refused < 380


def test_encrypted_columns_keep_the_run_from_nothing_else(tmp_path: Path) -> None:
    """Their values are ciphertext of no type there is a rule for; the catalog does not call the table unreadable."""
    column = element(
        "SqlSimpleColumn", "[dbo].[T].[s]", prop("EncryptionType", "1"), prop("EncryptionAlgorithmName", "x"),
        relation("ColumnEncryptionKey", reference("CEK")), type_specifier(Column("char", length=11)),
    )  # fmt: skip
    found = only(catalog(tmp_path, [], element("SqlTable", "[dbo].[T]", relation("Columns", column))))
    assert found.columns[0].type.name == "Always Encrypted char"
    assert not found.columns[0].encrypted
