"""Errors of the sandbox in SQL Server's terms."""

from __future__ import annotations


class SqlError(Exception):
    """An error a client receives: SQL Server's number, severity and text.

    Severity 16 ends the statement, 20 and above also the connection.
    """

    def __init__(self, number: int, text: str, severity: int = 16, state: int = 1, line: int = 0) -> None:
        super().__init__(text)
        self.number = number
        self.text = text
        self.severity = severity
        self.state = state
        self.line = line


class Unsupported(SqlError):
    """T-SQL that the sandbox does not know: number 40517, so that it cannot be taken for an error of the script."""

    def __init__(self, what: str) -> None:
        super().__init__(40517, f"The sandbox is not SQL Server and does not support {what}.")
