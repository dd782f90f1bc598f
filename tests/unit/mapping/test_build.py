"""What becomes of a table: columns, identities, temporal and graph tables, and what the plan says of it."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.mapping.range_keys import choose_range_key
from mssql_pg_migrate.model import HIDDEN, Check, Computed, Index, KeyColumn, Loss, Module, Sequence, SqlType
from schema_samples import catalog, column, key, mapped, notes, only_table, table


def test_types_names_and_nullability_arrive() -> None:
    source = catalog(
        table(
            "Orders",
            column("Id", "int", nullable=False),
            column("Note", "nvarchar(max)", description="free text"),
            column("Total", "money"),
            description="all orders",
        )
    )
    result = only_table(mapped(source))
    assert [(item.name, item.pg_type, item.nullable) for item in result.columns] == [
        ("Id", "integer", False),
        ("Note", "text", True),
        ("Total", "numeric(19,4)", True),
    ]
    assert result.comment == "all orders"
    assert result.columns[1].comment == "free text"


def test_a_mapped_database_can_be_pickled_for_workers() -> None:
    source = catalog(table("T", column("a", "int", nullable=False), primary_key=key("PK", "a", primary=True)))
    database = mapped(source)
    assert pickle.loads(pickle.dumps(database)) == database
    assert pickle.loads(pickle.dumps(MappingOptions(schemas={"a": "b"}))) == MappingOptions(schemas={"a": "b"})


@pytest.mark.parametrize("declared", ["tinyint", "smallint", "int", "bigint"])
def test_integer_identities_become_identities(declared: str) -> None:
    result = only_table(mapped(catalog(table("T", column("Id", declared, nullable=False, identity=(1, 1))))))
    assert result.columns[0].identity
    assert result.columns[0].default_sql is None


def test_a_decimal_identity_is_fed_by_a_sequence() -> None:
    database = mapped(catalog(table("T", column("Id", "decimal(12,0)", nullable=False, identity=(10, 5, 25)))))
    found = only_table(database).columns[0]
    assert not found.identity
    assert found.default_sql == 'nextval(\'"public"."T_Id_seq"\'::regclass)'
    (sequence,) = database.sequences
    assert sequence.owner == ("public", "T", "Id")
    assert (sequence.source.start, sequence.source.increment, sequence.source.maximum) == (10, 5, 10**12 - 1)
    assert any("fed by the sequence" in text for text in notes(database, "info", "dbo.T.Id"))


def test_an_identity_beyond_bigint_keeps_its_data_and_is_named() -> None:
    database = mapped(catalog(table("T", column("Id", "decimal(38,0)", nullable=False, identity=(10**30, 1)))))
    assert not only_table(database).columns[0].identity
    assert only_table(database).columns[0].default_sql is None
    assert any("beyond bigint" in text for text in notes(database, "not_carried", "dbo.T.Id"))


def test_an_always_encrypted_column_refuses_the_run_by_name() -> None:
    database = mapped(catalog(table("T", column("a", "int"), column("Ssn", "varbinary(50)", encrypted=True))))
    (message,) = notes(database, "error", "dbo.T.Ssn")
    assert "Always Encrypted" in message


def test_lossy_columns_are_marked() -> None:
    source = catalog(
        table("T", column("a", "datetime2(7)"), column("b", "datetimeoffset(3)"), column("c", "datetime2(6)"))
    )
    database = mapped(source)
    assert [item.lossy is not None for item in only_table(database).columns] == [True, True, False]
    assert len(notes(database, "lossy")) == 2


def test_pseudo_columns_of_graph_tables_are_left_out_and_said_so() -> None:
    source = catalog(
        table(
            "Knows",
            column("graph_id_1", "bigint", graph_type=1, hidden=True),
            column("$edge_id_2", "nvarchar(1000)", graph_type=2),
            column("since", "int"),
            graph="edge",
        )
    )
    database = mapped(source)
    assert [item.name for item in only_table(database).columns] == ["since"]
    assert any("which nodes an edge connects" in text for text in notes(database, "not_carried", "dbo.Knows"))


def test_ledger_columns_become_plain_columns_and_are_named() -> None:
    """SQL Server 2022 fills them itself, so applications never do."""
    source = catalog(
        table(
            "Account",
            column("Id", "int", nullable=False),
            column("ledger_start_transaction_id", "bigint", nullable=False, generated_always=7, hidden=True),
            column("ledger_end_transaction_id", "bigint", generated_always=8, hidden=True),
        )
    )
    database = mapped(source)
    assert len(only_table(database).columns) == 3
    (start,) = notes(database, "not_carried", "dbo.Account.ledger_start_transaction_id")
    (end,) = notes(database, "not_carried", "dbo.Account.ledger_end_transaction_id")
    assert "INSERTs must name" in start
    assert "INSERTs must name" not in end


@pytest.mark.parametrize("mode", ["drop_recreate", "upsert"])
def test_a_table_without_a_column_to_carry_is_left_out_and_said_so(mode: str) -> None:
    """An edge without attributes; a SELECT of no column could not even be written."""
    edge = table(
        "Likes",
        column("graph_id_1", "bigint", graph_type=1),
        column("w", "int", computed=Computed("(1)", False)),
        graph="edge",
    )
    person = table("Person", column("Id", "int", nullable=False), primary_key=key("PK", "Id", primary=True))
    database = mapped(catalog(edge, person), mode=mode)
    assert [item.name for item in database.tables] == ["Person"]
    assert any("none of its columns" in text for text in notes(database, "not_carried", "dbo.Likes"))
    assert notes(database, "error") == []


def test_a_temporal_table_and_its_history_become_plain_tables() -> None:
    period = (
        column("ValidFrom", "datetime2(7)", nullable=False, generated_always=1),
        column("ValidTo", "datetime2(7)", nullable=False, generated_always=2, hidden=True),
    )
    source = catalog(
        table("Price", column("Id", "int"), *period, temporal="versioned", history_table="dbo.PriceHistory"),
        table("PriceHistory", column("Id", "int"), *(replace(item, generated_always=0) for item in period),
              temporal="history"),
    )  # fmt: skip
    database = mapped(source)
    current = only_table(database, "Price")
    assert [item.name for item in current.columns] == ["Id", "ValidFrom", "ValidTo"]
    assert current.columns[1].default_sql == "(now() AT TIME ZONE 'UTC')"
    assert current.columns[2].default_sql == "'9999-12-31 23:59:59.999999'::timestamp"
    assert any("will not write history" in text for text in notes(database, "not_carried", "dbo.Price"))


def test_an_external_table_is_skipped_and_named() -> None:
    database = mapped(catalog(table("Here", column("a", "int")), table("There", column("a", "int"), external=True)))
    assert [item.name for item in database.tables] == ["Here"]
    assert any("another system" in text for text in notes(database, "not_carried", "dbo.There"))


def test_upsert_without_a_primary_key_is_refused_with_the_guides_words() -> None:
    source = catalog(table("orders", column("a", "int")), table("keyed", column("a", "int", nullable=False),
                     primary_key=key("PK", "a", primary=True)))  # fmt: skip
    database = mapped(source, mode="upsert")
    assert notes(database, "error") == ["Table 'orders' has no primary key, required for upsert mode"]
    assert notes(mapped(source), "error") == []


def test_only_selected_tables_are_mapped() -> None:
    source = catalog(table("A", column("a", "int")), table("B", column("a", "int")))
    assert [item.name for item in mapped(source, selected=frozenset({"dbo.B"})).tables] == ["B"]


def test_each_schema_gets_its_own_target_schema() -> None:
    source = catalog(table("A", column("a", "int")), table("B", column("a", "int"), schema="Sales Data"))
    assert mapped(source, schemas={}).schemas == ("dbo", "Sales Data")
    assert mapped(source, schemas={}, identifier_case="snake").schemas == ("dbo", "sales_data")
    assert mapped(source, schemas={"dbo": "app"}).schemas == ("app", "Sales Data")


def test_routines_triggers_and_synonyms_are_listed_with_a_reason() -> None:
    modules = (
        Module("dbo", "DoIt", "procedure", "create procedure ..."),
        Module("dbo", "Total", "function", "create function ..."),
        Module("dbo", "OnInsert", "trigger", "create trigger ...", parent="dbo.T"),
        Module("dbo", "OnOther", "trigger", "create trigger ...", parent="dbo.Elsewhere"),
        Module("", "OnDdl", "trigger"),
        Module("dbo", "Alias", "synonym", "[Other].[dbo].[T]"),
        Module("dbo", "V", "view", "create view V as select 1 as a"),
    )
    database = mapped(catalog(table("T", column("a", "int")), modules=modules))
    listed = {note.object: note.message for note in database.notes if note.severity == "not_carried"}
    assert set(listed) == {"dbo.DoIt", "dbo.Total", "dbo.OnInsert", "OnDdl", "dbo.Alias", "dbo.V"}
    assert listed["OnDdl"] == "trigger on the database: T-SQL code is not translated"
    assert "[Other].[dbo].[T]" in listed["dbo.Alias"]
    assert "create_views is false" in listed["dbo.V"]


def test_masked_columns_warn_of_masked_values() -> None:
    database = mapped(catalog(table("T", column("a", "nvarchar(9)", masked=True))))
    assert any("UNMASK" in text for text in notes(database, "warning", "dbo.T.a"))


def test_what_the_catalog_could_not_read_is_in_the_plan() -> None:
    database = mapped(catalog(table("T", column("a", "int")), notes=("Triggers could not be read.",)))
    assert notes(database, "warning", "Shop") == ["Triggers could not be read."]


def test_sequences_keep_their_bounds_and_position() -> None:
    source = catalog(
        table("T", column("a", "int", default="(NEXT VALUE FOR [dbo].[Tickets])")),
        sequences=(
            Sequence("dbo", "Tickets", column("x", "int").type, 100, 10, 100, 1000, True, 250),
            Sequence("dbo", "Unused", column("x", "tinyint").type, 5, 1, 0, 255, False, 5),
            Sequence("dbo", "UsedOnce", column("x", "tinyint").type, 5, 1, 0, 255, False, 5, last_used=5),
            Sequence("dbo", "Huge", column("x", "decimal(38,0)").type, 10**20, 1, 0, 10**30, False, 10**20),
            Sequence("dbo", "Wide", column("x", "decimal(20,0)").type, 1, 1, -(10**20), 10**20, False, 7),
        ),
    )
    database = mapped(source)
    found = {sequence.name: sequence for sequence in database.sequences}
    assert set(found) == {"Tickets", "Unused", "UsedOnce", "Wide"}
    assert found["Tickets"].is_called
    assert found["Tickets"].feeds == (("public", "T", "a"),)
    assert found["Unused"].pg_type == "smallint"
    assert not found["Unused"].is_called
    assert found["UsedOnce"].is_called
    assert found["Wide"].source.maximum == 2**63 - 1
    assert any("beyond bigint" in text for text in notes(database, "not_carried", "dbo.Huge"))
    assert any("bounds are cut" in text for text in notes(database, "warning", "dbo.Wide"))


@pytest.mark.parametrize(
    ("option", "declared", "collation", "expected"),
    [
        ("ignore", "varchar(9)", "Latin1_General_CI_AS", ("varchar(9)", None)),
        ("citext", "varchar(9)", "Latin1_General_CI_AS", ("citext", None)),
        ("citext", "varchar(9)", "Latin1_General_CS_AS", ("varchar(9)", None)),
        ("citext", "varchar(9)", "Latin1_General_BIN2", ("varchar(9)", None)),
        ("citext", "int", None, ("integer", None)),
        ("icu", "varchar(9)", "Latin1_General_CI_AS", ("varchar(9)", '"public"."mssql_ci_as"')),
        ("icu", "nvarchar(max)", "Latin1_General_CI_AI", ("text", '"public"."mssql_ci_ai"')),
        ("icu", "char(4)", "Latin1_General_CS_AI", ("char(4)", '"public"."mssql_cs_ai"')),
        ("icu", "varchar(9)", "Turkish_100_CI_AS", ("varchar(9)", '"public"."mssql_tr_ci_as"')),
        ("icu", "varchar(9)", "Latin1_General_CS_AS", ("varchar(9)", None)),
        ("icu", "xml", None, ("text", None)),
    ],
)
def test_the_collation_option(
    option: str, declared: str, collation: str | None, expected: tuple[str, str | None]
) -> None:
    database = mapped(catalog(table("T", column("a", declared, collation=collation))), collation=option)
    found = only_table(database).columns[0]
    assert (found.pg_type, found.collation_sql) == expected
    assert database.extensions == (("citext",) if expected[0] == "citext" else ())
    assert len(database.collations_sql) == (1 if expected[1] else 0)


def test_collations_are_created_in_a_schema_of_the_run() -> None:
    source = catalog(
        table("A", column("a", "int"), schema="unused"), table("B", column("b", "varchar(9)"), schema="app")
    )
    database = mapped(source, schemas={}, collation="icu", selected=frozenset({"app.B"}))
    assert database.schemas == ("app",)
    assert '"app"."mssql_ci_as"' in database.collations_sql[0]


def test_a_server_without_citext_or_icu_is_refused_beforehand() -> None:
    from mssql_pg_migrate.mapping.options import TargetAbilities

    source = catalog(table("T", column("a", "varchar(9)")))
    none = TargetAbilities(version_num=150000, extensions=frozenset(), icu=False)
    assert any("citext" in text for text in notes(mapped(source, collation="citext", abilities=none), "error"))
    assert any("ICU" in text for text in notes(mapped(source, collation="icu", abilities=none), "error"))
    assert notes(mapped(source, collation="ignore", abilities=none), "error") == []


def test_the_range_key_is_chosen_for_every_table() -> None:
    source = catalog(
        table("Keyed", column("a", "int", nullable=False), primary_key=key("PK", "a", primary=True)),
        table("Loose", column("a", "int")),
    )
    database = mapped(source)
    chosen = only_table(database, "Keyed").range_key
    assert chosen is not None
    assert chosen.columns == (KeyColumn("a"),)
    assert only_table(database, "Loose").range_key is None


def test_full_text_indexes_and_bound_rules_are_named() -> None:
    source = catalog(
        table("T", column("a", "int", bound=("rule dbo.Positive",)), column("b", "varchar(9)"), fulltext=("b",))
    )
    database = mapped(source)
    assert any("dbo.Positive" in text for text in notes(database, "not_carried", "dbo.T.a"))
    assert any("full-text index on b" in text for text in notes(database, "not_carried", "dbo.T"))


def test_a_bound_default_whose_text_is_hidden_is_named() -> None:
    database = mapped(catalog(table("T", column("a", "int", default="[dbo].[SECRET]"))))
    assert only_table(database).columns[0].default_sql is None
    assert any("SECRET" in text for text in notes(database, "not_carried", "dbo.T.a"))


def test_columns_that_postgresql_does_not_fill_are_named_where_inserts_must_name_them() -> None:
    source = catalog(
        table(
            "T",
            column("id", "int", nullable=False),
            column("stamp", "timestamp", nullable=False),
            column("empty", "timestamp"),
            column("made", "datetime", nullable=False, computed="(getdate())"),
        )
    )
    database = mapped(source)
    assert any("INSERTs must name it" in text for text in notes(database, "warning", "dbo.T.stamp"))
    assert notes(database, "warning", "dbo.T.empty") == []
    (made,) = notes(database, "not_carried", "dbo.T.made")
    assert made.endswith("a plain column with its data, which INSERTs must name")


def test_what_the_login_may_not_see_is_named_and_nothing_is_made_up_for_it() -> None:
    """A unique index without its filter would refuse good rows, or later ones."""
    source = catalog(
        table(
            "F",
            column("email", "nvarchar(50)", nullable=False, default=HIDDEN),
            column("twice", "int", nullable=False, computed=HIDDEN),
            column("since", "datetime2(3)", nullable=False, default=HIDDEN, generated_always=1),
            indexes=(Index("UX", (KeyColumn("email"),), unique=True, filter=HIDDEN),),
            checks=(Check("CK", HIDDEN),),
        ),
        table("Elsewhere", column("a", "int")),
        modules=(Module("dbo", "V", "view"),),
        losses=(
            Loss("dbo.S", "sequence: unseen"),
            Loss("dbo.F constraint FK", "foreign key: unseen", "dbo.F"),
            Loss("dbo.Elsewhere constraint FK", "foreign key: unseen", "dbo.Elsewhere"),
        ),
    )
    database = mapped(source, selected=frozenset({"dbo.F"}), create_views=True)
    found = only_table(database)
    email, twice, since = found.columns
    assert (email.default_sql, twice.generated_sql, twice.copied) == (None, None, True)
    assert since.default_sql is not None, "a period column has its own"
    assert (found.indexes, found.checks, database.views) == ((), (), ())
    assert choose_range_key(found.source) is None, "an index over some rows is no key of the table"
    hidden = {note.object for note in database.notes if "VIEW DEFINITION" in note.message}
    assert hidden == {"dbo.F.email", "dbo.F.twice", "dbo.F index UX", "dbo.F constraint CK", "dbo.V"}
    assert all(note.severity == "not_carried" for note in database.notes if note.object in hidden)
    (computed,) = notes(database, "not_carried", "dbo.F.twice")
    assert computed.endswith("a plain column with its data, which INSERTs must name")
    assert notes(database, "not_carried", "dbo.S") == ["sequence: unseen"]
    assert notes(database, "not_carried", "dbo.F constraint FK") == ["foreign key: unseen"]
    assert notes(database, "not_carried", "dbo.Elsewhere constraint FK") == []


def test_a_column_set_does_not_count_towards_the_columns_postgresql_allows() -> None:
    sparse = [column(f"c{number}", "int", sparse=True) for number in range(1600)]
    repeated = column("everything", "xml", column_set=True)
    assert notes(mapped(catalog(table("T", *sparse, repeated))), "error") == []
    (message,) = notes(mapped(catalog(table("T", *sparse, column("one", "int"), repeated))), "error", "dbo.T")
    assert "1601 columns" in message


def test_computed_columns_of_untold_types_have_those_of_their_expressions() -> None:
    """A package tells neither type nor values of a computed column; what PostgreSQL cannot compute is left out."""
    untold = {
        "sum": "([price]*[count])",
        "text": "(isnull(N'no '+CONVERT([nvarchar](10),[count]),N'*'))",
        "clock": "(getdate())",
        "own": "([dbo].[f]([count]))",
        "gone": HIDDEN,
    }
    computed = [
        replace(column(name, "int"), type=SqlType(""), computed=Computed(text, False)) for name, text in untold.items()
    ]
    source = catalog(table("T", column("count", "int"), column("price", "decimal(9,2)"), *computed))
    database = mapped(source)
    result = only_table(database)
    assert [(item.name, item.pg_type, item.copied) for item in result.columns] == [
        ("count", "integer", True),
        ("price", "numeric(9,2)", True),
        ("sum", "numeric(20,2)", False),
        ("text", "varchar(13)", False),
    ]
    for name in ("clock", "own", "gone"):
        (reason,) = notes(database, "not_carried", f"dbo.T.{name}")
        assert reason.endswith("the source holds no values of it, it is left out")
