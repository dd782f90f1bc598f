"""COPY ... TO STDOUT into a digest.

psycopg hands every row over as an object of its own, which would cost more than all the rest. The compiled digest
therefore takes the messages from libpq itself, without the GIL; where it cannot (no compiled digest, or a libpq that
cannot be found), the rows are collected here, through psycopg's wrapper of the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from .digest import Digest

_STEP = 4 * 1024 * 1024
"""Bytes between two looks at what the caller wants."""
_GATHERED = 256 * 1024
"""Bytes digested at once where rows are collected here."""


def digest_copy(
    connection: psycopg.Connection[Any], query: str, digest: Digest, after_step: Callable[[], None]
) -> None:
    """Run ``query`` (a COPY TO STDOUT in binary format) into ``digest``, which expects the file header.

    ``after_step`` is called every few megabytes and may raise. Raises psycopg errors, and ValueError as
    ``Digest.update`` does; the connection is then of no further use.
    """
    from psycopg.pq import ExecStatus

    from ..target.connection import busy

    pgconn = connection.pgconn
    with busy(connection):
        result = pgconn.exec_(query.encode())
    if result.status != ExecStatus.COPY_OUT:
        raise _error(result)
    addresses = _libpq() if hasattr(digest, "pump") else None
    if addresses is not None:
        _pump(pgconn, digest, addresses, after_step)
    else:
        _collect(pgconn, digest, after_step)
    after_step()
    _check_results(pgconn)


def _pump(pgconn: Any, digest: Any, addresses: tuple[int, int], after_step: Callable[[], None]) -> None:
    from psycopg import OperationalError

    from .._kernel import _digest

    while True:
        status = digest.pump(pgconn.pgconn_ptr, *addresses, _STEP)
        if status == _digest.END:
            while pgconn.get_copy_data(0)[0] >= 0:
                pass
            return
        if status != _digest.MORE:
            _check_results(pgconn)
            raise OperationalError(f"COPY ended early: {pgconn.error_message.decode(errors='replace').strip()}")
        after_step()


def _collect(pgconn: Any, digest: Digest, after_step: Callable[[], None]) -> None:
    from psycopg import OperationalError

    gathered = bytearray()
    since = 0
    ended = False
    more = True
    while more:
        size, message = pgconn.get_copy_data(0)
        more = size >= 0
        gathered += message
        if more and len(gathered) < _GATHERED:
            continue
        since += len(gathered)
        used, ended = digest.update(gathered)
        del gathered[:used]
        if since >= _STEP:
            since = 0
            after_step()
    if not ended:
        _check_results(pgconn)
        raise OperationalError("COPY ended early")


def _check_results(pgconn: Any) -> None:
    """Take the results that are left; raises the server's error if one is among them."""
    from psycopg.pq import ExecStatus

    failed = None
    while (result := pgconn.get_result()) is not None:
        if result.status == ExecStatus.FATAL_ERROR and failed is None:
            failed = result
    if failed is not None:
        raise _error(failed)


def _error(result: Any) -> Exception:
    """What a failed result says; without a SQLSTATE it comes from libpq, which lost the connection."""
    from psycopg import OperationalError
    from psycopg.errors import error_from_result
    from psycopg.pq import DiagnosticField

    if result.error_field(DiagnosticField.SQLSTATE) is None:
        return OperationalError(result.error_message.decode(errors="replace").strip())
    return error_from_result(result)


@cache
def _libpq() -> tuple[int, int] | None:
    """Addresses of PQgetCopyData and PQfreemem in the libpq that psycopg uses; None where they cannot be found.

    Looking a function up in psycopg's module also searches the libraries it is linked with (dlsym; not on Windows).
    """
    import ctypes
    from importlib import import_module

    from psycopg import pq

    try:
        if pq.__impl__ not in ("binary", "c"):
            return None
        module = import_module(f"psycopg_{pq.__impl__}.pq")
        library = ctypes.CDLL(str(module.__file__))
        functions = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in _FUNCTIONS]
    except (ImportError, OSError, AttributeError):
        return None
    get, release = functions
    return (get, release) if get and release else None


_FUNCTIONS = ("PQgetCopyData", "PQfreemem")
