"""The one hierarchy of errors a user can meet, each with the exit code of the guide.

Whatever leaves the program as a failure is one of these; the CLI prints ``str(error)`` and exits with
``error.exit_code``. Messages are complete sentences that name the object concerned and the next step, and never
hold a password.
"""

from __future__ import annotations

from typing import Any, ClassVar


def _restored(kind: type[MigrationError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> MigrationError:
    """An error as it was before it was pickled."""
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error


class MigrationError(Exception):
    """Base of all errors shown to a user.

    ``exit_code`` is the process's exit status, ``kind`` the machine-readable name used by ``--output-json``,
    ``retryable`` whether the same command may succeed later without a change.
    """

    exit_code: ClassVar[int] = 3
    kind: ClassVar[str] = "transfer"
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if retryable is not None:
            self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls the class with the message alone; range tasks may run in other processes.
        return _restored, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class ConfigError(MigrationError):
    """The configuration file, a flag or an environment variable is wrong (exit 1)."""

    exit_code = 1
    kind = "config"


class ConnectionFailed(MigrationError):
    """A server cannot be reached, refuses the login, or stayed away after all retries (exit 2)."""

    exit_code = 2
    kind = "connection"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        side: str,
        hint: str | None = None,
        retryable: bool | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.side = side
        """``source`` or ``target``."""
        self.code = code
        """SQLSTATE of the target's refusal, None where there is none."""


class TransferError(MigrationError):
    """Rows could not be read or written (exit 3); names the table where there is one."""

    exit_code = 3
    kind = "transfer"

    def __init__(
        self,
        message: str,
        *,
        table: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retryable=retryable)
        self.table = table


class SchemaError(TransferError):
    """The source or target schema does not allow the run that was asked for (exit 3)."""

    kind = "schema"


class DataError(TransferError):
    """A value PostgreSQL cannot hold, or that would change on the way (exit 3).

    ``table``, ``column`` and ``key`` (column=value text of the row's key, or a row position) say which one.
    """

    kind = "data"

    def __init__(
        self,
        message: str,
        *,
        table: str,
        column: str | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, table=table, hint=hint)
        self.column = column
        self.key = key


class TransientError(TransferError):
    """A failure that re-doing the same chunk may cure: lost connection, deadlock, throttling.

    ``side`` is ``source`` or ``target``; ``code`` the server's own (SQL Server error number or SQLSTATE).
    """

    kind = "transient"
    retryable = True

    def __init__(self, message: str, *, side: str, code: str | None = None, table: str | None = None) -> None:
        super().__init__(message, table=table)
        self.side = side
        self.code = code


class ValidationError(MigrationError):
    """Source and target differ (exit 4)."""

    exit_code = 4
    kind = "validation"


class Cancelled(MigrationError):
    """Stopped by a signal or by the user; the state is saved (exit 5)."""

    exit_code = 5
    kind = "cancelled"
    retryable = True


class StateError(MigrationError):
    """The state file or the ledger does not fit the run (exit 6)."""

    exit_code = 6
    kind = "state"


class IoError(MigrationError):
    """A local file cannot be read or written (exit 7)."""

    exit_code = 7
    kind = "io"
    retryable = True
