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


class Sent:
    """A message on its way, the data of its COPY included, whose answers are still to be read."""

    def __init__(self, connection: psycopg.Connection[Any], replies: list[Reply]) -> None:
        self._connection = connection
        self._replies = replies

    def finish(self) -> list[Reply]:
        """Wait for the answers; one for each statement. Raises as `exchange`."""
        self._connection.wait(_answers(self._connection.pgconn, self._replies))
        return self._replies


def send(
    connection: psycopg.Connection[Any], statements: Sequence[str], data: Iterable[bytes | memoryview] | None
) -> Sent:
    """Send a message and, once the server is ready to read it, ``data``; None for a message without a COPY.

    The connection is of no other use until `Sent.finish`. Raises as `exchange`.
    """
    replies: list[Reply] = []
    connection.wait(_send(connection.pgconn, "; ".join(statements).encode(), data, replies))
    return Sent(connection, replies)


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
    return send(connection, statements, data).finish()


def each(connection: psycopg.Connection[Any], statements: Sequence[str]) -> list[Reply | psycopg.Error]:
    """Run the statements, a transaction each, without waiting in between; what each answered, or its error.

    libpq's pipeline mode with a synchronisation point after every statement ("Pipeline Mode"): one that is refused does
    not keep the others from being carried out. Raises psycopg.OperationalError when the connection is lost.
    """
    return connection.wait(_each(connection.pgconn, [statement.encode() for statement in statements]))


def _each(pgconn: PGconn, statements: Sequence[bytes]) -> Generator[Any, Any, list[Reply | psycopg.Error]]:
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus
    from psycopg.waiting import Ready, Wait

    pgconn.enter_pipeline_mode()
    for statement in statements:
        pgconn.send_query_params(statement, None)
        pgconn.pipeline_sync()
    outcomes: list[Reply | psycopg.Error] = []
    latest: Reply | psycopg.Error = Reply(0)
    unsent = True
    while len(outcomes) < len(statements):
        unsent = unsent and pgconn.flush() != 0
        if (yield Wait.RW if unsent else Wait.R) & Ready.R:
            pgconn.consume_input()
        while len(outcomes) < len(statements) and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:  # between two statements
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                outcomes.append(latest)
            elif result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                latest = _reply(result)
            else:
                latest = error_from_result(result)
    pgconn.exit_pipeline_mode()
    return outcomes


def _send(
    pgconn: PGconn, text: bytes, data: Iterable[bytes | memoryview] | None, replies: list[Reply]
) -> Generator[Any, Any, None]:
    pgconn.send_query(text)
    yield from _flush(pgconn)
    if data is None or not (yield from _answers(pgconn, replies)):
        return
    for piece in data:
        while pgconn.put_copy_data(piece) == 0:
            yield from _flush(pgconn)
        yield from _flush(pgconn)
    while pgconn.put_copy_end() == 0:
        yield from _flush(pgconn)
    yield from _flush(pgconn)


def _answers(pgconn: PGconn, replies: list[Reply]) -> Generator[Any, Any, bool]:
    """Read answers up to the last one (False) or up to a COPY's go-ahead (True)."""
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    failed: PGresult | None = None
    while (result := (yield from _next_result(pgconn))) is not None:
        if result.status == ExecStatus.COPY_IN:
            return True
        if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            replies.append(_reply(result))
        else:
            failed = failed or result
    if failed is not None:
        raise StatementError(len(replies), error_from_result(failed))
    return False


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
