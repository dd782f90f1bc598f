"""SQL hooks: the user's statements, run on the target at four fixed moments of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import IoError, TransferError
from ..events import EventSink, Message

if TYPE_CHECKING:
    import psycopg

    from ..config.hooks import Hook


def run_hooks(connection: psycopg.Connection[Any], moment: str, hooks: Sequence[Hook], on_event: EventSink) -> None:
    """Run each hook in a transaction of its own. Raises TransferError naming the hook, IoError for its file.

    A hook may hold several statements; a resumed run executes its hooks again.
    """
    import psycopg

    from ..config.hooks import without_literals

    for hook in hooks:
        on_event(Message(level="info", text=f"hook {moment}: {hook.label}"))
        try:
            text = hook.text()
        except OSError as error:
            raise IoError(f"hook {moment}: {hook.label} cannot be read: {error.strerror}") from error
        try:
            with connection.transaction():
                connection.execute(text)
        except psycopg.Error as error:
            # Without its cause: PostgreSQL quotes the statement, which may hold a password.
            raise TransferError(
                f"hook {moment} ({hook.label}) failed: {without_literals(error.diag.message_primary or str(error))}",
                hint="correct the SQL, then resume; what the run did before it is kept",
            ) from None
