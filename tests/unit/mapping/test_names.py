"""Target names: legal, free, stable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.mapping.names import MAX_BYTES, Namespace, byte_length, cut, default_object_name, fold
from mssql_pg_migrate.model import Check, ForeignKey, Index, KeyColumn
from schema_samples import catalog, column, key, mapped, notes, only_table, table


@pytest.mark.parametrize(
    ("name", "lower", "snake"),
    [
        ("OrderDetails", "orderdetails", "order_details"),
        ("Order Details", "order details", "order_details"),
        ("HTTPStatus", "httpstatus", "http_status"),
        ("CustomerID", "customerid", "customer_id"),
        ("order_id", "order_id", "order_id"),
        ("Address2Line", "address2line", "address2_line"),
        ("Straße", "straße", "straße"),
        ("ÄnderungsDatum", "änderungsdatum", "änderungs_datum"),
        ("dbo.Legacy", "dbo.legacy", "dbo_legacy"),
        ("a", "a", "a"),
        ("注文", "注文", "注文"),
    ],
)
def test_identifier_case_folds_names(name: str, lower: str, snake: str) -> None:
    assert fold(name, "preserve") == name
    assert fold(name, "lower") == lower
    assert fold(name, "snake") == snake


def test_a_name_of_63_bytes_stays_and_one_of_64_is_cut_with_a_hash() -> None:
    fits, too_long = "a" * 63, "a" * 64
    namespace = Namespace()
    assert namespace.allocate(fits, "t.fits") == (fits, None)
    name, reason = namespace.allocate(too_long, "t.long")
    assert byte_length(name) == MAX_BYTES
    assert name.startswith("a" * 54 + "_")
    assert reason is not None
    assert "63 bytes" in reason


def test_bytes_count_not_characters_and_no_character_is_split() -> None:
    name, _ = Namespace().allocate("注" * 30, "dbo.t")
    assert byte_length(name) <= MAX_BYTES
    assert name.startswith("注" * 18 + "_")


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=128)))
def test_any_set_of_names_becomes_distinct_legal_names(names: list[str]) -> None:
    for case in ("preserve", "lower", "snake"):
        namespace = Namespace(case)  # type: ignore[arg-type]
        taken = [namespace.allocate(name, f"{index}.{name}")[0] for index, name in enumerate(names)]
        assert len(set(taken)) == len(taken)
        assert all(0 < byte_length(name) <= MAX_BYTES for name in taken)


@given(st.text(max_size=100), st.integers(0, 80))
def test_cut_never_exceeds_its_limit(text: str, limit: int) -> None:
    cleaned = text.encode("utf-8", "ignore").decode()
    assert byte_length(cut(cleaned, limit)) <= limit
    assert cleaned.startswith(cut(cleaned, limit))


def test_names_that_differ_only_in_case_survive_folding() -> None:
    source = catalog(table("Orders", column("Id", "int"), column("ID", "int")), table("orders", column("x", "int")))
    kept = mapped(source)
    assert [item.name for item in kept.tables] == ["Orders", "orders"]
    assert notes(kept, "renamed") == []
    folded = mapped(source, identifier_case="lower")
    names = [item.name for item in folded.tables]
    assert names[0] == "orders"
    assert names[1].startswith("orders_")
    assert folded.tables[0].columns[0].name == "id"
    assert folded.tables[0].columns[1].name.startswith("id_")
    assert any('"orders" is already taken' in text for text in notes(folded, "renamed", "dbo.orders"))


def test_the_same_index_name_on_two_tables_is_made_unique_in_the_schema() -> None:
    def with_index(name: str, schema: str = "dbo") -> object:
        return table(name, column("a", "int"), schema=schema, indexes=(Index("IX_Name", (KeyColumn("a"),)),))

    database = mapped(catalog(with_index("B"), with_index("A"), with_index("A", "sales")))  # type: ignore[arg-type]
    names = {item.full_name: item.indexes[0].name for item in database.tables}
    assert names["public.A"] == "IX_Name"
    assert names["public.B"].startswith("IX_Name_")
    assert names["sales.A"] == "IX_Name"
    assert len(notes(database, "renamed")) == 1


def test_an_index_may_not_take_the_name_of_a_table_or_of_an_identity_sequence() -> None:
    source = catalog(
        table(
            "Orders",
            column("Id", "int", nullable=False, identity=(1, 1)),
            indexes=(Index("Orders", (KeyColumn("Id"),)), Index("Orders_Id_seq", (KeyColumn("Id"),))),
        )
    )
    names = [index.name for index in only_table(mapped(source)).indexes]
    assert all(name.startswith(("Orders_Id_seq_", "Orders_")) for name in names)
    assert "Orders" not in names
    assert "Orders_Id_seq" not in names


def test_a_rename_does_not_depend_on_the_selection() -> None:
    source = catalog(
        *(table(name, column("a", "int"), indexes=(Index("IX", (KeyColumn("a"),)),)) for name in ("A", "B", "C"))
    )
    everything = {item.name: item.indexes[0].name for item in mapped(source).tables}
    some = mapped(source, selected=frozenset({"dbo.C"}))
    assert only_table(some).indexes[0].name == everything["C"]


def test_check_and_foreign_key_names_are_free_of_the_tables_other_constraints() -> None:
    source = catalog(
        table(
            "T",
            column("a", "int", nullable=False),
            column("A", "int"),
            primary_key=key("PK_T", "a", primary=True),
            checks=(Check("pk_t", "([a]>(0))"),),
            foreign_keys=(ForeignKey("PK_t", ("A",), "dbo", "T", ("a",)),),
        )
    )
    result = only_table(mapped(source, identifier_case="lower"))
    assert result.primary_key is not None
    names = [result.primary_key.name, result.checks[0].name, result.foreign_keys[0].name]
    assert names[0] == "pk_t"
    assert len(set(names)) == 3


def test_system_column_names_and_reserved_schemas_are_renamed() -> None:
    database = mapped(catalog(table("T", column("ctid", "int"), column("xmin", "int"), schema="pg_stuff")), schemas={})
    assert [column.name[:5] for column in database.tables[0].columns] == ["ctid_", "xmin_"]
    assert database.schemas == ("s_pg_stuff",)
    assert any("system column" in text for text in notes(database, "renamed"))
    assert any("pg_" in text for text in notes(database, "renamed", "pg_stuff"))


def test_awkward_names_pass_unchanged() -> None:
    names = ['quo"te', "br[ack]et", "dot.ted", "b lank", "select", "naïve", "%", "a'b", "\\", " lead"]
    result = only_table(mapped(catalog(table('we"ird table', *(column(name, "int") for name in names)))))
    assert [column.name for column in result.columns] == names
    assert result.name == 'we"ird table'


def test_two_schemas_into_one_share_its_namespace() -> None:
    source = catalog(table("T", column("a", "int")), table("T", column("a", "int"), schema="sales"))
    database = mapped(source, schemas={"dbo": "public", "sales": "public"})
    assert {item.schema for item in database.tables} == {"public"}
    assert len({item.name for item in database.tables}) == 2
    assert len(notes(database, "renamed")) == 1


def test_postgresql_cuts_its_own_sequence_names_as_predicted() -> None:
    assert default_object_name("Orders", "Id", "seq") == "Orders_Id_seq"
    name = default_object_name("t" * 60, "c" * 60, "seq")
    assert byte_length(name) == MAX_BYTES
    assert name == f"{'t' * 29}_{'c' * 29}_seq"
