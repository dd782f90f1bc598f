"""Random schemas and values, cut at random, against the transcoder in Python."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_oracle import DONE, Col, packets, transcode, tuples
from kernel_results import NOT_NULL, NULLABLE, results
from mssql_pg_migrate._kernel import _native


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(results(), st.integers(1, 700), st.integers(1, 900), st.integers(1, 4))
def test_any_result_cut_anywhere(
    result: tuple[list[Col], list[list[Any]], bytes], packet: int, step: int, chunk: int
) -> None:
    """All rows, in chunks of the size asked for, each with the key of its last row."""
    columns, rows, tokens = result
    outcome = transcode(columns, packets(tokens + DONE, packet), step=step, max_rows=chunk)
    assert outcome.status == _native.TOKEN, outcome.fault
    assert outcome.copy == tuples(columns, rows)
    ends = [min(start + chunk, len(rows)) for start in range(0, len(rows), chunk)]
    assert [keys for _, _, keys in outcome.chunks] == [(struct.pack("<i", end - 1),) for end in ends]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(NULLABLE, NOT_NULL), min_size=1, max_size=8), st.binary(max_size=400), st.integers(1, 64))
def test_random_bytes_as_rows(columns: list[tuple[Col, Any]], data: bytes, packet: int) -> None:
    """Bytes that no server sent: some outcome, nothing else."""
    outcome = transcode([column for column, _ in columns], packets(b"\xd1" + data, packet))
    assert outcome.status in (_native.TOKEN, _native.END, _native.DATA, _native.MALFORMED)
