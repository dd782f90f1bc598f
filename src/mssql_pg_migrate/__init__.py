"""Migrate SQL Server databases to PostgreSQL, every row exactly once."""

from __future__ import annotations

__version__ = "0.1.0"
