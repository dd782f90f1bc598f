"""A source that is written to all the time, a sync that is killed again and again, a target that crashes."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from chaos_common import LONG
from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from running import Tool, assert_equal_rows, kill_tree
from servers import MssqlDatabase, pg_from_embedded
from workload import TABLES, Watcher, Workload, set_up

pytestmark = pytest.mark.chaos
KILLS = 30 if LONG else 4
CRASHES = 3 if LONG else 1


@pytest.mark.parametrize("method", ["change_tracking", "rowversion"])
@pytest.mark.sandbox_only
def test_followed_exactly_whatever_dies(source_db: MssqlDatabase, tmp_path: Path, method: str) -> None:
    """``kill -9`` of the tool, a crash of PostgreSQL, cut source connections: GO at the end, every row equal.

    With change tracking, whose passes are one moment with deletes, every state of the target is one of the source's.
    """
    set_up(source_db, change_tracking=method == "change_tracking")
    pick = random.Random(method)
    sandbox = source_db.server.sandbox
    assert sandbox is not None
    with EmbeddedPostgres() as embedded:  # one that survives a crash: with fsync
        target_db = pg_from_embedded(embedded).new_database()
        tool = Tool(tmp_path, source_db, target_db, target_mode="drop_recreate", retries=8)
        tool.data["sync"] = {"method": method, "compare_every": "2s"}
        tool.write()
        with Workload(source_db, seed=1, pause=0.002) as workload:
            loaded = tool.run("run")
            # Tables are read one after the other: a foreign key may be left NOT VALID, for the cutover to validate.
            assert loaded.returncode in (0, 4), loaded.stderr
            tool.result("sync")  # a load takes its time: from the first pass on the target is the source of one moment
            with Watcher(target_db) as watcher:
                for number in range(KILLS):
                    process = tool.start("sync", "--watch", "--interval", "50ms")
                    time.sleep(pick.uniform(1.0, 3.0))
                    if number % (KILLS // CRASHES) == 1:
                        embedded.crash()
                        embedded.restart_after_crash()
                    if number % 3 == 2:
                        sandbox.faults.drop(table=pick.choice(TABLES))
                    kill_tree(process)
                workload.stop()
                assert workload.transactions > 50
        document: dict[str, Any] = json.loads(tool.run("--output-json", "cutover").stdout)
        assert document["go"], document
        assert_equal_rows(source_db, target_db, TABLES)
        assert watcher.looks > 20
        if method == "change_tracking":
            assert not watcher.broken, watcher.broken[0]
