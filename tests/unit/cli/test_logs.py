"""Log lines: levels, forms, and no secrets in any of them."""

from __future__ import annotations

import json
import logging
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.cli.logs import EventLogger, set_up
from mssql_pg_migrate.cli.redact import Redactor
from mssql_pg_migrate.cli.tracker import Tracker
from mssql_pg_migrate.events import (
    AnyEvent,
    ChunkCommitted,
    Message,
    PhaseStarted,
    RangeFinished,
    Retry,
    RunFinished,
    RunStarted,
    TableFinished,
    TableReset,
    TableStarted,
    Waiting,
)

EVENTS: list[AnyEvent] = [
    RunStarted(run_id="r-1", mode="upsert", resumed=False, tables={"A": 10, "B": 20}),
    PhaseStarted(phase="transfer"),
    TableStarted(table="A", estimated_rows=10, ranges=3, reader="wire", rows_before=2),
    ChunkCommitted(table="A", range_id=0, rows=3, bytes=100, range_rows=5),
    Retry(table="A", reason="deadlock", attempt=2, delay=0.4),
    TableReset(table="A", reason="lost"),
    Waiting(side="target", text="waiting for public.a, held by session 7", seconds=3.1, held_by=7),
    TableFinished(table="A", rows=10, skipped=1, seconds=2.0),
    TableFinished(table="B", rows=3, skipped=0, seconds=1.0, error="poison"),
    Message(level="warn", text="hello", table=None),
    RangeFinished(table="A", range_id=0, rows=10),
    RunFinished(run_id="r-1", status="failed", seconds=5, rows=13, skipped=1),
]


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    sink = EventLogger(set_up(verbosity="info", log_format="text", redactor=Redactor()), milestones=True)
    for event in EVENTS:
        sink(event)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line[9:] for line in captured.err.splitlines()] == [
        "INFO  run r-1 started: upsert, 2 tables, about 30 rows",
        "INFO  phase transfer",
        "INFO  A: about 10 rows, 2 are there, 3 ranges, wire reader",
        "WARN  A: attempt 2 failed, again in 0.4 s: deadlock",
        "WARN  A: begins again: lost",
        "WARN  waiting for public.a, held by session 7",
        "INFO  A: 10 rows (1 unchanged) in 2.0 s, 5 rows/s",
        "ERROR B: failed after 3 rows: poison",
        "WARN  hello",
    ]


@pytest.mark.parametrize(("verbosity", "lines"), [("debug", 10), ("info", 9), ("warn", 5), ("error", 1)])
def test_verbosity(capsys: pytest.CaptureFixture[str], verbosity: str, lines: int) -> None:
    sink = EventLogger(set_up(verbosity=verbosity, log_format="text", redactor=Redactor()), milestones=True)
    for event in EVENTS:
        sink(event)
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    sink = EventLogger(set_up(verbosity="debug", log_format="json", redactor=Redactor()), milestones=True)
    for event in EVENTS:
        sink(event)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all({"timestamp", "level", "message"} <= set(line) for line in lines)
    assert [line["level"] for line in lines if line.get("table") == "B"] == ["error"]
    assert "rows_transferred" not in lines[0]


def test_with_a_tracker_every_line_counts(capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker()
    logger = set_up(verbosity="info", log_format="text", redactor=Redactor(), tracker=tracker)
    sink = EventLogger(logger, milestones=False)
    for event in EVENTS:
        tracker(event)
        sink(event)
    logger.warning("%s", 'quotes " and \\ backslashes')
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all({"table", "rows_transferred"} <= set(line) for line in lines)
    assert [line["table"] for line in lines] == ["*", "A", "A", "*", "B", "*", "*"]
    assert lines[-1]["rows_transferred"] == 13
    assert lines[-1]["message"] == 'quotes " and \\ backslashes'


def test_exceptions_only_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    redactor = Redactor()
    redactor.learn(["hunter2"])
    for verbosity, shown in (("info", False), ("debug", True)):
        for form in ("text", "json"):
            logger = set_up(verbosity=verbosity, log_format=form, redactor=redactor)  # type: ignore[arg-type]
            try:
                raise ValueError("PWD=" + "hunter2")
            except ValueError:
                logger.exception("failed: %s", "PWD=hunter2")
            text = capsys.readouterr().err
            assert ("Traceback" in text) is shown
            assert "PWD=***" in text
            assert "hunter2" not in text.replace('"hunter2"', "")  # the source line above, in the traceback


def test_warnings_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logging.captureWarnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        set_up(verbosity="info", log_format="json", redactor=Redactor())
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "old thing" in json.loads(capsys.readouterr().err)["message"]


class TestRedactor:
    """Every form a secret may take."""

    def test_forms(self) -> None:
        redactor = Redactor()
        redactor.learn(["p@ss w}rd", "längeres'Wort"])
        for text in ("PWD={p@ss w}}rd}", "p@ss w}rd", "p%40ss%20w%7Drd", "p%40ss+w%7Drd", repr("längeres'Wort")):
            assert "***" in redactor(text)
            assert "ss w" not in redactor(text)
            assert "Wort" not in redactor(text)

    def test_the_longer_one_first(self) -> None:
        redactor = Redactor()
        redactor.learn(["abcd", "abcdefgh"])
        assert redactor("abcdefgh abcd") == "*** ***"

    def test_names_that_are_shown_anyway(self) -> None:
        redactor = Redactor()
        redactor.learn(["postgres"], public=["postgres"])
        assert redactor('user "postgres"') == 'user "postgres"'

    def test_short_secrets_do_not_shred_the_text(self) -> None:
        redactor = Redactor()
        redactor.learn(["a", ""])
        assert redactor("a table") == "a table"

    @given(secret=st.text(min_size=4), before=st.text(), after=st.text())
    def test_nothing_remains(self, secret: str, before: str, after: str) -> None:
        redactor = Redactor()
        redactor.learn([secret])
        # The mask itself may complete a secret made of asterisks; nothing else can.
        assert secret not in redactor(before + secret + after) or set(secret) <= {"*"} or "*" in secret


@pytest.mark.parametrize(("verbosity", "lines"), [("debug", 2), ("warn", 2), ("error", 1)])
def test_what_libraries_log_has_the_same_form(capsys: pytest.CaptureFixture[str], verbosity: str, lines: int) -> None:
    redactor = Redactor()
    redactor.learn(["azure-secret"])
    for _ in range(2):
        set_up(verbosity=verbosity, log_format="json", redactor=redactor)
    library = logging.getLogger("azure.identity")
    library.debug("token azure-secret")
    library.warning("no token for azure-secret")
    library.error("no token at all")
    written = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(written) == lines
    assert "azure-secret" not in str(written)
