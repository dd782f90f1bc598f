"""How tables are cut and ordered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.config.models import MigrationConfig
from mssql_pg_migrate.transfer.plan import (
    SHARE_BYTES,
    TablePlan,
    cut_for_balance,
    foreign_key_levels,
    range_count,
    table_of,
)
from schema_samples import catalog, column, key, mapped, only_table, table

OPTIONS = MigrationConfig()


def plan(name: str, rows: int, size: int) -> TablePlan:
    """A table with an integer key."""
    declared = table(
        name,
        column("Id", "int", nullable=False),
        primary_key=key("PK", "Id", primary=True),
        row_estimate=rows,
        size_bytes=size,
    )
    target = only_table(mapped(catalog(declared)))
    return TablePlan(0, name, target, "create", 1, OPTIONS.min_rows_per_partition, False, False)


@given(
    st.integers(0, 10**10),
    st.one_of(st.none(), st.integers(0, 10**13)),
    st.integers(1, 10**7),
    st.integers(1, 64),
    st.integers(1, 10**6),
)
def test_ranges_respect_threshold_maximum_and_minimum(
    rows: int, size: int | None, threshold: int, most: int, fewest: int
) -> None:
    options = MigrationConfig(large_table_threshold=threshold, max_partitions=most, min_rows_per_partition=fewest)
    count = range_count(rows, size, options, most)
    assert 1 <= count <= most
    if count > 1:
        assert rows // count >= fewest
    if size is None and rows <= threshold:
        assert count == 1
    if rows > threshold and rows >= 2 * fewest and most >= 2:
        assert count >= 2


def test_a_wide_table_counts_by_its_bytes() -> None:
    assert range_count(4_000_000, 10**10, OPTIONS, 12) > 1
    assert range_count(4_000_000, 10**8, OPTIONS, 12) == 1


def test_no_table_is_left_alone_at_the_end() -> None:
    plans = [plan("Posts", 200_000, 440 << 20), plan("Votes", 500_000, 25 << 20), plan("Users", 10_000, 10 << 20)]
    posts, votes, users = cut_for_balance(plans, OPTIONS, cores=2)
    assert (posts.max_ranges, posts.min_rows_per_range) == (12, 16_666)
    assert (votes, users) == (plans[1], plans[2])
    alone = cut_for_balance([plans[0], plan("Others", 3_000_000, 2 << 30)], OPTIONS, cores=2)
    assert (alone[0].max_ranges, alone[1].max_ranges) == (3, 12)
    configured = MigrationConfig(large_table_threshold=5_000_000)
    assert cut_for_balance(plans, configured, cores=2) == plans


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**12)), max_size=8), st.integers(1, 64))
def test_balance_keeps_ranges_large(tables: list[tuple[int, int]], cores: int) -> None:
    plans = [plan(f"t{number}", rows, size) for number, (rows, size) in enumerate(tables)]
    total = sum(size for _, size in tables)
    for after, (_, size) in zip(cut_for_balance(plans, OPTIONS, cores), tables, strict=True):
        assert 1 <= after.max_ranges <= OPTIONS.max_partitions
        if after.max_ranges > 1:
            assert size / after.max_ranges >= SHARE_BYTES / 2
        if size > total / cores and size > 2 * SHARE_BYTES:
            assert after.max_ranges > 1


@given(st.dictionaries(st.integers(0, 12), st.sets(st.integers(0, 12)), max_size=13))
def test_referenced_tables_come_first_except_in_cycles(edges: dict[int, set[int]]) -> None:
    edges = {node: {target for target in targets if target in edges} for node, targets in edges.items()}
    levels, cyclic = foreign_key_levels(edges)
    assert set(levels) == set(edges)
    for node, targets in edges.items():
        for target in targets:
            assert (node, target) in cyclic or levels[target] < levels[node]


def test_a_chain_without_cycles_suspends_nothing() -> None:
    levels, cyclic = foreign_key_levels({1: set(), 2: {1}, 3: {2, 1}})
    assert cyclic == set()
    assert levels == {1: 0, 2: 1, 3: 2}


def test_self_references_and_circles_are_named() -> None:
    _, cyclic = foreign_key_levels({1: {1}, 2: {3}, 3: {2}})
    assert (1, 1) in cyclic
    assert len(cyclic) == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dbo.t", "dbo.t"),
        ("dbo.t.column", "dbo.t"),
        ("dbo.t index IX a.b", "dbo.t"),
        ("dbo.t.column of x", "dbo.t"),
        ("dbo.a.b", "dbo.a.b"),
        ("dbo.a.b.c", "dbo.a.b"),
        ("dbo.a.z", "dbo.a"),
        ("dbo.two words constraint ck", "dbo.two words"),
        ("dbo.unknown", None),
        ("dbo", None),
        ("target", None),
        ("collation", None),
        ("", None),
    ],
)
def test_the_table_of_a_note_is_the_longest_name_it_begins_with(name: str, expected: str | None) -> None:
    assert table_of(name, {"dbo.t", "dbo.a", "dbo.a.b", "dbo.two words"}) == expected
