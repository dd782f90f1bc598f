"""How tables are cut and ordered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.config.models import MigrationConfig
from mssql_pg_migrate.transfer.plan import foreign_key_levels, range_count

OPTIONS = MigrationConfig()


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
