"""Rows of the dynamic management views: sessions, requests, transactions and locks, as they are now.

Microsoft, "sys.dm_exec_requests", "sys.dm_exec_sessions": everybody sees the own session, VIEW SERVER STATE (from SQL
Server 2022 on VIEW SERVER PERFORMANCE STATE, which it covers) shows all. The views of locks and transactions need it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from ..errors import SqlError
from .session import CatalogSession
from .sysrows import Row

_STATE = "VIEW SERVER PERFORMANCE STATE"
_LEVELS = {"READ UNCOMMITTED": 1, "READ COMMITTED": 2, "REPEATABLE READ": 3, "SERIALIZABLE": 4, "SNAPSHOT": 5}


def _shown(session: CatalogSession) -> list[CatalogSession]:
    if not session.server.holds(session.login, _STATE):
        return [session]
    return sorted(dict(session.server.sessions).values(), key=lambda item: item.spid)


def _require_state(session: CatalogSession) -> None:
    if not session.server.holds(session.login, _STATE):
        raise SqlError(300, f"{_STATE} permission was denied on object 'server', database 'master'.", 14)


def _elapsed(since: dt.datetime) -> int:
    return int((dt.datetime.now() - since).total_seconds() * 1000)


def sessions(session: CatalogSession) -> Iterator[Row]:
    """sys.dm_exec_sessions."""
    for item in _shown(session):
        yield {
            "session_id": item.spid,
            "login_time": item.login_time,
            "host_name": item.host_name,
            "program_name": item.app_name,
            "login_name": item.login.name,
            "original_login_name": item.login.name,
            "status": "running" if item.command else "sleeping",
            "total_elapsed_time": _elapsed(item.login_time),
            "last_request_start_time": item.request_start,
            "last_request_end_time": item.request_end,
            "is_user_process": 1,
            "language": item.language,
            "quoted_identifier": int(item.quoted_identifiers),
            "transaction_isolation_level": _LEVELS.get(item.isolation, 0),
            "lock_timeout": item.lock_timeout,
            "row_count": item.row_count_value,
            "prev_error": item.last_error,
            "database_id": item.database.database_id,
            "authenticating_database_id": 0,
            "open_transaction_count": item.transaction_depth,
        }


def requests(session: CatalogSession) -> Iterator[Row]:
    """sys.dm_exec_requests."""
    waiting = session.server.locks.waiting()
    for item in _shown(session):
        if not item.command:
            continue
        wait = waiting.get(item.spid)
        row = {
            "session_id": item.spid,
            "request_id": 0,
            "start_time": item.request_start,
            "status": "running",
            "command": item.command,
            "database_id": item.database.database_id,
            "user_id": item.principal.principal_id,
            "blocking_session_id": 0,
            "wait_time": 0,
            "wait_resource": "",
            "last_wait_type": "MISCELLANEOUS",
            "open_transaction_count": item.transaction_depth,
            "total_elapsed_time": _elapsed(item.request_start),
            "transaction_isolation_level": _LEVELS.get(item.isolation, 0),
            "lock_timeout": item.lock_timeout,
            "row_count": item.row_count_value,
            "prev_error": item.last_error,
            "nest_level": 0,
        }
        if wait is not None:
            row |= {
                "status": "suspended",
                "blocking_session_id": wait.blocker,
                "wait_type": wait.wait_type,
                "last_wait_type": wait.wait_type,
                "wait_time": wait.milliseconds,
                "wait_resource": f"OBJECT: {wait.resource[0]}:{wait.resource[1]}:0 ",
            }
        elif item.command == "WAITFOR":
            row |= {"status": "suspended", "wait_type": "WAITFOR", "last_wait_type": "WAITFOR"}
        yield row


def waiting_tasks(session: CatalogSession) -> Iterator[Row]:
    """sys.dm_os_waiting_tasks, of waits for locks."""
    _require_state(session)
    for spid, wait in session.server.locks.waiting().items():
        database, number = wait.resource
        yield {
            "session_id": spid,
            "exec_context_id": 0,
            "wait_duration_ms": wait.milliseconds,
            "wait_type": wait.wait_type,
            "blocking_session_id": wait.blocker,
            "resource_description": f"objectlock objid={number} dbid={database} mode={wait.blocking_mode}",
        }


def locks(session: CatalogSession) -> Iterator[Row]:
    """sys.dm_tran_locks: those of tables."""
    _require_state(session)
    for spid, (database, number), mode, status in session.server.locks.all():
        if number:
            yield {
                "resource_type": "OBJECT",
                "resource_subtype": "",
                "resource_database_id": database,
                "resource_description": "",
                "resource_associated_entity_id": number,
                "request_mode": mode,
                "request_type": "LOCK",
                "request_status": status,
                "request_session_id": spid,
                "request_owner_type": "TRANSACTION",
                "request_owner_id": spid,
            }


def session_transactions(session: CatalogSession) -> Iterator[Row]:
    """sys.dm_tran_session_transactions."""
    _require_state(session)
    for item in _shown(session):
        if item.transaction_depth:
            yield {
                "session_id": item.spid,
                "transaction_id": item.spid,
                "is_user_transaction": 1,
                "is_local": 1,
                "open_transaction_count": item.transaction_depth,
            }


def active_transactions(session: CatalogSession) -> Iterator[Row]:
    """sys.dm_tran_active_transactions: those that were begun by their sessions."""
    _require_state(session)
    for item in _shown(session):
        if item.transaction_depth and item.transaction_start is not None:
            yield {
                "transaction_id": item.spid,
                "name": "user_transaction",
                "transaction_begin_time": item.transaction_start,
                "transaction_type": 1 if item.changed_data else 2,
                "transaction_state": 2,
            }
