"""The run as a page: record its events while it goes, write one self-contained HTML file when it is over."""

from __future__ import annotations

from .history import RunHistory, TableHistory
from .page import render_report, write_report
from .recorder import ReportRecorder

__all__ = ["ReportRecorder", "RunHistory", "TableHistory", "render_report", "write_report"]
