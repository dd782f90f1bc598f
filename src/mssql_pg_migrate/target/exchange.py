"""Several statements in one message, a COPY among them: two waits for the server, however many statements there are.

PostgreSQL's simple query protocol runs the statements of a message in order and stops at the first that fails
("Message Flow", "Multiple Statements in a Simple Query" and "COPY Operations"). libpq shows the COPY's go-ahead as a
result of its own; everything else is answered at the end.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

    Steps = Generator[Any, Any, "list[Reply]"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What one statement answered: the rows of its command tag, and its first row as text."""

    rows: int
    first: tuple[str | None, ...] = ()


class StatementError(Exception):
    """A statement of a message failed, and with it all that followed; ``position`` counts from 0."""

    def __init__(self, position: int, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.position = position
        self.error = error


def exchange(
    connection: psycopg.Connection[Any], statements: Sequence[str], data: Iterable[bytes | memoryview] = ()
) -> list[Reply]:
    """Run the statements in one message; ``data`` is what its COPY ... FROM STDIN reads.

    One reply for each statement, so none may be empty. After an error the session is inside the failed transaction,
    if the message began one.

    Raises:
        StatementError: the server refused a statement.
        psycopg.OperationalError: the connection was lost.
    """
    return connection.wait(_exchange(connection.pgconn, "; ".join(statements).encode(), data))


def _exchange(pgconn: PGconn, text: bytes, data: Iterable[bytes | memoryview]) -> Steps:
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    pgconn.send_query(text)
    yield from _flush(pgconn)
    replies: list[Reply] = []
    failed: PGresult | None = None
    while (result := (yield from _next_result(pgconn))) is not None:
        if result.status == ExecStatus.COPY_IN:
            yield from _send(pgconn, data)
        elif result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            replies.append(_reply(result))
        else:
            failed = failed or result
    if failed is not None:
        raise StatementError(len(replies), error_from_result(failed))
    return replies


def _send(pgconn: PGconn, data: Iterable[bytes | memoryview]) -> Generator[Any, Any, None]:
    for piece in data:
        while pgconn.put_copy_data(piece) == 0:
            yield from _flush(pgconn)
        yield from _flush(pgconn)
    while pgconn.put_copy_end() == 0:
        yield from _flush(pgconn)
    yield from _flush(pgconn)


def _flush(pgconn: PGconn) -> Generator[Any, Any, None]:
    """Hand libpq's buffer to the network, and hear meanwhile: a server that is not heard stops reading."""
    from psycopg.waiting import Ready, Wait

    while pgconn.flush() != 0:
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()


def _next_result(pgconn: PGconn) -> Generator[Any, Any, PGresult | None]:
    from psycopg.waiting import Wait

    while pgconn.is_busy():
        yield Wait.R
        pgconn.consume_input()
    return pgconn.get_result()


def _reply(result: PGresult) -> Reply:
    first: tuple[str | None, ...] = ()
    if result.ntuples:
        values = (result.get_value(0, column) for column in range(result.nfields))
        first = tuple(None if value is None else value.decode() for value in values)
    return Reply(result.command_tuples or 0, first)
