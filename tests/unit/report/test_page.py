"""The report page: complete, escaped, self-contained, and honest about runs that did not end well."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mssql_pg_migrate.errors import Cancelled, ConnectionFailed, IoError
from mssql_pg_migrate.mapping.objects import Note
from mssql_pg_migrate.report import ReportRecorder, render_report, write_report
from mssql_pg_migrate.report.format import clock, count, duration, nice_step, plural, short_count, size
from sample_run import TABLES, sample_events, sample_result

HOSTILE = """<script>alert("x")</script> & 'q' </title>"""
VOID = {"meta"}


class Page(HTMLParser):
    """Checks that elements nest, and collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def record(events) -> ReportRecorder:
    recorder = ReportRecorder()
    for event in events:
        recorder(event)
    return recorder


def check_self_contained(page: Page, text: str) -> None:
    assert "script" not in page.tags
    assert not {"img", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text or "default-src &#x27;none&#x27;" in text


def test_a_completed_run():
    text = render_report(record(sample_events()), sample_result(), source="mssql:1433/a", target="pg:5432/b")
    page = Page(text)
    check_self_contained(page, text)
    assert "All 7 tables arrived: 1,929,015 rows in" in page.text
    for table in TABLES:
        assert table.name in page.text
        assert count(table.rows) in page.text
    assert page.tags.count("svg") == 2
    assert "the source closed the connection (10054)" in page.text
    assert "Everything that was selected was carried over as it is." in page.text
    assert "Problems" not in page.text


def test_a_failed_run_names_its_table_and_the_way_on():
    page = Page(render_report(record(sample_events(failed="Posts")), sample_result(failed="Posts")))
    assert "1 table of 7 failed; 6 arrived completely." in page.text
    assert "the value of row Id=77 holds a zero character" in page.text
    assert "resume" in page.text


def test_a_run_with_problems_afterwards():
    result = sample_result()
    result.status, result.exit_code = "invalid", 4
    result.problems = ["dbo.Posts: foreign key FK_x could not be created: (42) is missing"]
    page = Page(render_report(record(sample_events()), result))
    assert "1 problem needs attention" in page.text
    assert result.problems[0] in page.text


@pytest.mark.parametrize("kept", [0, 1, 5, 60, 200])
def test_a_run_that_was_cut_short(kept):
    events = list(sample_events())[:kept]
    failed = Page(render_report(record(events), error=ConnectionFailed("the server is away", side="target")))
    assert "The run could not be carried out." in failed.text
    assert "the server is away" in failed.text
    stopped = Page(render_report(record(events), error=Cancelled("stopped by a signal")))
    assert "The run was stopped" in stopped.text
    Page(render_report(record(events)))


def test_names_and_messages_cannot_become_markup():
    tables = (replace(TABLES[0], name=HOSTILE, indexes=(HOSTILE,)), *TABLES[1:])
    recorder = record(sample_events(tables, failed=HOSTILE))
    result = sample_result(tables, failed=HOSTILE)
    result.problems = [HOSTILE]
    result.tables[1].reader_reason = HOSTILE
    notes = [Note("not_carried", HOSTILE, HOSTILE)]
    text = render_report(recorder, result, notes=notes, source=HOSTILE, target=HOSTILE)
    page = Page(text)
    check_self_contained(page, text)
    assert "<script" not in text
    assert re.sub(r"\s+", " ", HOSTILE) in page.text


def test_notes_are_grouped_by_what_they_mean():
    notes = [
        Note("not_carried", "dbo.trg", "triggers are not migrated"),
        Note("lossy", "dbo.T.c", "loses a digit"),
        *(Note("renamed", f"dbo.T{number}", "shortened") for number in range(100)),
        *(Note("warning", "dbo.T", f"has a {'very ' * number}long name") for number in range(100)),
    ]
    page = Page(render_report(record(sample_events()), sample_result(), notes=notes))
    for words in (
        "Not carried over (1)",
        "Changed on the way (1)",
        "Renamed (100)",
        "97 more",
        "Worth knowing (100)",
        "70 more",
    ):
        assert words in page.text


def test_notes_of_the_result_are_shown_when_there_is_no_plan():
    result = sample_result()
    result.notes = ["dbo.trg: triggers are not migrated"]
    assert "dbo.trg: triggers are not migrated" in Page(render_report(record(sample_events()), result)).text


def test_an_upsert_says_how_many_rows_changed():
    result = sample_result()
    result.mode = "upsert"
    result.tables[0].skipped = 371_990
    page = Page(render_report(record(sample_events()), result))
    assert "1,929,015 rows compared, 1,557,025 of them new or changed" in page.text


def test_a_thousand_tables_stay_readable():
    tables = tuple(
        replace(TABLES[3], name=f"T{number}", begin=1 + number / 50, seconds=number / 900) for number in range(1000)
    )
    text = render_report(record(sample_events(tables)), sample_result(tables))
    page = Page(text)
    assert "960 shorter tables are not drawn." in page.text
    assert "985 faster tables" in page.text
    assert len(text) < 1_500_000


def test_the_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, record(sample_events()), sample_result())
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(IoError, match=r"The report .*cannot be written") as caught:
        write_report(tmp_path / "absent" / "report.html", record(sample_events()), sample_result())
    assert caught.value.exit_code == 7


def test_numbers_for_people():
    assert [short_count(value) for value in (0, 15, 9_999, 10_000, 123_456, 999_600, 1_234_567, 5.6e9)] == [
        "0", "15", "9,999", "10.0 k", "123 k", "1.00 M", "1.23 M", "5.60 G",
    ]  # fmt: skip
    assert [duration(value) for value in (-1, 0.04, 59.94, 59.96, 3599, 3600, 200_000)] == [
        "0.0 s", "0.0 s", "59.9 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "2 d 07 h",
    ]  # fmt: skip
    assert [clock(value) for value in (0, 7.4, 754, 11_220)] == ["0:00", "0:07", "12:34", "3:07:00"]
    assert [size(value) for value in (0, 1023, 1024, 1.5 * 1024**3)] == ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]
    assert (plural(1, "table"), plural(2, "table"), plural(0, "entry", "entries")) == (
        "1 table", "2 tables", "0 entries",
    )  # fmt: skip
    assert [nice_step(span, 4) for span in (0, 0.9, 7, 100, 250_000)] == [1.0, 0.5, 2.0, 50.0, 100_000.0]
    assert [nice_step(span, 8, time=True) for span in (5, 60, 3600, 864_000)] == [1.0, 10.0, 600.0, 172_800.0]
