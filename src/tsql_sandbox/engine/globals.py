"""The @@ functions."""

from __future__ import annotations

from typing import Any

from ..compiler import functions_catalog as metadata
from ..compiler.casts import Ex, cast, constant
from ..errors import Unsupported
from ..values import sqltypes as st
from .transactions import TransactionSession


def global_variable(session: TransactionSession, name: str) -> Ex:
    """An @@ function.

    Raises:
        Unsupported: the sandbox does not have it.
    """
    values: dict[str, tuple[Any, Any]] = {
        "@@version": (metadata.VERSION_TEXT, st.make("nvarchar", 300)),
        "@@spid": (session.spid, st.make("smallint")),
        "@@rowcount": (session.row_count_value, st.INT),
        "@@error": (session.last_error, st.INT),
        "@@trancount": (session.transaction_depth, st.INT),
        "@@identity": (session.last_identity, st.make("numeric", 38, 0)),
        "@@servername": (session.server.name, st.SYSNAME),
        "@@servicename": ("MSSQLSERVER", st.SYSNAME),
        "@@language": (session.language, st.SYSNAME),
        "@@langid": (0, st.make("smallint")),
        "@@max_precision": (38, st.make("tinyint")),
        "@@max_connections": (32767, st.INT),
        "@@lock_timeout": (session.lock_timeout, st.INT),
        "@@textsize": (2147483647, st.INT),
        "@@datefirst": (7, st.make("tinyint")),
        "@@microsoftversion": (0x10000000 + 1000, st.INT),
        "@@options": (5496, st.INT),
        "@@nestlevel": (0, st.INT),
        "@@fetch_status": (-1, st.INT),
        "@@dbts": (session.database.row_version.to_bytes(8, "big"), st.make("varbinary", 8)),
        "@@procid": (0, st.INT),
    }
    if name not in values:
        raise Unsupported(name.upper())
    value, kind = values[name]
    if value is not None and kind.name == "numeric":
        return cast(constant(value, st.BIGINT), kind)
    return constant(value, kind)
