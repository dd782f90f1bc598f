"""One self-contained HTML page about a cutover: the word, the reasons, the steps, every table."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

from ..results import CutoverReport, TableCheck
from ..version import __version__
from .page import write_page
from .style import CSS


def write_cutover_report(path: Path, report: CutoverReport) -> None:
    """Write the page, replacing the file in one step. Raises IoError."""
    write_page(path, render_cutover_report(report))


def render_cutover_report(report: CutoverReport) -> str:
    """The page as text."""
    word = "GO" if report.go else "NO-GO"
    title = f"Cutover {'rehearsal' if report.rehearsal else 'report'}: {word}"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    steps = "".join(
        f"<tr><td>{escape(step.name)}</td><td class='n'>{step.seconds:.2f}</td><td>{escape(step.detail)}</td></tr>"
        for step in report.steps
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{CSS}</style>"
        f"<main><h1>{escape(title)}</h1>"
        f"<p>{report.passes} passes brought {report.changes:,} rows; standstill {report.downtime:.1f} s.</p>"
        + (f"<h2>Reasons</h2><ul>{reasons}</ul>" if reasons else "")
        + f"<h2>Steps</h2><table><tr><th>Step</th><th>Seconds</th><th></th></tr>{steps}</table>"
        f"<h2>Tables</h2>{_tables(report.tables)}"
        f"<footer>mssql-pg-migrate {__version__}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}</footer></main></html>"
    )


def _tables(tables: list[TableCheck]) -> str:
    rows = "".join(
        f"<tr><td>{escape(table.table)}</td><td class='n'>{_number(table.source_rows)}</td>"
        f"<td class='n'>{_number(table.target_rows)}</td><td>{'equal' if table.equal else 'DIFFERENT'}</td>"
        f"<td>{escape(table.error or '')}</td></tr>"
        for table in tables
    )
    return f"<table><tr><th>Table</th><th>Source rows</th><th>Target rows</th><th></th><th></th></tr>{rows}</table>"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
