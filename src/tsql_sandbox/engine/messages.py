"""RAISERROR and THROW."""

from __future__ import annotations

import re
from typing import Any

from ..errors import SqlError
from ..tsql import statements as sm
from .state import SessionState


def raise_error(session: SessionState, statement: sm.Simple) -> None:
    """RAISERROR: severities up to 10 are messages."""
    values = [session.scalar(item) for item in statement.arguments]
    first = values[0][0]
    severity = int(values[1][0]) if len(values) > 1 else 16
    state = int(values[2][0]) if len(values) > 2 else 1
    number = int(first) if isinstance(first, int) else 50000
    text = str(first) if number == 50000 else f"Error {number}, severity {severity}."
    for value, _ in values[3:]:
        text = _replace_place(text, value)
    if severity <= 10:
        session.sink.info(number, text)
        return
    raise SqlError(number, text, severity, state)


def _replace_place(text: str, value: Any) -> str:
    return re.sub(r"%[-+ 0#]*\d*(?:\.\d+)?(?:[hl]|I64)?[diouxXs]", lambda _: str(value), text, count=1)


def throw(session: SessionState, statement: sm.Simple) -> None:
    """THROW."""
    if not statement.arguments:
        if session.caught is None:
            raise SqlError(10704, "To rethrow an error, a THROW statement must be used inside a CATCH block.", 15)
        raise session.caught
    number, text, state = (session.scalar(item)[0] for item in statement.arguments)
    raise SqlError(int(number), str(text), 16, int(state))
