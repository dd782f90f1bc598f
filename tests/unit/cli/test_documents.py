"""The documents of --output-json against their JSON Schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mssql_pg_migrate.cli import documents
from mssql_pg_migrate.cli.commands import _ended_with
from mssql_pg_migrate.cli.execution import Execution, Outcome, stdout_on_stderr
from mssql_pg_migrate.cli.options import GlobalOptions
from mssql_pg_migrate.errors import (
    Cancelled,
    ConfigError,
    ConnectionFailed,
    DataError,
    IoError,
    MigrationError,
    SchemaError,
    StateError,
    TransferError,
    TransientError,
    ValidationError,
)
from mssql_pg_migrate.events import ChunkCommitted, RunStarted, TableFinished, TableStarted
from mssql_pg_migrate.results import (
    HealthReport,
    RunResult,
    SideHealth,
    TableCheck,
    TableResult,
    ValidationReport,
)

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "output.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def printed(capsys: pytest.CaptureFixture[str], command: str, body: Any) -> tuple[int, dict[str, Any]]:
    """Run a command's body as the CLI does; its exit code and checked document."""
    code = Execution(command, GlobalOptions(output_json=True)).run(body)
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert len(out.splitlines()) == 1
    document = json.loads(out)
    VALIDATOR.validate(document)
    assert document["exit_code"] == code
    assert document["command"] == command
    return code, document


def result(**changes: Any) -> RunResult:
    tables = [
        TableResult("Users", "completed", rows=100, seconds=0.5, bytes=1000, reader="wire", ranges=2),
        TableResult(
            "Posts", "completed", rows=300, skipped=20, seconds=2.0, reader="driver", reader_reason="sql_variant"
        ),
    ]
    values: dict[str, Any] = {
        "run_id": "r-1",
        "status": "completed",
        "mode": "upsert",
        "resumed": False,
        "seconds": 4.0,
        "tables": tables,
        "notes": ["dbo.Posts.At: loses digits"],
        "peak_memory_bytes": 123,
    }
    return RunResult(**{**values, **changes})


def test_the_schema_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    _, document = printed(capsys, "run", lambda _: Outcome(fields=documents.run_fields(result())))
    assert document["status"] == "completed"
    assert (document["rows_transferred"], document["skipped_rows"]) == (400, 20)
    assert document["rows_per_second"] == 100.0
    assert [table["rows_per_second"] for table in document["tables"]] == [200.0, 150.0]
    assert document["peak_memory_bytes"] > 1_000_000
    assert document["failed_tables"] == []
    assert document["error"] is None


def test_failed_tables(capsys: pytest.CaptureFixture[str]) -> None:
    broken = TableResult(
        "Votes", "failed", rows=7, error="lost the connection", error_kind="transfer", retryable=True, exit_code=3
    )
    run = result(status="failed", exit_code=3)
    run.tables.append(broken)
    fields = documents.run_fields(run)
    _, document = printed(capsys, "run", lambda _: Outcome("failed", 3, fields))
    assert document["failed_tables"] == [
        {"table": "Votes", "error": "lost the connection", "error_type": "transfer", "retryable": True}
    ]
    assert document["error"] == "1 of 3 tables failed: Votes: lost the connection"
    assert (document["error_type"], document["retryable"]) == ("transfer", True)


def test_a_failure_is_retryable_only_when_every_table_is(capsys: pytest.CaptureFixture[str]) -> None:
    run = result(status="failed", exit_code=3)
    run.tables += [
        TableResult("A", "failed", error="x", error_kind="transfer", retryable=True),
        TableResult("B", "failed", error="y", error_kind="data", retryable=False),
    ]
    fields = documents.run_fields(run)
    _, document = printed(capsys, "run", lambda _: Outcome("failed", 3, fields))
    assert (document["error_type"], document["retryable"]) == ("transfer", False)


def test_problems_make_a_run_invalid(capsys: pytest.CaptureFixture[str]) -> None:
    fields = documents.run_fields(result(status="invalid", exit_code=4, problems=["FK_a: 3 orphans"]))
    _, document = printed(capsys, "resume", lambda _: Outcome("invalid", 4, fields))
    assert "FK_a: 3 orphans" in document["error"]
    assert document["error_type"] == "validation"


def test_a_cancelled_run(capsys: pytest.CaptureFixture[str]) -> None:
    fields = documents.run_fields(result(status="cancelled", exit_code=5))
    _, document = printed(capsys, "run", lambda _: Outcome("cancelled", 5, fields))
    assert (document["error_type"], document["retryable"]) == ("cancelled", True)


ERRORS: list[tuple[MigrationError, int, str, bool]] = [
    (ConfigError("a"), 1, "config", False),
    (ConnectionFailed("a", side="source"), 2, "connection", True),
    (ConnectionFailed("wrong password", side="source", retryable=False), 2, "connection", False),
    (TransferError("a", table="T"), 3, "transfer", False),
    (SchemaError("a"), 3, "schema", False),
    (TransientError("a", side="target", code="40001"), 3, "transient", True),
    (DataError("a", table="T", column="C", key="Id=1"), 3, "data", False),
    (ValidationError("a"), 4, "validation", False),
    (Cancelled("a"), 5, "cancelled", True),
    (StateError("a", hint="do b"), 6, "state", False),
    (IoError("a"), 7, "io", True),
]


@pytest.mark.parametrize(("error", "code", "kind", "retryable"), ERRORS)
@pytest.mark.parametrize("command", ["run", "resume", "validate", "health-check", "plan", "schema", "init", ""])
def test_every_error_of_every_command(
    capsys: pytest.CaptureFixture[str], error: MigrationError, code: int, kind: str, retryable: bool, command: str
) -> None:
    def body(_: Execution) -> Outcome:
        raise error

    exit_code, document = printed(capsys, command, body)
    assert exit_code == code
    assert (document["error"], document["error_type"], document["retryable"]) == (
        "a" if error.message == "a" else error.message,
        kind,
        retryable,
    )
    assert document["hint"] == error.hint
    if isinstance(error, DataError):
        place = (document["failed_table"], document["failed_column"], document["failed_key"])
        assert place == ("T", "C", "Id=1")


def test_an_error_keeps_what_is_known_of_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    def body(execution: Execution) -> Outcome:
        execution.on_error_fields = lambda: documents.broken_run_fields(execution.tracker.snapshot())
        for event in (
            RunStarted(run_id="r", mode="truncate", resumed=False, tables={"A": 10, "B": 5, "C": 1}),
            TableStarted(table="A", estimated_rows=10, ranges=1, reader="wire"),
            ChunkCommitted(table="A", range_id=0, rows=4, bytes=100, range_rows=4),
            TableStarted(table="B", estimated_rows=5, ranges=1, reader="wire"),
            TableFinished(table="B", rows=3, skipped=0, seconds=1.5, error="no space"),
        ):
            execution.tracker(event)
        raise ConnectionFailed("gone", side="target")

    _, document = printed(capsys, "run", body)
    assert document["rows_transferred"] == 7
    assert {table["table"]: table["status"] for table in document["tables"]} == {
        "A": "cancelled",
        "B": "failed",
        "C": "pending",
    }
    assert document["failed_tables"][0]["error"] == "no space"


def test_unexpected_exceptions_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def body(_: Execution) -> Outcome:
        raise KeyError("what\nnow")

    code = Execution("run", GlobalOptions(output_json=True)).run(body)
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    VALIDATOR.validate(document)
    assert code == 3
    assert document["error_type"] == "internal"
    assert document["error"].startswith("internal error: KeyError: ")
    assert "--verbosity debug" in document["hint"]
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def body(execution: Execution) -> Outcome:
        execution.redactor.learn(["hunter2"])
        raise KeyError("-".join(["PWD=hunter2"]))

    Execution("run", GlobalOptions(verbosity="debug")).run(body)
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "KeyError" in error
    assert "PWD=***" in error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), 7),
        (PermissionError(13, "Permission denied", "/x/y"), 7),
        (MemoryError(), 3),
        (KeyboardInterrupt(), 5),
        (RuntimeError("x"), 3),
        (ConnectionResetError(104, "reset"), 3),
    ],
)
def test_other_exceptions(capsys: pytest.CaptureFixture[str], error: BaseException, code: int) -> None:
    def body(_: Execution) -> Outcome:
        raise error

    exit_code, document = printed(capsys, "run", body)
    assert exit_code == code
    assert document["error"]


def test_errors_in_documents_hold_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    def body(execution: Execution) -> Outcome:
        execution.redactor.learn(["hunter2"])
        run = result(status="failed", exit_code=3, problems=["hunter2 again"])
        run.tables.append(TableResult("hunter2", "failed", error="PWD=hunter2;"))
        return Outcome("failed", 3, documents.run_fields(run))

    _, document = printed(capsys, "run", body)
    assert document["error"] == "1 of 3 tables failed: ***: PWD=***;"
    assert document["problems"] == ["*** again"]
    assert document["failed_tables"][0]["error"] == "PWD=***;"
    assert document["tables"][2]["table"] == "hunter2"  # a name is no secret


def test_validate(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [
        TableCheck("A", 5, 5, True, 0, 0, 0),
        TableCheck("B", 5, 4, False, 1, 0, 2, {"missing": ["Id=3"], "changed": ["Id=4", "Id=5"]}),
        TableCheck("C", 5, None, False, error="there is no target table"),
    ]
    report = ValidationReport(True, checks, 1.0)
    fields = documents.validation_fields(report)
    _, document = printed(capsys, "validate", lambda _: Outcome("invalid", 4, fields))
    assert document["equal"] is False
    assert document["error"] == "2 of 3 tables differ: B, C"
    assert document["tables"][1]["sample_keys"]["missing"] == ["Id=3"]
    equal = documents.validation_fields(ValidationReport(False, [TableCheck("A", 5, 5, True)], 1.0))
    _, document = printed(capsys, "validate", lambda _: Outcome(fields=equal))
    assert document["error"] is None


def test_health(capsys: pytest.CaptureFixture[str]) -> None:
    good = SideHealth("source", True, "h:1433/d", "16.0", 1.5, "TLSv1.3", {"rights": "SELECT"}, ["slow"])
    bad = SideHealth("target", False, "h:5432/d", error="refused")
    fields = documents.health_fields(HealthReport([good, bad]))
    _, document = printed(capsys, "health-check", lambda _: Outcome("failed", 2, fields))
    assert document["error"] == "target: refused"
    assert fields["retryable"] is False
    down = SideHealth("source", False, "h:1433/d", error="no answer", retryable=True)
    assert documents.health_fields(HealthReport([down, bad]))["retryable"] is False
    assert documents.health_fields(HealthReport([down, good]))["retryable"] is True
    fields = documents.health_fields(HealthReport([good]))
    _, document = printed(capsys, "health-check", lambda _: Outcome(fields=fields))
    assert document["healthy"] is True


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"exit_code": 8},
        {"status": "completed", "exit_code": 3},
        {"error_type": "bad luck"},
        {"error": 5},
        {"tables": [{"table": "x"}]},
    ],
)
def test_the_schema_refuses_other_documents(capsys: pytest.CaptureFixture[str], change: dict[str, Any]) -> None:
    _, document = printed(capsys, "run", lambda _: Outcome(fields=documents.run_fields(result())))
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**document, **change})


@pytest.mark.parametrize("code", range(8))
@pytest.mark.parametrize("command", ["demo", "tui"])
def test_commands_that_tell_a_person(capsys: pytest.CaptureFixture[str], command: str, code: int) -> None:
    found, document = printed(capsys, command, lambda _: _ended_with(code))
    assert found == code
    assert (document["error"] is None) is (code == 0)


def test_only_the_document_is_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with stdout_on_stderr(only_if=True):
        print("by this process")
        subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
    print("the document")
    captured = capfd.readouterr()
    assert captured.out == "the document\n"
    assert "by this process\n" in captured.err
    assert "by a child\n" in captured.err
    with stdout_on_stderr(only_if=False):
        print("as usual")
    assert capfd.readouterr().out == "as usual\n"
