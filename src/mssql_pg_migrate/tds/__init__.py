"""The TDS 7.4 protocol as bytes, for both roles. No SQL; sockets in `client`, `dial` and `browser` only.

Layers, each in a module of its own: `buffer` (bounds-checked reading), `packets` (headers and framing),
`prelogin`, `login7`, `tls` (the tunnel through PRELOGIN packets), `metadata` (TYPE_INFO, COLMETADATA),
`values` (one value of a row), `tokens` (everything else a server says), `rpc` (what a client calls);
`client` (the client's role put together), `dial` (TCP), `browser` (SQL Server Browser).

The layout of every structure follows Microsoft's open specification [MS-TDS], version 7.2 and later:
user types take 4 bytes and row counts 8.
"""

from __future__ import annotations

from .buffer import ByteReader, NeedMoreData, ProtocolError
from .metadata import ColumnMetadata, TypeInfo, UdtInfo, XmlSchemaInfo
from .packets import PacketStream, PacketType

__all__ = [
    "ByteReader",
    "ColumnMetadata",
    "NeedMoreData",
    "PacketStream",
    "PacketType",
    "ProtocolError",
    "TypeInfo",
    "UdtInfo",
    "XmlSchemaInfo",
]
