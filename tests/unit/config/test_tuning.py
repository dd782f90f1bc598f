"""Auto-tuning on small, middling and large machines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.config import Config, MigrationConfig
from mssql_pg_migrate.config.limits import Machine
from mssql_pg_migrate.config.tuning import BASE_BYTES, GIB, MIB, RoundTrips, Tuning, is_loopback, tune, tune_for

SIZES = [(cores, memory) for cores in (2, 8, 32) for memory in (2, 16, 128)]


def on(cores: int, gib: float, **options: Any) -> Tuning:
    return tune_for(MigrationConfig(**options), Machine(cores, int(gib * GIB)))


@pytest.mark.parametrize(
    ("cores", "workers", "readers", "writers"),
    [(1, 4, 8, 6), (2, 4, 8, 6), (8, 4, 8, 6), (12, 6, 12, 8), (16, 8, 16, 10), (32, 8, 16, 12), (128, 8, 16, 12)],
)
def test_the_formulas_of_the_guide(cores: int, workers: int, readers: int, writers: int) -> None:
    tuning = on(cores, 16)
    assert (tuning.workers, tuning.parallel_readers, tuning.write_ahead_writers) == (workers, readers, writers)
    assert tuning.max_mssql_connections == workers + readers
    assert tuning.max_pg_connections >= workers + writers


@pytest.mark.parametrize(("gib", "buffers"), [(1, 8), (2, 8), (16, 8), (24, 12), (48, 24), (64, 32), (512, 32)])
def test_read_ahead_follows_memory(gib: int, buffers: int) -> None:
    assert on(4, gib).read_ahead_buffers == buffers


@pytest.mark.parametrize(("cores", "gib"), SIZES)
def test_memory_stays_in_the_budget(cores: int, gib: int) -> None:
    tuning = on(cores, gib)
    assert tuning.memory_budget_bytes == gib * GIB * 70 // 100
    assert BASE_BYTES + tuning.buffer_bytes <= tuning.memory_budget_bytes / 2
    assert tuning.streams * tuning.chunk_bytes <= tuning.buffer_bytes
    assert tuning.chunk_size * tuning.read_ahead_buffers * tuning.streams * 1024 <= tuning.memory_budget_bytes / 2
    assert 5_000 <= tuning.chunk_size <= 100_000
    assert 1 * MIB <= tuning.chunk_bytes <= 16 * MIB
    assert not tuning.warnings


def test_a_small_machine_needs_little() -> None:
    """250 MB for the whole program on two cores, however much memory there is."""
    for gib in (2, 24, 128):
        assert BASE_BYTES + on(2, gib).buffer_bytes <= 200 * MIB


def test_more_memory_never_means_less() -> None:
    sizes = [on(8, gib) for gib in (1, 2, 4, 8)]
    assert [item.chunk_size for item in sizes] == sorted(item.chunk_size for item in sizes)
    assert [item.buffer_bytes for item in sizes] == sorted(item.buffer_bytes for item in sizes)


def test_configured_values_win() -> None:
    options = {
        "workers": 3,
        "chunk_size": 123,
        "parallel_readers": 5,
        "write_ahead_writers": 7,
        "read_ahead_buffers": 4,
        "max_mssql_connections": 50,
        "max_pg_connections": 40,
    }
    tuning = on(2, 16, **options)
    assert {name: getattr(tuning, name) for name in options} == options
    assert all(tuning.why[name].startswith("configured") for name in options)


def test_the_budget_can_be_lowered() -> None:
    assert on(8, 1, memory_budget_percent=40).buffer_bytes < on(8, 1).buffer_bytes
    assert on(8, 16, memory_budget_percent=5).chunk_size < on(8, 16).chunk_size


def test_a_budget_too_small_for_the_program_is_said() -> None:
    tuning = on(2, 0.125)
    assert len(tuning.warnings) == 1
    assert "memory_budget_percent" in tuning.warnings[0]
    assert tuning.buffer_bytes > 0


@given(
    cores=st.integers(1, 256),
    gib=st.floats(0.1, 2000),
    mssql=st.none() | st.integers(1, 60),
    postgres=st.none() | st.integers(2, 60),
    workers=st.none() | st.integers(1, 64),
    readers=st.none() | st.integers(1, 64),
    writers=st.none() | st.integers(1, 64),
)
def test_connection_limits_cap_everything(
    cores: int,
    gib: float,
    mssql: int | None,
    postgres: int | None,
    workers: int | None,
    readers: int | None,
    writers: int | None,
) -> None:
    tuning = on(
        cores,
        gib,
        max_mssql_connections=mssql,
        max_pg_connections=postgres,
        workers=workers,
        parallel_readers=readers,
        write_ahead_writers=writers,
    )
    if mssql is not None:
        assert tuning.max_mssql_connections == mssql
    if postgres is not None:
        assert tuning.max_pg_connections == postgres
    by_source, by_target = tuning.max_mssql_connections, tuning.max_pg_connections - 1
    assert 1 <= tuning.parallel_readers <= by_source
    assert 1 <= tuning.write_ahead_writers <= by_target
    assert 1 <= tuning.workers <= min(by_source, by_target)
    assert 1 <= tuning.streams <= min(by_source, by_target)
    assert 1 <= tuning.upsert_parallel_tasks <= by_target
    assert 1 <= tuning.index_builds <= by_target
    assert tuning.chunk_bytes > 0
    assert tuning.chunk_size >= 1


def test_a_cap_is_explained() -> None:
    assert "capped to 2 by max_mssql_connections" in on(8, 16, max_mssql_connections=2).why["parallel_readers"]


def test_every_value_has_a_reason() -> None:
    tuning = tune_for(MigrationConfig(), Machine(2, 24 * GIB), round_trips=RoundTrips(0.02, 0.0001))
    rows = tuning.rows()
    assert {name for name, _, _ in rows} == set(tuning.to_dict())
    assert all(value and why for _, value, why in rows)
    shown = {"machine", "why", "warnings"} | {name for name, _, _ in rows}
    assert shown == set(Tuning.__slots__)


def test_the_guides_recommendations_are_taken() -> None:
    enterprise = {
        "workers": 8,
        "chunk_size": 100_000,
        "parallel_readers": 16,
        "write_ahead_writers": 12,
        "memory_budget_percent": 80,
    }
    tuning = on(32, 128, **enterprise)
    assert (tuning.workers, tuning.parallel_readers, tuning.write_ahead_writers) == (8, 16, 12)
    assert tuning.chunk_size == 100_000


def test_for_this_machine() -> None:
    config = Config.from_dict(
        {
            "source": {"type": "mssql", "host": "s", "database": "d", "user": "u", "password": "p"},
            "target": {"type": "postgres", "host": "t", "database": "d", "user": "u", "password": "p"},
        }
    )
    assert tune(config).machine.cores >= 1
    assert tune(config, Machine(2, GIB)).machine == Machine(2, GIB)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("/var/run/postgresql", True),
        ("db", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_streams_follow_the_cores_where_both_servers_share_them() -> None:
    assert tune_for(MigrationConfig(), Machine(2, 8 * GIB), all_local=True).streams == 3
    assert tune_for(MigrationConfig(), Machine(2, 8 * GIB)).streams == 8
    assert tune_for(MigrationConfig(), Machine(32, 8 * GIB), all_local=True).streams == 16
    assert tune_for(MigrationConfig(parallel_readers=6), Machine(2, 8 * GIB), all_local=True).streams == 6


def test_far_servers_are_known_by_their_round_trip_not_by_their_address() -> None:
    """A tunnel's end is a loopback address too."""
    machine = Machine(2, 8 * GIB)
    near = tune_for(MigrationConfig(), machine, all_local=True, round_trips=RoundTrips(0.0002, 0.0003))
    far = tune_for(MigrationConfig(), machine, all_local=True, round_trips=RoundTrips(0.0002, 0.04))
    assert (near.workers, near.streams) == (4, 3)
    assert (far.workers, far.streams) == (16, 16)
    assert far.why["workers"].startswith("16: a round trip takes 40 ms")
    assert {name: value for name, value, _ in far.rows()}["target_round_trip_us"] == "40.0 ms"
    assert tune_for(MigrationConfig(workers=3), machine, round_trips=RoundTrips(0.04, 0.04)).workers == 3
    assert tune_for(MigrationConfig(max_pg_connections=6), machine, round_trips=RoundTrips(0.04, 0.04)).workers == 5


def test_what_was_not_measured_is_not_shown() -> None:
    tuning = tune_for(MigrationConfig(), Machine(2, 8 * GIB), round_trips=RoundTrips(None, 0.001))
    assert "source_round_trip_us" not in tuning.to_dict()
    assert "target_round_trip_us" in tuning.to_dict()
