"""The state file: the guide's format, replaced atomically, readable again, clear when it is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mssql_pg_migrate.errors import IoError, StateError
from mssql_pg_migrate.events import ChunkCommitted, RangeFinished, TableFinished, TableReset, TableStarted
from mssql_pg_migrate.state import RunState, StateKeeper, TableState, existing_state, read_state, write_state


def new_state() -> RunState:
    return RunState("550e8400-e29b-41d4-a716-446655440000", "sha256:a1", started_at="2025-01-15T10:30:00Z", tables={})


def test_the_file_has_the_format_of_the_guide(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    keeper = StateKeeper(path, new_state())
    keeper.on_event(TableStarted(table="orders", estimated_rows=10, ranges=2, reader="wire"))
    keeper.on_event(ChunkCommitted(table="orders", range_id=0, rows=4, bytes=9, range_rows=4, last_key=("4",)))
    keeper.on_event(
        ChunkCommitted(table="orders", range_id=1, rows=3, bytes=9, skipped=2, range_rows=3, range_skipped=2)
    )
    keeper.on_event(RangeFinished(table="orders", range_id=0, rows=4))
    keeper.write()
    data = json.loads(path.read_text())
    assert data["run_id"] == "550e8400-e29b-41d4-a716-446655440000"
    assert data["status"] == "running"
    orders = data["tables"]["orders"]
    assert orders["status"] == "in_progress"
    assert (orders["total_rows"], orders["transferred_rows"], orders["skipped_rows"]) == (10, 7, 2)
    assert orders["partitions"][0] == {
        "partition_id": 0,
        "status": "completed",
        "last_pk": "4",
        "rows_transferred": 4,
    }
    keeper.on_event(TableFinished(table="orders", rows=11, skipped=2, seconds=1.0))
    keeper.close("completed")
    data = json.loads(path.read_text())
    assert data["status"] == "completed"
    assert data["tables"]["orders"]["transferred_rows"] == 11


def test_what_a_run_was_restricted_to_and_could_not_create_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "run.state"
    state = new_state()
    write_state(path, state)
    assert {"only", "problems"}.isdisjoint(json.loads(path.read_text()))
    state.only, state.problems = "schema", ["foreign key x is violated"]
    write_state(path, state)
    found = read_state(path)
    assert (found.only, found.problems) == ("schema", ["foreign key x is violated"])


def test_repeated_chunks_and_a_reset_do_not_count_twice(tmp_path: Path) -> None:
    keeper = StateKeeper(tmp_path / "s", new_state())
    keeper.on_event(TableStarted(table="a", estimated_rows=5, ranges=1, reader="driver"))
    for rows in (2, 4, 2):
        keeper.on_event(ChunkCommitted(table="a", range_id=0, rows=2, bytes=1, range_rows=rows))
    assert keeper.state.tables["a"].transferred_rows == 2
    keeper.on_event(TableReset(table="a", reason="no key"))
    assert keeper.state.tables["a"].transferred_rows == 0


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.state"
    state = new_state()
    state.tables["b"] = TableState(status="completed", total_rows=3, final_rows=3, final_skipped=1)
    write_state(path, state)
    again = read_state(path)
    assert again.tables["b"].transferred_rows == 3
    assert again.tables["b"].skipped_rows == 1
    assert again.config_hash == "sha256:a1"
    assert [item.name for item in path.parent.iterdir()] == ["run.state"]


def damaged(**change: object) -> str:
    """A state file with other values."""
    return json.dumps({**new_state().to_json(), **change})


ENDLESS = {"a": {"status": "pending", "total_rows": float("inf"), "transferred_rows": 0}}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", '{"run_id": 1, "tables": {"a": 3}}', '"x"'),
        *(damaged(run_id="abc"), damaged(run_id=None), damaged(tables=ENDLESS)),
    ],
)
def test_a_damaged_file_is_a_state_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s"
    path.write_text(text)
    with pytest.raises(StateError) as caught:
        read_state(path)
    assert caught.value.exit_code == 6
    assert str(path) in str(caught.value)


def test_an_absent_file_is_a_state_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="does not exist"):
        read_state(tmp_path / "none")


@pytest.mark.parametrize("text", ["source: {}\n", '{"source": {"type": "mssql"}}', "\x00"])
def test_a_run_does_not_overwrite_a_file_that_is_no_state_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(StateError, match="not overwritten"):
        existing_state(path)
    with pytest.raises(StateError, match="not a regular file"):
        existing_state(Path(os.devnull))


def test_a_run_may_replace_an_empty_file_and_that_of_another_run(tmp_path: Path) -> None:
    path = tmp_path / "s"
    existing_state(path)
    path.touch()
    existing_state(path)
    StateKeeper(path, new_state()).write()
    existing_state(path)


@pytest.mark.skipif(os.name != "posix", reason="/dev/full")
def test_a_full_disk_keeps_the_old_file_and_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    keeper = StateKeeper(path, new_state())
    keeper.write()
    before = path.read_text()
    stopped: list[bool] = []
    keeper.on_failure = lambda: stopped.append(True)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    keeper.on_event(TableFinished(table="a", rows=1, skipped=0, seconds=0.1))
    assert isinstance(keeper.failure, IoError)
    assert keeper.failure.exit_code == 7
    assert stopped == [True]
    assert path.read_text() == before
    assert [item.name for item in tmp_path.iterdir()] == ["s"]
