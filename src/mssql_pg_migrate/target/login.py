"""Why PostgreSQL did not let a session in: by SQLSTATE, whatever language the server speaks.

libpq gives a failed connection as text only, in the language of the server (``lc_messages``). The usual English
sentences are known here; for any other answer of the server the connection is tried once more with libpq's protocol
trace on, which shows the error's fields.
"""

from __future__ import annotations

import os
import re
import selectors
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from ..errors import ConnectionFailed

_ADMIT = "the server does not admit this user: check target.user, target.ssl_mode and the server's pg_hba.conf"
_WORDS = (
    (r"password authentication failed|no password supplied", "28P01"),
    (r'database "[^"]*" does not exist', "3D000"),
    (r'role "[^"]*" does not exist|no pg_hba\.conf entry|not permitted to log in', "28000"),
    (r"permission denied for database", "42501"),
    (r"starting up|shutting down|recovery mode|not yet accepting connections", "57P03"),
    (r"too many (clients|connections)|connection slots", "53300"),
)
_HINTS = {
    "28P01": "check target.user and target.password",
    "3D000": "create the database first, or correct target.database",
    "28000": _ADMIT,
    "42501": "grant CONNECT on the database to the user",
    "57P03": "the server is not ready yet: try again soon",
    "53300": "lower max_pg_connections, or end other sessions of the server, the database or the user",
}
_LOCAL = (
    (
        r"certificate verify failed|root certificate file|does not match host name",
        "check target.ssl_mode and target.ssl_root_cert",
    ),
    (r"server does not support SSL", "set target.ssl_mode to prefer or disable, or enable TLS on the server"),
    (r"could not translate host name|Name or service not known|nodename nor servname", "correct target.host"),
)
"""What libpq itself finds out, and which stays so."""
_ANSWER = re.compile(r": [^\s:][^:\n]{0,40}:  \S")
"""``...failed: FATAL:  text``: libpq's frame around a server's answer, the severity in the server's language."""
_PASSING = ("08", "53", "57", "58", "XX")
"""Classes of SQLSTATE that may pass by themselves (Appendix A "PostgreSQL Error Codes")."""
SOON = frozenset({"57P03", "53300"})
"""The server will be ready, or have room, soon."""


def connection_failed(label: str, keywords: Mapping[str, Any], text: str) -> ConnectionFailed:
    """The error for a connection that libpq could not make; ``text`` is libpq's, without the password.

    ``label`` names the server, ``keywords`` are those of the attempt.
    """
    reason = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    message = f"cannot connect to PostgreSQL at {label}: {reason}"
    code = next((code for pattern, code in _WORDS if re.search(pattern, text)), None)
    if code is None:
        for pattern, hint in _LOCAL:
            if re.search(pattern, text):
                return ConnectionFailed(message, side="target", hint=hint, retryable=False)
        if not _ANSWER.search(text):
            hint = "check target.host and target.port, and that the server accepts TCP connections from here"
            return ConnectionFailed(message, side="target", hint=hint, retryable=True)
        code = refusal_code(keywords)
        message += f" (SQLSTATE {code})" if code else ""
    if code is None:
        return ConnectionFailed(
            message, side="target", hint="the server was reached: the reason is what it answered", retryable=True
        )
    hint = _HINTS.get(code) or (_ADMIT if code.startswith("28") else "the reason is what the server answered")
    return ConnectionFailed(message, side="target", hint=hint, retryable=code.startswith(_PASSING), code=code)


def refusal_code(keywords: Mapping[str, Any]) -> str | None:
    """The SQLSTATE with which the server refuses a connection of those libpq keywords.

    None when it does not refuse it now, when it cannot be reached, and where libpq has no trace.
    """
    import psycopg
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    with tempfile.TemporaryFile() as trace:
        connection = pq.PGconn.connect_start(make_conninfo(**keywords).encode())
        try:
            connection.trace(trace.fileno())
            connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
            _poll(connection, float(keywords.get("connect_timeout", 15)))
            connection.untrace()
        except (psycopg.NotSupportedError, psycopg.OperationalError, OSError):
            return None  # the text of the first attempt is all there is
        finally:
            connection.finish()
        trace.seek(0, os.SEEK_SET)
        found = re.search(rb'^B\t\d+\tErrorResponse\t.*? C "([0-9A-Z]{5})" ', trace.read(), re.MULTILINE)
    return found[1].decode() if found else None


def _poll(connection: Any, seconds: float) -> None:
    """Drive a connection attempt to its end, or for that long."""
    from psycopg.pq import PollingStatus

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = connection.connect_poll()
        if status in (PollingStatus.OK, PollingStatus.FAILED):
            return
        wanted = selectors.EVENT_READ if status == PollingStatus.READING else selectors.EVENT_WRITE
        with selectors.DefaultSelector() as selector:
            selector.register(connection.socket, wanted)
            selector.select(max(deadline - time.monotonic(), 0))
