"""``kill -9`` of the tool at random moments, and ``resume``: afterwards the target equals the source, row for row."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from chaos_common import HEAP, LONG, SETTINGS, TABLES
from running import Tool, assert_equal_rows, kill_tree, no_ledger_left
from servers import MssqlDatabase, PgDatabase

pytestmark = pytest.mark.chaos
KILLS = 20 if LONG else 4
CASES: list[dict[str, Any]] = [
    {"target_mode": "drop_recreate"},
    {"target_mode": "drop_recreate", "use_unlogged_tables": True},
    {"target_mode": "truncate"},
    {"target_mode": "upsert"},
]
if LONG:
    CASES += [
        {"target_mode": "truncate", "use_unlogged_tables": True},
        {"target_mode": "drop_recreate", "use_binary_copy": False},
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(str(value) for value in case.values()))
def test_killed_again_and_again_every_row_arrives_once(
    case: dict[str, Any], chaos_source: MssqlDatabase, target_db: PgDatabase, tmp_path: Path
) -> None:
    tables = TABLES if case["target_mode"] == "upsert" else [*TABLES, HEAP]
    tool = Tool(tmp_path, chaos_source, target_db, **SETTINGS, **case)
    if case["target_mode"] == "upsert":
        tool.data["migration"]["exclude_tables"] = [HEAP]
        tool.write()
    if case["target_mode"] != "drop_recreate":
        # Tables that exist, hold other rows, and reference one another.
        first = Tool(tmp_path, chaos_source, target_db, exclude_tables=tool.data["migration"].get("exclude_tables", []))
        first.result("run")
        target_db.execute("DELETE FROM by_two; DELETE FROM by_int WHERE id % 3 = 0; UPDATE by_int SET v = 'old'")
        tool.write()
        tool.state.unlink()
    pick = random.Random(str(case))
    if chaos_source.server.sandbox is not None:
        chaos_source.server.sandbox.faults.slow(400_000)
    killed = 0
    command = "run"
    while killed < KILLS:
        process = tool.start(command)
        try:
            process.wait(pick.uniform(0.7, 2.6))
        except subprocess.TimeoutExpired:
            killed += 1
            kill_tree(process)
            command = "resume" if tool.state.exists() else "run"
            continue
        output = process.communicate()
        assert process.returncode == 0, output
        break
    if chaos_source.server.sandbox is not None:
        chaos_source.server.sandbox.faults.clear()
    assert killed >= min(KILLS, 2), "the migration was over before it could be interrupted"
    deadline = time.monotonic() + 120
    while True:
        done = tool.run(command)
        if done.returncode == 0:
            break
        assert time.monotonic() < deadline, done.stderr
    assert_equal_rows(chaos_source, target_db, tables)
    assert no_ledger_left(target_db)
    logged = target_db.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence <> 'p'")
    assert logged == []
    keys = target_db.execute(
        "SELECT count(*) FROM pg_constraint WHERE contype IN ('p', 'f') AND convalidated"
        " AND connamespace = 'public'::regnamespace"
    )
    assert keys == [(len(TABLES) + 1,)]
