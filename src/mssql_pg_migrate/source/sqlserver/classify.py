"""What a SQL Server error means: may the same statement work if it is made again?

The numbers follow what Microsoft documents as transient for its own clients (SqlClient's configurable retry logic,
Entity Framework's SQL Server execution strategy, "Troubleshoot transient connection errors" of Azure SQL). Microsoft's
Python driver reports a SQLSTATE and the server's text but not always the number, so texts that identify a number are
known as well; sessions are switched to English for that (see `connect`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ...errors import MigrationError, TransferError, TransientError
from ...tds.buffer import ProtocolError
from ...tds.client import ServerFailure
from .dbapi import Cursor

TRANSIENT_NUMBERS = frozenset(
    {
        # locks and deadlocks
        1203, 1204, 1205, 1221, 1222, 3935,
        # snapshot isolation, in-memory OLTP and read conflicts of a moving scan
        601, 617, 3950, 3960, 3961, 3966, 41301, 41302, 41305, 41325, 41839,
        # memory and resource waits
        669, 701, 802, 8628, 8645, 8651, 10922, 17197,
        # throttling and failover of Azure SQL
        10928, 10929, 10936, 40143, 40197, 40501, 40540, 40549, 40550, 40551, 40552, 40553, 40613, 42108, 42109,
        49918, 49919, 49920, 49977, 49983, 14906,
        # a replica that comes or goes, a database that starts
        615, 921, 926, 945, 952, 976, 983, 3947, 3948, 4221, 18401,
        # killed and broken connections
        20, 64, 121, 233, 596, 997, 6005, 10053, 10054, 10060, 10061, 17142, 17830, 17900,
    }
)  # fmt: skip
"""Error numbers of SQL Server, Azure SQL and the network layer below that a later attempt can cure."""

# Texts of sys.messages (English) whose number matters here; the first match names the number.
_TEXTS: tuple[tuple[int, str], ...] = (
    (1205, r"was deadlocked on .* resources? with another process|chosen as the deadlock victim"),
    (1222, r"Lock request time out period exceeded"),
    (1204, r"cannot obtain a LOCK resource"),
    (3960, r"Snapshot isolation transaction aborted due to update conflict"),
    (41332, r"cannot be accessed or created when the session TRANSACTION ISOLATION LEVEL is set to SNAPSHOT"),
    (3952, r"snapshot isolation is not allowed in this database"),
    (3947, r"transaction was aborted because the secondary compute failed to catch up redo"),
    (3948, r"transaction was terminated because of the availability replica config/state change"),
    (601, r"Could not continue scan with NOLOCK due to data movement"),
    (701, r"insufficient (system )?memory (available )?(in resource pool .*)?to run this query"),
    (8645, r"timeout occurred while waiting for memory resources"),
    (8651, r"Could not perform the operation because the requested memory grant was not available"),
    (10928, r"Resource ID ?: ?\d+\. The .* limit for the database is \d+ and has been reached"),
    (10929, r"Resource ID ?: ?\d+\. .*(minimum guarantee|too busy)"),
    (10936, r"Resource ID ?: ?\d+\. The .* limit for the elastic pool is \d+ and has been reached"),
    (40197, r"service has encountered an error processing your request"),
    (40501, r"The service is currently busy"),
    (40613, r"Database (.* )?is not currently available"),
    (49918, r"Not enough resources to process request"),
    (49919, r"Too many create or update operations in progress"),
    (49920, r"Too many operations in progress for subscription"),
    (4221, r"Login to read-secondary failed due to long wait"),
    (596, r"Cannot continue the execution because the session is in the kill state"),
    (6005, r"SHUTDOWN is in progress"),
    (18401, r"Server is in script upgrade mode|Only administrator can connect at this time"),
    (4060, r"Cannot open database"),
    (18456, r"Login failed for user"),
    (229, r"The \w+ permission was denied on the object"),
    (208, r"Invalid object name"),
    (207, r"Invalid column name"),
)

# SQLSTATE classes and states that mean "the connection is gone" or "try again".
_LOST_STATES = ("08",)
_LOST_STATE = "08S01"
_TRANSIENT_STATES = ("40001", "HYT00", "HYT01", "08001", "08003", "08007", "08S01", "08S02")

# What the driver itself says when a socket dies, whatever SQLSTATE it chooses.
_LOST_TEXT = re.compile(
    r"Communication link failure|connection (is|was) (broken|closed|dead)|TCP Provider|forcibly closed"
    r"|Connection is busy|The connection is no longer usable|Session Provider|SMux Provider"
    r"|server (has )?closed the connection|connection failure|Connection not open"
    r"|protocol error in TDS stream|Unexpected EOF|SSL Provider.*(syscall|EOF|reset)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ServerError:
    """What is known of a failed statement: the server's number and the SQLSTATE where the driver tells them."""

    message: str
    number: int | None = None
    sqlstate: str | None = None

    @property
    def code(self) -> str | None:
        """The number, else the SQLSTATE, as text."""
        return str(self.number) if self.number is not None else self.sqlstate

    @property
    def lost(self) -> bool:
        """Whether the connection is gone and a new one is needed."""
        if self.sqlstate is not None and self.sqlstate.startswith(_LOST_STATES):
            return True
        return self.number in (20, 64, 121, 233, 596, 6005, 10053, 10054, 10060) or (
            self.number is None and _LOST_TEXT.search(self.message) is not None
        )

    @property
    def transient(self) -> bool:
        """Whether the same statement may work on another attempt."""
        if self.number is not None:
            return self.number in TRANSIENT_NUMBERS or self.lost
        return self.lost or (self.sqlstate is not None and self.sqlstate in _TRANSIENT_STATES)

    def __str__(self) -> str:
        return f"{self.message} (SQL Server error {self.code})" if self.code else self.message


def number_of(text: str) -> int | None:
    """The error number that an English message of the server stands for; None when it is not one known here."""
    for number, pattern in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return number
    return None


def describe(error: BaseException, diagnostics: Sequence[tuple[str, str]] = ()) -> ServerError:
    """What a driver exception says.

    ``diagnostics`` are ODBC diagnostic records as the driver lists them: ``("[SQLSTATE] (number)", text)``; the first
    one that is not mere information gives number and SQLSTATE.
    """
    if isinstance(error, TransientError):
        return ServerError(message=error.message, sqlstate=_LOST_STATE)
    if isinstance(error, ServerFailure):
        return ServerError(message=error.error.text, number=error.error.number or number_of(error.error.text))
    if isinstance(error, (OSError, ProtocolError)):
        reason = "no data for too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return ServerError(message=f"the connection is lost ({reason})", sqlstate=_LOST_STATE)
    message = clean_message(getattr(error, "ddbc_error", None) or str(error))
    sqlstate = sqlstate_of(error)
    number = None
    for head, text in diagnostics:
        match = re.match(r"\[(\w{5})\] \((-?\d+)\)", head)
        if match is None or match.group(1).startswith(("00", "01")):
            continue
        sqlstate = match.group(1)
        number = int(match.group(2)) or None
        message = clean_message(text) or message
        break
    if number is None:
        number = number_of(message)
    return ServerError(message=message, number=number, sqlstate=sqlstate)


def clean_message(text: str) -> str:
    """A driver's text without the names of the layers it passed through."""
    return re.sub(r"^(\[[^\]]*\]\s*)+", "", text.strip()).strip() or text.strip()


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE of a driver exception, which shows only the sentence the driver has for it."""
    sentence = getattr(error, "driver_error", None)
    if not isinstance(sentence, str):
        return None
    match = re.search(r"SQLSTATE code: (\w{5})", sentence)
    if match:
        return match.group(1)
    return _sentences().get(sentence)


@cache
def _sentences() -> dict[str, str]:
    """The driver's sentence for each SQLSTATE that is of interest here."""
    try:
        from mssql_python.exceptions import sqlstate_to_exception
    except ImportError:
        return {}
    states = (
        "08001 08002 08003 08004 08007 08S01 28000 40001 40002 40003 42000 42S02 42S22 HY000 HY008 HYT00 HYT01 IMSSP"
    )
    found: dict[str, str] = {}
    for state in states.split():
        error: Any = sqlstate_to_exception(state, "")
        if error is not None:
            found.setdefault(error.driver_error, state)
    return found


def to_migration_error(
    error: BaseException, *, table: str | None = None, diagnostics: Sequence[tuple[str, str]] = ()
) -> MigrationError:
    """A failed read of the source as an error of this tool: `TransientError` or a lasting `TransferError`."""
    if isinstance(error, MigrationError):
        return error
    found = describe(error, diagnostics)
    where = f"Reading {table}" if table else "Reading the source"
    if found.transient:
        return TransientError(f"{where}: {found}", side="source", code=found.code, table=table)
    return TransferError(f"{where}: {found}", table=table, hint=_hint(found))


def check_complete(cursor: Cursor, *, table: str | None = None) -> None:
    """Call after the last row of a result: is it the last one, or was the answer cut short?

    mssql-python hands over the rows it has when a fetch fails (a connection cut in the middle of a result) and only
    notes the reason among the cursor's messages. Raises as ``to_migration_error``.
    """
    messages = list(cursor.messages)
    for head, text in messages:
        if not head.startswith(("[00", "[01")):
            raise to_migration_error(RuntimeError(text), table=table, diagnostics=messages)


def _hint(error: ServerError) -> str | None:
    if error.number == 229:
        return "Grant SELECT on the table to the login, or exclude it (exclude_tables)."
    if error.number in (207, 208):
        return "The schema changed since the run was planned: start a new run."
    if error.number == 3952:
        return (
            "isolation: snapshot needs ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON; "
            "or use isolation: read_committed."
        )
    if error.number == 41332:
        return "Use isolation: read_committed; a memory-optimized table is read as of one moment in any case."
    return None
