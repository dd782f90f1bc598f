"""Keys, indexes and foreign keys: what is carried, and what is named instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mssql_pg_migrate.model import Check, ForeignKey, Index, KeyColumn, Table
from schema_samples import catalog, column, key, mapped, notes, only_table, table

CUSTOMERS = table(
    "Customers",
    column("Id", "int", nullable=False),
    column("Code", "char(4)", nullable=False),
    primary_key=key("PK_Customers", "Id", primary=True),
    unique_keys=(key("UQ_Code", "Code"),),
)


def orders(*foreign_keys: ForeignKey, **fields: object) -> Table:
    return table(
        "Orders",
        column("Id", "int", nullable=False),
        column("CustomerId", "int"),
        column("CustomerCode", "char(4)"),
        primary_key=key("PK_Orders", "Id", primary=True),
        foreign_keys=foreign_keys,
        **fields,
    )


TO_CUSTOMER = ForeignKey("FK_Customer", ("CustomerId",), "dbo", "Customers", ("Id",))


def test_single_null_of_a_unique_constraint_is_kept_from_postgresql_15_on() -> None:
    source = catalog(
        table(
            "T",
            column("a", "int"),
            column("b", "int", nullable=False),
            unique_keys=(key("UQ_a", "a"), key("UQ_b", "b")),
            indexes=(Index("IX_ab", (KeyColumn("a"), KeyColumn("b")), unique=True),),
        )
    )
    result = only_table(mapped(source))
    assert [item.nulls_not_distinct for item in result.unique_keys] == [True, False]
    assert result.indexes[0].nulls_not_distinct
    older = mapped(source, version_num=140010)
    assert [item.nulls_not_distinct for item in only_table(older).unique_keys] == [False, False]
    assert len([text for text in notes(older, "warning") if "NULLS NOT DISTINCT" in text]) == 2


@pytest.mark.parametrize(
    ("predicate", "warned"),
    [("([a] IS NOT NULL)", False), ("([a]>(0))", False), ("([b]>(0))", True), ("([a] IS NULL)", True)],
)
def test_a_filter_that_excludes_nulls_needs_no_warning(predicate: str, warned: bool) -> None:
    source = catalog(
        table(
            "T",
            column("a", "int"),
            column("b", "int"),
            indexes=(Index("IX", (KeyColumn("a"),), unique=True, filter=predicate),),
        )
    )
    found = [text for text in notes(mapped(source, version_num=140010), "warning") if "NULLS NOT DISTINCT" in text]
    assert bool(found) is warned


def test_directions_include_columns_and_filters_are_kept() -> None:
    index = Index("IX", (KeyColumn("a"), KeyColumn("b", descending=True)), included=("c", "d"), filter="([a]>(5))")
    source = catalog(
        table(
            "T",
            column("a", "int"),
            column("b", "int"),
            column("c", "bit"),
            column("d", "varchar(20)"),
            indexes=(index,),
        )
    )
    (found,) = only_table(mapped(source)).indexes
    assert [(item.name, item.descending) for item in found.columns] == [("a", False), ("b", True)]
    assert found.included == ("c", "d")
    assert found.filter_sql == '"a" > 5'


def test_include_columns_that_could_refuse_a_row_are_left_out_and_named() -> None:
    """An INCLUDE column is stored in the index entry, which PostgreSQL limits to 2704 bytes."""
    index = Index("IX", (KeyColumn("a"),), included=("small", "big", "huge"))
    source = catalog(
        table(
            "T",
            column("a", "int"),
            column("small", "varchar(20)"),
            column("big", "nvarchar(2000)"),
            column("huge", "nvarchar(max)"),
            indexes=(index,),
        )
    )
    database = mapped(source)
    assert only_table(database).indexes[0].included == ("small",)
    (message,) = notes(database, "info", "dbo.T index IX")
    assert "big, huge" in message


def test_more_columns_than_an_index_can_have_are_left_out_of_include() -> None:
    names = [f"c{number}" for number in range(40)]
    index = Index("IX", (KeyColumn("a"),), included=tuple(names))
    source = catalog(table("T", column("a", "int"), *(column(name, "bit") for name in names), indexes=(index,)))
    assert len(only_table(mapped(source)).indexes[0].included) == 31


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("CLUSTERED COLUMNSTORE", "columnstore"),
        ("NONCLUSTERED COLUMNSTORE", "columnstore"),
        ("XML", "XML index"),
        ("SPATIAL", "spatial index"),
        ("SOMETHING NEW", "something new index"),
    ],
)
def test_index_kinds_postgresql_lacks_are_named(kind: str, reason: str) -> None:
    source = catalog(table("T", column("a", "int"), indexes=(Index("IX", (KeyColumn("a"),), kind=kind),)))
    database = mapped(source)
    assert only_table(database).indexes == ()
    assert any(reason in text for text in notes(database, "not_carried", "dbo.T index IX"))


def test_a_hash_index_becomes_a_btree_so_that_its_uniqueness_stays() -> None:
    index = Index("IX", (KeyColumn("a"),), unique=True, kind="NONCLUSTERED HASH")
    database = mapped(catalog(table("T", column("a", "int"), indexes=(index,))))
    assert only_table(database).indexes[0].unique


def test_disabled_indexes_and_keys_are_named_not_created() -> None:
    source = catalog(
        table(
            "T",
            column("a", "int"),
            unique_keys=(key("UQ", "a", disabled=True),),
            indexes=(Index("IX", (KeyColumn("a"),), disabled=True),),
        )
    )
    database = mapped(source)
    assert only_table(database).indexes == only_table(database).unique_keys == ()
    assert len(notes(database, "not_carried")) == 2


def test_foreign_keys_keep_their_actions_and_order_of_columns() -> None:
    parent = table(
        "P",
        column("x", "int", nullable=False),
        column("y", "int", nullable=False),
        primary_key=key("PK", "y", "x", primary=True),
    )
    child = table(
        "C",
        column("a", "int"),
        column("b", "int"),
        foreign_keys=(ForeignKey("FK", ("a", "b"), "dbo", "P", ("x", "y"), "CASCADE", "SET_NULL"),),
    )
    (found,) = only_table(mapped(catalog(parent, child)), "C").foreign_keys
    assert (found.columns, found.referenced_columns) == (("a", "b"), ("x", "y"))
    assert (found.on_delete, found.on_update) == ("CASCADE", "SET_NULL")


def test_a_foreign_key_out_of_the_selection_is_skipped_and_named() -> None:
    database = mapped(catalog(CUSTOMERS, orders(TO_CUSTOMER)), selected=frozenset({"dbo.Orders"}))
    assert only_table(database).foreign_keys == ()
    (message,) = notes(database, "not_carried", "dbo.Orders constraint FK_Customer")
    assert "dbo.Customers" in message


def test_a_self_reference_is_carried() -> None:
    tree = table(
        "Tree",
        column("Id", "int", nullable=False),
        column("Parent", "int"),
        primary_key=key("PK", "Id", primary=True),
        foreign_keys=(ForeignKey("FK", ("Parent",), "dbo", "Tree", ("Id",)),),
    )
    assert len(only_table(mapped(catalog(tree))).foreign_keys) == 1


@pytest.mark.parametrize("state", ["disabled", "not_trusted"])
def test_what_the_source_does_not_vouch_for_is_not_valid(state: str) -> None:
    source = catalog(
        CUSTOMERS,
        orders(
            replace(TO_CUSTOMER, **{state: True}),  # type: ignore[arg-type]
            checks=(Check("CK", "([Id]>(0))", **{state: True}),),  # type: ignore[arg-type]
        ),
    )
    result = only_table(mapped(source), "Orders")
    assert result.foreign_keys[0].not_valid
    assert result.checks[0].not_valid


def test_a_foreign_key_to_a_unique_index_works() -> None:
    parent = table(
        "P",
        column("a", "int", nullable=False),
        indexes=(Index("UX", (KeyColumn("a"),), unique=True),),
    )
    child = table("C", column("a", "int"), foreign_keys=(ForeignKey("FK", ("a",), "dbo", "P", ("a",)),))
    assert len(only_table(mapped(catalog(parent, child)), "C").foreign_keys) == 1


def test_a_foreign_key_to_a_key_that_is_not_carried_is_named() -> None:
    parent = table("P", column("a", "int", nullable=False), unique_keys=(key("UQ", "a", disabled=True),))
    child = table("C", column("a", "int"), foreign_keys=(ForeignKey("FK", ("a",), "dbo", "P", ("a",)),))
    database = mapped(catalog(parent, child))
    assert only_table(database, "C").foreign_keys == ()
    assert any("unique key it refers to" in text for text in notes(database, "not_carried"))


def test_create_indexes_false_leaves_the_primary_key_and_what_foreign_keys_need() -> None:
    by_code = ForeignKey("FK_Code", ("CustomerCode",), "dbo", "Customers", ("Code",))
    customers = replace(CUSTOMERS, indexes=(Index("IX", (KeyColumn("Code"),)),))
    needed = mapped(catalog(customers, orders(by_code)), create_indexes=False)
    result = only_table(needed, "Customers")
    assert result.primary_key is not None
    assert [item.name for item in result.unique_keys] == ["UQ_Code"]
    assert result.indexes == ()
    unneeded = mapped(catalog(customers, orders(TO_CUSTOMER)), create_indexes=False)
    assert only_table(unneeded, "Customers").unique_keys == ()
    (message,) = notes(unneeded, "not_carried", "dbo.Customers")
    assert "UQ_Code, IX" in message


def test_the_other_switches_name_what_they_leave_out() -> None:
    source = catalog(CUSTOMERS, orders(TO_CUSTOMER, checks=(Check("CK", "([Id]>(0))"),)))
    database = mapped(source, create_foreign_keys=False, create_check_constraints=False)
    assert only_table(database, "Orders").foreign_keys == only_table(database, "Orders").checks == ()
    messages = notes(database, "not_carried", "dbo.Orders")
    assert any("FK_Customer" in text for text in messages)
    assert any("CK" in text for text in messages)


def test_an_index_over_a_column_that_is_not_carried_is_named() -> None:
    source = catalog(
        table(
            "Node",
            column("$node_id", "nvarchar(1000)", graph_type=2),
            column("a", "int"),
            graph="node",
            indexes=(Index("UX", (KeyColumn("$node_id"),), unique=True),),
        )
    )
    database = mapped(source)
    assert only_table(database).indexes == ()
    assert any("$node_id is not carried" in text for text in notes(database, "not_carried", "dbo.Node index UX"))


def test_hundred_nanosecond_keys_warn_of_duplicates() -> None:
    source = catalog(table("T", column("a", "datetime2(7)", nullable=False), primary_key=key("PK", "a", primary=True)))
    assert any("microsecond" in text for text in notes(mapped(source), "warning", "dbo.T constraint PK"))


def test_ignore_dup_key_is_said_to_be_an_error_afterwards() -> None:
    index = Index("UX", (KeyColumn("a"),), unique=True, ignore_dup_key=True)
    database = mapped(catalog(table("T", column("a", "int"), indexes=(index,))))
    assert any("IGNORE_DUP_KEY" in text for text in notes(database, "warning", "dbo.T index UX"))


def test_text_keys_that_may_outgrow_an_index_entry_warn() -> None:
    source = catalog(table("T", column("a", "varchar(1700)"), indexes=(Index("IX", (KeyColumn("a"),)),)))
    assert any("2704 bytes" in text for text in notes(mapped(source), "warning", "dbo.T index IX"))
    narrow = catalog(table("T", column("a", "varchar(800)"), indexes=(Index("IX", (KeyColumn("a"),)),)))
    assert notes(mapped(narrow), "warning") == []


def test_keys_over_case_insensitive_text_are_named_where_case_begins_to_count() -> None:
    parent = table(
        "P",
        column("Code", "varchar(9)", nullable=False),
        column("Exact", "varchar(9)", nullable=False, collation="Latin1_General_CS_AS"),
        column("Number", "int"),
        primary_key=key("PK_P", "Code", primary=True),
        unique_keys=(key("UQ_Exact", "Exact"), key("UQ_Number", "Number")),
        indexes=(
            Index("IX", (KeyColumn("Code"),)),
            Index("UX", (KeyColumn("Exact"), KeyColumn("Code")), unique=True),
        ),
    )
    children = [
        table(
            f"C{number}",
            column("Code", "varchar(9)"),
            foreign_keys=(ForeignKey("FK", ("Code",), "dbo", "P", ("Code",)),),
        )
        for number in range(22)
    ]
    unique, foreign = notes(mapped(catalog(parent, *children)), "warning", "collation")
    assert unique.endswith("beside 'A' in PostgreSQL: dbo.P PK_P, dbo.P UX")
    assert "dbo.C0 FK, dbo.C1 FK" in foreign
    assert foreign.endswith(" and 2 others")
    for option in ("citext", "icu"):
        (blanks,) = notes(mapped(catalog(parent, *children), collation=option), "warning", "collation")
        assert "tell 'a' from 'a ' (a trailing blank)" in blanks
        assert "dbo.P PK_P, dbo.P UX, dbo.C0 FK" in blanks
    fixed = catalog(table("F", column("Code", "char(9)", nullable=False), primary_key=key("PK", "Code", primary=True)))
    assert notes(mapped(fixed, collation="icu"), "warning", "collation") == [], "character(n) is compared without them"
